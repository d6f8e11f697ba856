// A walk over the wire form of google.protobuf.FileDescriptorSet. The handful of field numbers that
// are needed are stated here; compiling descriptor.proto for protobuf-c would add some thousand
// lines of generated code and an allocation for each element.
#include "rpc/descriptor.h"

#include "descriptors.h"

#include <stdio.h>
#include <string.h>

// Field numbers of descriptor.proto.
enum {
    SET_FILE = 1,
    FILE_NAME = 1,
    FILE_PACKAGE = 2,
    FILE_IMPORT = 3,
    FILE_MESSAGE = 4,
    FILE_ENUM = 5,
    FILE_SERVICE = 6,
    FILE_EXTENSION = 7,
    MESSAGE_FIELD = 2,
    MESSAGE_NESTED = 3,
    MESSAGE_ENUM = 4,
    MESSAGE_EXTENSION = 6,
    MESSAGE_ONEOF = 8,
    ENUM_VALUE = 2,
    SERVICE_METHOD = 2,
    METHOD_CLIENT_STREAMS = 5,
    METHOD_SERVER_STREAMS = 6,
    ANY_NAME = 1, // of whatever is declared
};

struct span {
    const unsigned char *at;
    size_t bytes;
};

struct field {
    uint32_t number;
    uint64_t value;   // of a varint
    struct span span; // of what has a length
};

static bool varint(struct span *from, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && from->bytes > 0; shift += 7) {
        unsigned char byte = *from->at++;
        from->bytes--;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

// The next field of a message. False: its end.
static bool next(struct span *from, struct field *out)
{
    uint64_t tag, bytes;
    *out = (struct field){0};
    if (!varint(from, &tag))
        return false;
    out->number = (uint32_t)(tag >> 3);
    if ((tag & 7) == 0)
        return varint(from, &out->value);
    if ((tag & 7) != 2 || !varint(from, &bytes) || bytes > from->bytes)
        return false; // descriptors have no fixed-width fields
    out->span = (struct span){from->at, bytes};
    from->at += bytes;
    from->bytes -= bytes;
    return true;
}

static struct span child(struct span of, uint32_t number)
{
    struct field f;
    while (next(&of, &f))
        if (f.number == number)
            return f.span;
    return (struct span){0};
}

static bool truth(struct span of, uint32_t number)
{
    struct field f;
    while (next(&of, &f))
        if (f.number == number)
            return f.value != 0;
    return false;
}

static struct span whole_set(void)
{
    return (struct span){proto_descriptors, proto_descriptors_bytes};
}

static bool equal(struct span a, struct span b)
{
    return a.bytes == b.bytes && a.bytes != 0 && memcmp(a.at, b.at, a.bytes) == 0;
}

static struct span text_span(const char *text)
{
    return (struct span){(const unsigned char *)text, strlen(text)};
}

// `text` without "scope." in front; an empty scope is in front of everything. False: not so.
static bool within(struct span text, struct span scope, struct span *rest)
{
    *rest = text;
    if (scope.bytes == 0)
        return true;
    if (text.bytes <= scope.bytes || text.at[scope.bytes] != '.' ||
        memcmp(text.at, scope.at, scope.bytes) != 0)
        return false;
    *rest = (struct span){text.at + scope.bytes + 1, text.bytes - scope.bytes - 1};
    return true;
}

// ------------------------------------------------------------------------------- methods

static bool method_find(struct span service, struct span name, struct span *out)
{
    struct field f;
    while (next(&service, &f)) {
        if (f.number == SERVICE_METHOD && equal(child(f.span, ANY_NAME), name)) {
            *out = f.span;
            return true;
        }
    }
    return false;
}

bool descriptor_method(const char *path, bool *client_streams, bool *server_streams)
{
    const char *slash = path[0] == '/' ? strchr(path + 1, '/') : NULL;
    if (!slash)
        return false;
    struct span full = {(const unsigned char *)path + 1, (size_t)(slash - path - 1)}, set, method;
    struct field file, f;
    set = whole_set();
    while (next(&set, &file)) {
        struct span rest, in = file.span;
        if (!within(full, child(file.span, FILE_PACKAGE), &rest))
            continue;
        while (next(&in, &f)) {
            if (f.number == FILE_SERVICE && equal(child(f.span, ANY_NAME), rest) &&
                method_find(f.span, text_span(slash + 1), &method)) {
                *client_streams = truth(method, METHOD_CLIENT_STREAMS);
                *server_streams = truth(method, METHOD_SERVER_STREAMS);
                return true;
            }
        }
    }
    return false;
}

bool descriptor_service(uint32_t index, char name[DESCRIPTOR_NAME_BYTES])
{
    struct span set = whole_set();
    struct field file, f;
    while (next(&set, &file)) {
        struct span in = file.span, package = child(file.span, FILE_PACKAGE);
        while (next(&in, &f)) {
            if (f.number != FILE_SERVICE || index-- > 0)
                continue;
            struct span own = child(f.span, ANY_NAME);
            int n = snprintf(name, DESCRIPTOR_NAME_BYTES, "%.*s%s%.*s", (int)package.bytes,
                             (const char *)package.at, package.bytes ? "." : "", (int)own.bytes,
                             (const char *)own.at);
            return n > 0 && n < DESCRIPTOR_NAME_BYTES;
        }
    }
    return false;
}

// ------------------------------------------------------------------------------- files

static bool file_named(struct span name, struct descriptor_file *out)
{
    struct span set = whole_set();
    struct field f;
    while (next(&set, &f)) {
        if (f.number == SET_FILE && equal(child(f.span, FILE_NAME), name)) {
            *out = (struct descriptor_file){f.span.at, f.span.bytes};
            return true;
        }
    }
    return false;
}

bool descriptor_file_named(const char *name, struct descriptor_file *out)
{
    return file_named(text_span(name), out);
}

bool descriptor_import(const struct descriptor_file *file, uint32_t index,
                       struct descriptor_file *out)
{
    struct span in = {file->bytes, file->byte_count};
    struct field f;
    while (next(&in, &f))
        if (f.number == FILE_IMPORT && index-- == 0)
            return file_named(f.span, out);
    return false;
}

// What a scope declares: the field that holds it, and what kind of scope it is itself.
enum scope { SCOPE_NONE, SCOPE_FILE, SCOPE_MESSAGE, SCOPE_ENUM, SCOPE_SERVICE };
static const struct {
    enum scope in;
    uint32_t number;
    enum scope is;
} declares[] = {
    {SCOPE_FILE, FILE_MESSAGE, SCOPE_MESSAGE},  {SCOPE_FILE, FILE_ENUM, SCOPE_ENUM},
    {SCOPE_FILE, FILE_SERVICE, SCOPE_SERVICE},  {SCOPE_FILE, FILE_EXTENSION, SCOPE_NONE},
    {SCOPE_MESSAGE, MESSAGE_FIELD, SCOPE_NONE}, {SCOPE_MESSAGE, MESSAGE_NESTED, SCOPE_MESSAGE},
    {SCOPE_MESSAGE, MESSAGE_ENUM, SCOPE_ENUM},  {SCOPE_MESSAGE, MESSAGE_EXTENSION, SCOPE_NONE},
    {SCOPE_MESSAGE, MESSAGE_ONEOF, SCOPE_NONE}, {SCOPE_SERVICE, SERVICE_METHOD, SCOPE_NONE},
};

static bool declared(enum scope in, uint32_t number, enum scope *is)
{
    for (size_t i = 0; i < sizeof declares / sizeof *declares; i++) {
        if (declares[i].in == in && declares[i].number == number) {
            *is = declares[i].is;
            return true;
        }
    }
    return false;
}

static bool enum_declares(struct span type, struct span name)
{
    struct field f;
    while (next(&type, &f))
        if (f.number == ENUM_VALUE && equal(child(f.span, ANY_NAME), name))
            return true;
    return false;
}

// Follows the names from the outermost in: no two things in a scope have one name, so there is one
// way. An enum's values are named beside it, not in it.
static bool file_declares(struct span in, struct span name)
{
    enum scope scope = SCOPE_FILE;
    while (scope != SCOPE_NONE) {
        enum scope is, inner = SCOPE_NONE;
        struct span here = in, rest;
        struct field f;
        while (next(&here, &f)) {
            if (!declared(scope, f.number, &is))
                continue;
            struct span own = child(f.span, ANY_NAME);
            if (equal(own, name) || (is == SCOPE_ENUM && enum_declares(f.span, name)))
                return true;
            if (own.bytes != 0 && within(name, own, &rest)) {
                inner = is;
                in = f.span;
                name = rest;
                break;
            }
        }
        scope = inner;
    }
    return false;
}

bool descriptor_file_of(const char *symbol, struct descriptor_file *out)
{
    struct span set = whole_set(), rest;
    struct field f;
    while (next(&set, &f)) {
        if (within(text_span(symbol), child(f.span, FILE_PACKAGE), &rest) &&
            file_declares(f.span, rest)) {
            *out = (struct descriptor_file){f.span.at, f.span.bytes};
            return true;
        }
    }
    return false;
}
