// Names that reflection is asked for, against a list of all that the descriptors declare, which is
// made at the start by looking at each of them.
#include "fuzz/fuzz.h"

#include "base/status.h"
#include "descriptors.h"
#include "rpc/descriptor.h"

#include <stdio.h>
#include <stdlib.h>

struct declared {
    char name[256];
    const unsigned char *file;
};
static struct declared list[4096];
static unsigned listed, methods;

struct field {
    unsigned number;
    const unsigned char *at;
    size_t bytes;
};

static uint64_t varint(const unsigned char **p)
{
    uint64_t v = 0;
    for (unsigned shift = 0;; shift += 7) {
        v |= (uint64_t)(**p & 0x7f) << shift;
        if (!(*(*p)++ & 0x80))
            return v;
    }
}

// The set is our own and well-formed: nothing is checked.
static bool step(const unsigned char **p, const unsigned char *end, struct field *out)
{
    if (*p == end)
        return false;
    uint64_t tag = varint(p), value = varint(p);
    *out = (struct field){(unsigned)(tag >> 3), *p, 0};
    if ((tag & 7) == 2) {
        out->bytes = value;
        *p += value;
    }
    return true;
}

static void name_of(struct field m, unsigned number, char out[256])
{
    struct field f;
    out[0] = 0;
    for (const unsigned char *p = m.at; step(&p, m.at + m.bytes, &f);)
        if (f.number == number)
            snprintf(out, 256, "%.*s", (int)f.bytes, (const char *)f.at);
}

static void declare(const char *scope, struct field of, const unsigned char *file, char full[256])
{
    char own[256];
    name_of(of, 1, own);
    int n = snprintf(full, 256, "%.120s%s%.120s", scope, scope[0] ? "." : "", own);
    HF_ASSERT(n > 0 && n < 256 && listed < sizeof list / sizeof *list);
    snprintf(list[listed].name, sizeof list[0].name, "%s", full);
    list[listed++].file = file;
}

static void enumeration(const char *scope, struct field e, const unsigned char *file)
{
    char full[256];
    struct field f;
    declare(scope, e, file, full);
    for (const unsigned char *p = e.at; step(&p, e.at + e.bytes, &f);)
        if (f.number == 2)
            declare(scope, f, file, full);
}

static void message(const char *scope, struct field m, const unsigned char *file)
{
    char full[256], inner[256];
    struct field f;
    declare(scope, m, file, full);
    for (const unsigned char *p = m.at; step(&p, m.at + m.bytes, &f);)
        if (f.number == 2 || f.number == 8)
            declare(full, f, file, inner);
        else if (f.number == 3)
            message(full, f, file);
        else if (f.number == 4)
            enumeration(full, f, file);
}

static void service(const char *scope, struct field s, const unsigned char *file)
{
    char full[256], method[256];
    struct field f;
    declare(scope, s, file, full);
    for (const unsigned char *p = s.at; step(&p, s.at + s.bytes, &f);)
        if (f.number == 2) {
            declare(full, f, file, method);
            methods++;
        }
}

void fuzz_set_up(void)
{
    const unsigned char *p = proto_descriptors, *end = p + proto_descriptors_bytes;
    struct field file, f;
    while (step(&p, end, &file)) {
        char package[256];
        name_of(file, 2, package);
        for (const unsigned char *q = file.at; step(&q, file.at + file.bytes, &f);)
            if (f.number == 4)
                message(package, f, file.at);
            else if (f.number == 5)
                enumeration(package, f, file.at);
            else if (f.number == 6)
                service(package, f, file.at);
    }
    HF_ASSERT(listed > 100 && methods > 20);
}

void fuzz_seeds(void)
{
    for (unsigned i = 0; i < listed; i += 7) {
        char name[32];
        snprintf(name, sizeof name, "symbol-%u", i);
        fuzz_seed_text(name, list[i].name);
    }
    fuzz_seed_text("method", "/holdfast.v1.ReservationService/ReserveStream");
    fuzz_seed_text("file", "holdfast/v1/common.proto");
    fuzz_word("holdfast.v1");
    fuzz_word("grpc.reflection.v1alpha");
    fuzz_word("ReservationService");
    fuzz_word("/");
    fuzz_word(".");
}

static void symbol_judge(const char *text)
{
    struct descriptor_file out, import;
    const unsigned char *wanted = NULL;
    for (unsigned i = 0; i < listed && !wanted; i++)
        if (strcmp(list[i].name, text) == 0)
            wanted = list[i].file;
    bool found = descriptor_file_of(text, &out);
    HF_ASSERT(found == (wanted != NULL) && (!found || out.bytes == wanted));
    for (unsigned i = 0; found && i < 16; i++)
        if (descriptor_import(&out, i, &import))
            HF_ASSERT(import.bytes != out.bytes && import.byte_count > 0);
}

// A method's path is its full name with a slash for the last dot.
static void method_judge(const char *text)
{
    bool client, server;
    char *name = fuzz_text(text, strlen(text));
    bool found = descriptor_method(text, &client, &server);
    char *slash = strrchr(name, '/');
    bool known = false;
    if (slash && slash != name) {
        *slash = '.';
        for (unsigned i = 0; i < listed; i++)
            known |= strcmp(list[i].name, name + 1) == 0;
    }
    HF_ASSERT(!found || (known && text[0] == '/'));
    free(name);
}

void fuzz_one(const uint8_t *data, size_t bytes)
{
    struct descriptor_file out;
    char name[DESCRIPTOR_NAME_BYTES];
    char *text = fuzz_text(data, bytes);
    symbol_judge(text);
    method_judge(text);
    if (descriptor_file_named(text, &out))
        HF_ASSERT(bytes > 6 && out.byte_count > 0);
    if (descriptor_service(bytes ? data[0] : 0, name))
        HF_ASSERT(strlen(name) < sizeof name && descriptor_file_of(name, &out));
    free(text);
}
