// What is to be told, as an object of JSON: the state file's, --json's, and what is sent.
#include "ctl/again.h"

#include "base/hash.h"
#include "base/limits.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES   4096
#define PLAN_VERSION 1

struct hf_uuid again_id(struct hf_uuid run, const char *reference, unsigned part)
{
    uint64_t seed = hf_hash_uuid(&run) + part;
    uint64_t hi = hf_hash(reference, strlen(reference), seed);
    uint64_t lo = hf_hash(reference, strlen(reference), ~seed);
    return hf_uuid_v7(hf_uuid_ms(run), hi, lo);
}

static json_t *order_make(struct hf_uuid run, const struct again_order *o, unsigned part)
{
    char id[HF_UUID_TEXT_BYTES];
    hf_uuid_format(again_id(run, o->reference, part), id);
    return json_pack("{s:s,s:s,s:s,s:I,s:[]}", "reservation_id", id, "reference", o->reference,
                     "channel", o->channel, "sold_ms", (json_int_t)o->newest_ms, "lines");
}

static void order_plan(const struct again_book *b, const struct again_order *o,
                       struct again_plan *p)
{
    json_t *lines = NULL;
    unsigned part = 0;
    for (size_t i = o->first; i < o->first + o->count; i++) {
        const struct again_line *l = &b->lines[i];
        const struct again_cell *cell = &b->cells[l->cell];
        if (l->told <= 0)
            continue;
        if (!lines || json_array_size(lines) == HF_LINES_MAX) {
            json_t *order = order_make(p->run, o, part++);
            json_array_append_new(p->orders, order);
            lines = json_object_get(order, "lines");
        }
        json_array_append_new(lines, json_pack("{s:s,s:s,s:i,s:I}", "sku", cell->sku, "location",
                                               cell->location, "unit_scale", (int)cell->scale,
                                               "quantity", (json_int_t)l->told));
    }
}

void again_plan_make(const struct again_book *b, struct hf_uuid run, struct again_plan *p)
{
    *p = (struct again_plan){.run = run, .orders = json_array()};
    for (uint32_t i = 0; i < b->order_count; i++)
        order_plan(b, &b->orders[i], p);
}

void again_plan_fini(struct again_plan *p)
{
    json_decref(p->orders);
}

// ------------------------------------------------------------------------------- the state file

static bool write_whole(const char *path, json_t *object)
{
    FILE *f = fopen(path, "we");
    if (!f)
        return false;
    bool good = json_dumpf(object, f, JSON_INDENT(1)) == 0 && fputc('\n', f) != EOF &&
                fflush(f) == 0 && fsync(fileno(f)) == 0;
    return fclose(f) == 0 && good;
}

bool again_plan_write(struct ctl *c, const char *path, const struct again_plan *p)
{
    char id[HF_UUID_TEXT_BYTES], beside[PATH_BYTES];
    hf_uuid_format(p->run, id);
    json_t *object =
        json_pack("{s:i,s:s,s:O}", "tell_again", PLAN_VERSION, "run_id", id, "orders", p->orders);
    int n = snprintf(beside, sizeof beside, "%s.new", path);
    bool good = n > 0 && (size_t)n < sizeof beside && write_whole(beside, object) &&
                rename(beside, path) == 0;
    if (!good)
        ctl_usage(c, "%s cannot be written: %m", path);
    json_decref(object);
    return good;
}

static bool text_good(const json_t *object, const char *key, size_t least, size_t most)
{
    const json_t *text = json_object_get(object, key);
    size_t bytes = json_string_length(text);
    return json_is_string(text) && bytes >= least && bytes <= most;
}

static bool line_good(const json_t *l)
{
    json_int_t scale = json_integer_value(json_object_get(l, "unit_scale")),
               quantity = json_integer_value(json_object_get(l, "quantity"));
    return text_good(l, "sku", 1, HF_SKU_BYTES_MAX) &&
           text_good(l, "location", 1, HF_LOCATION_BYTES_MAX) && scale >= 0 &&
           scale <= HF_UNIT_SCALE_MAX && quantity > 0 && quantity <= HF_QUANTITY_MAX;
}

static bool order_good(const json_t *o)
{
    struct hf_uuid id;
    size_t i;
    const json_t *lines = json_object_get(o, "lines");
    json_t *line;
    bool good = text_good(o, "reservation_id", 1, HF_UUID_CHARACTERS) &&
                hf_uuid_parse(json_string_value(json_object_get(o, "reservation_id")), &id) &&
                text_good(o, "reference", 1, HF_REFERENCE_BYTES_MAX) &&
                text_good(o, "channel", 0, HF_CHANNEL_BYTES_MAX) &&
                json_integer_value(json_object_get(o, "sold_ms")) > 0 &&
                json_array_size(lines) > 0 && json_array_size(lines) <= HF_LINES_MAX;
    json_array_foreach((json_t *)lines, i, line) good = good && line_good(line);
    return good;
}

bool again_plan_read(struct ctl *c, const char *path, struct again_plan *p)
{
    json_error_t error;
    *p = (struct again_plan){0};
    json_t *object = json_load_file(path, 0, &error), *orders = NULL, *order;
    if (!object) {
        ctl_usage(c, "%s: %s", path, error.text);
        return false;
    }
    const char *id = "";
    int version = 0;
    size_t i;
    bool good = json_unpack(object, "{s:i,s:s,s:O}", "tell_again", &version, "run_id", &id,
                            "orders", &orders) == 0 &&
                version == PLAN_VERSION && hf_uuid_parse(id, &p->run) && json_is_array(orders);
    json_array_foreach(orders, i, order) good = good && order_good(order);
    p->orders = orders;
    if (!good)
        ctl_usage(c, "%s is no plan of tell-again that this program can go on with", path);
    json_decref(object);
    return good;
}
