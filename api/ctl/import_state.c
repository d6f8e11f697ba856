// The state file: an object of JSON, so that people can read what there is to resume.
#include "ctl/import.h"

#include "base/hash.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES    4096
#define STATE_VERSION 1

struct hf_uuid import_operation(struct hf_uuid import, const char *sku, const char *location)
{
    uint64_t seed = hf_hash_uuid(&import);
    uint64_t hi = hf_hash(location, strlen(location), hf_hash(sku, strlen(sku), seed));
    uint64_t lo = hf_hash(location, strlen(location), hf_hash(sku, strlen(sku), ~seed));
    return hf_uuid_v7(hf_uuid_ms(import), hi, lo);
}

static bool write_whole(const char *path, json_t *object)
{
    FILE *f = fopen(path, "we");
    if (!f)
        return false;
    bool good = json_dumpf(object, f, JSON_INDENT(2)) == 0 && fputc('\n', f) != EOF &&
                fflush(f) == 0 && fsync(fileno(f)) == 0;
    return fclose(f) == 0 && good;
}

bool import_state_write(struct ctl *c, const char *path, const struct import_state *s)
{
    char id[HF_UUID_TEXT_BYTES], hash[24], beside[PATH_BYTES];
    hf_uuid_format(s->id, id);
    snprintf(hash, sizeof hash, "%016" PRIx64, s->file_hash);
    json_t *object = json_pack("{s:i,s:s,s:s,s:I,s:b,s:s}", "version", STATE_VERSION, "import_id",
                               id, "file_hash", hash, "next_row", (json_int_t)s->next_row, "raw",
                               (int)s->raw, "reason", s->reason);
    int n = snprintf(beside, sizeof beside, "%s.new", path);
    bool good = object && n > 0 && (size_t)n < sizeof beside && write_whole(beside, object) &&
                rename(beside, path) == 0;
    if (!good)
        ctl_usage(c, "%s cannot be written: %m", path);
    json_decref(object);
    return good;
}

bool import_state_read(struct ctl *c, const char *path, struct import_state *s)
{
    json_error_t error;
    json_t *object = json_load_file(path, 0, &error);
    if (!object) {
        ctl_usage(c, "%s: %s", path, error.text);
        return false;
    }
    const char *id, *hash, *reason;
    json_int_t next;
    int version, raw;
    *s = (struct import_state){0};
    bool good =
        json_unpack(object, "{s:i,s:s,s:s,s:I,s:b,s:s}", "version", &version, "import_id", &id,
                    "file_hash", &hash, "next_row", &next, "raw", &raw, "reason", &reason) == 0 &&
        version == STATE_VERSION && hf_uuid_parse(id, &s->id) && next >= 0 &&
        strlen(reason) < sizeof s->reason;
    if (good) {
        s->file_hash = strtoull(hash, NULL, 16);
        s->next_row = (uint64_t)next;
        s->raw = raw != 0;
        snprintf(s->reason, sizeof s->reason, "%s", reason);
    } else {
        ctl_usage(c, "%s is no state of an import that this program can go on with", path);
    }
    json_decref(object);
    return good;
}
