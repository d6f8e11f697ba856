// What the stand-in holds: arrays that grow up to their bound, found by chained buckets.
#include "sandbox/sandbox_internal.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void outcome_fail(struct outcome *o, int status, const char *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(o->message, sizeof o->message, format, args);
    va_end(args);
    o->status = status;
    o->error = error;
}

static uint32_t text_hash(const char *text)
{
    uint32_t h = 2166136261u; // FNV-1a
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 16777619u;
    return h ^ (h >> 15);
}

static uint32_t place_hash(uint32_t product, uint32_t location)
{
    uint64_t h = ((uint64_t)product << 32 | location) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 32);
}

// Room for one more; doubles. False: at its bound, or no memory.
static bool grow(void **at, uint32_t *room, uint32_t count, uint32_t max, size_t each)
{
    if (count < *room)
        return true;
    uint32_t more = *room ? *room * 2 : 256;
    if (more > max)
        more = max;
    if (count >= more)
        return false;
    void *bigger = realloc(*at, (size_t)more * each);
    if (!bigger)
        return false;
    *at = bigger;
    *room = more;
    return true;
}

// Buckets at least as many as records; the caller re-enters all of them when true.
static bool chain_grow(struct chain *c, uint32_t count, bool *again)
{
    *again = false;
    if (c->buckets && count <= c->mask)
        return true;
    uint32_t size = c->buckets ? (c->mask + 1) * 4 : 1024;
    uint32_t *buckets = calloc(size, sizeof *buckets);
    if (!buckets)
        return false;
    free(c->buckets);
    c->buckets = buckets;
    c->mask = size - 1;
    *again = true;
    return true;
}

static void chain_enter(struct chain *c, uint32_t hash, uint32_t index, uint32_t *next)
{
    uint32_t *bucket = &c->buckets[hash & c->mask];
    *next = *bucket;
    *bucket = index + 1;
}

static uint32_t chain_first(const struct chain *c, uint32_t hash)
{
    return c->buckets ? c->buckets[hash & c->mask] : 0;
}

// ------------------------------------------------------------------------------- by id

static bool index_of(json_int_t id, enum sandbox_base base, uint32_t count, uint32_t *index)
{
    if (id < (json_int_t)base || id >= (json_int_t)base + count)
        return false;
    *index = (uint32_t)(id - (json_int_t)base);
    return true;
}

struct location *location_of(struct sandbox *s, json_int_t id)
{
    uint32_t i;
    return index_of(id, BASE_LOCATION, s->location_count, &i) ? &s->locations[i] : NULL;
}

struct product *product_of(struct sandbox *s, json_int_t id)
{
    uint32_t i;
    return index_of(id, BASE_PRODUCT, s->product_count, &i) ? &s->products[i] : NULL;
}

struct picking *picking_of(struct sandbox *s, json_int_t id)
{
    uint32_t i;
    return index_of(id, BASE_PICKING, s->picking_count, &i) ? &s->pickings[i] : NULL;
}

// ------------------------------------------------------------------------------- making

static void location_add(struct sandbox *s, const char *complete, const char *usage,
                         uint32_t company_id)
{
    struct location *l = &s->locations[s->location_count++];
    const char *slash = strrchr(complete, '/');
    snprintf(l->complete, sizeof l->complete, "%s", complete);
    snprintf(l->name, sizeof l->name, "%s", slash ? slash + 1 : complete);
    snprintf(l->usage, sizeof l->usage, "%s", usage);
    l->company_id = company_id;
}

bool location_make(struct sandbox *s, const char *complete, const char *usage, uint32_t company_id)
{
    if (s->location_count == SANDBOX_LOCATIONS || !*complete ||
        strlen(complete) >= sizeof s->locations->complete ||
        strlen(usage) >= sizeof s->locations->usage)
        return false;
    location_add(s, complete, usage, company_id);
    return true;
}

struct warehouse *warehouse_get(struct sandbox *s, const char *code, uint32_t company_id)
{
    char complete[SANDBOX_NAME_BYTES];
    for (uint32_t i = 0; i < s->warehouse_count; i++)
        if (strcmp(s->warehouses[i].code, code) == 0 && s->warehouses[i].company_id == company_id)
            return &s->warehouses[i];
    if (s->warehouse_count == SANDBOX_WAREHOUSES || s->location_count + 5 > SANDBOX_LOCATIONS ||
        strlen(code) >= sizeof s->warehouses->code || !*code)
        return NULL;
    if (s->location_count == 0) {
        location_add(s, "Partners/Customers", "customer", 0);
        location_add(s, "Partners/Vendors", "supplier", 0);
        location_add(s, "Virtual Locations/Inventory adjustment", "inventory", 0);
        location_add(s, "Virtual Locations/Scrap", "inventory", 0);
    }
    struct warehouse *w = &s->warehouses[s->warehouse_count++];
    memcpy(w->code, code, strlen(code) + 1);
    snprintf(w->name, sizeof w->name, "Warehouse %s", code);
    w->company_id = company_id;
    w->stock = s->location_count;
    snprintf(complete, sizeof complete, "%s/Stock", code);
    location_add(s, complete, "internal", company_id);
    return w;
}

struct product *product_add(struct sandbox *s, const char *code)
{
    bool again;
    if (!grow((void **)&s->products, &s->product_room, s->product_count, s->options.products_max,
              sizeof *s->products) ||
        !chain_grow(&s->by_code, s->product_count, &again) || strlen(code) >= SANDBOX_NAME_BYTES)
        return NULL;
    for (uint32_t i = 0; again && i < s->product_count; i++)
        chain_enter(&s->by_code, text_hash(s->products[i].code), i, &s->products[i].next);
    struct product *p = &s->products[s->product_count];
    *p = (struct product){.tracking = "none", .uom_id = 1, .storable = true};
    memcpy(p->code, code, strlen(code) + 1);
    memcpy(p->name, code, strlen(code) + 1);
    chain_enter(&s->by_code, text_hash(code), s->product_count++, &p->next);
    return p;
}

bool product_rename(struct sandbox *s, struct product *p, const char *code)
{
    uint32_t index = (uint32_t)(p - s->products);
    uint32_t *at = &s->by_code.buckets[text_hash(p->code) & s->by_code.mask];
    if (strlen(code) >= SANDBOX_NAME_BYTES)
        return false;
    while (*at != index + 1)
        at = &s->products[*at - 1].next;
    *at = p->next;
    snprintf(p->code, sizeof p->code, "%s", code);
    chain_enter(&s->by_code, text_hash(code), index, &p->next);
    return true;
}

struct product *product_find(struct sandbox *s, const char *code)
{
    uint32_t at = chain_first(&s->by_code, text_hash(code));
    while (at && strcmp(s->products[at - 1].code, code) != 0)
        at = s->products[at - 1].next;
    return at ? &s->products[at - 1] : NULL;
}

struct picking *picking_find(struct sandbox *s, const char *name, uint32_t company_id)
{
    uint32_t at = chain_first(&s->by_name, text_hash(name));
    while (at && (strcmp(s->pickings[at - 1].name, name) != 0 ||
                  s->pickings[at - 1].company_id != company_id))
        at = s->pickings[at - 1].next;
    return at ? &s->pickings[at - 1] : NULL;
}

struct picking *picking_add(struct sandbox *s, const char *name)
{
    bool again;
    if (!grow((void **)&s->pickings, &s->picking_room, s->picking_count, s->options.pickings_max,
              sizeof *s->pickings) ||
        !chain_grow(&s->by_name, s->picking_count, &again))
        return NULL;
    for (uint32_t i = 0; again && i < s->picking_count; i++)
        chain_enter(&s->by_name, text_hash(s->pickings[i].name), i, &s->pickings[i].next);
    struct picking *p = &s->pickings[s->picking_count];
    *p = (struct picking){.move_first = s->move_count};
    snprintf(p->name, sizeof p->name, "%s", name);
    chain_enter(&s->by_name, text_hash(p->name), s->picking_count++, &p->next);
    return p;
}

struct move *move_add(struct sandbox *s, struct picking *p)
{
    if (!grow((void **)&s->moves, &s->move_room, s->move_count, s->options.moves_max,
              sizeof *s->moves))
        return NULL;
    struct move *m = &s->moves[s->move_count++];
    *m = (struct move){.picking = (uint32_t)(p - s->pickings)};
    p->move_count++;
    return m;
}

void store_rewind(struct sandbox *s, uint32_t picking_count, uint32_t move_count)
{
    while (s->picking_count > picking_count) {
        struct picking *p = &s->pickings[--s->picking_count];
        // Entered last, so it stands first in its bucket.
        s->by_name.buckets[text_hash(p->name) & s->by_name.mask] = p->next;
    }
    s->move_count = move_count;
}

struct quant *quant_get(struct sandbox *s, uint32_t product, uint32_t location)
{
    bool again;
    uint32_t hash = place_hash(product, location), at = chain_first(&s->by_place, hash);
    while (at && (s->quants[at - 1].product != product || s->quants[at - 1].location != location))
        at = s->quants[at - 1].next;
    if (at)
        return &s->quants[at - 1];
    if (!grow((void **)&s->quants, &s->quant_room, s->quant_count, UINT32_MAX / 64,
              sizeof *s->quants) ||
        !chain_grow(&s->by_place, s->quant_count, &again))
        return NULL;
    for (uint32_t i = 0; again && i < s->quant_count; i++)
        chain_enter(&s->by_place, place_hash(s->quants[i].product, s->quants[i].location), i,
                    &s->quants[i].next);
    struct quant *q = &s->quants[s->quant_count];
    *q = (struct quant){.product = product, .location = location};
    chain_enter(&s->by_place, hash, s->quant_count++, &q->next);
    return q;
}

// ------------------------------------------------------------------------------- quantities

int64_t quantity_round(const struct sandbox *s, int64_t millionths)
{
    int64_t step = 1;
    for (uint32_t i = s->options.unit_digits; i < SANDBOX_DIGITS_MAX; i++)
        step *= 10;
    int64_t whole = (llabs(millionths) + step / 2) / step * step;
    return millionths < 0 ? -whole : whole;
}

bool quantity_parse(const json_t *v, int64_t *millionths)
{
    if (!json_is_number(v))
        return false;
    double x = json_number_value(v) * (double)SANDBOX_MILLION;
    if (!(fabs(x) <= (double)SANDBOX_QUANTITY_MAX))
        return false;
    *millionths = llround(x);
    return true;
}

json_t *quantity_json(int64_t millionths)
{
    return json_real((double)millionths / (double)SANDBOX_MILLION);
}

// ------------------------------------------------------------------------------- the whole

void sandbox_options_default(struct sandbox_options *o)
{
    *o = (struct sandbox_options){.database = "odoo",
                                  .uuid = "5ca1ab1e-0000-4000-8000-0000000d0019",
                                  .key = "sandbox",
                                  .products_max = 1000000,
                                  .pickings_max = 1000000,
                                  .moves_max = 8000000,
                                  .server_action = true,
                                  .version = 19,
                                  .unit_digits = 2};
}

struct sandbox *sandbox_create(const struct sandbox_options *o)
{
    struct sandbox *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->options = *o;
    s->random = o->seed;
    snprintf(s->database, sizeof s->database, "%s", o->database);
    snprintf(s->uuid, sizeof s->uuid, "%s", o->uuid);
    snprintf(s->key, sizeof s->key, "%s", o->key);
    pthread_mutex_init(&s->mutex, NULL);
    s->locations = calloc(SANDBOX_LOCATIONS, sizeof *s->locations);
    s->warehouses = calloc(SANDBOX_WAREHOUSES, sizeof *s->warehouses);
    if (s->options.server_action)
        s->action_code = strdup("# Holdfast, the stand-in's own\n");
    if (!s->locations || !s->warehouses || !warehouse_get(s, "WH", 1)) {
        sandbox_destroy(s);
        return NULL;
    }
    return s;
}

void sandbox_destroy(struct sandbox *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->mutex);
    free(s->products);
    free(s->locations);
    free(s->warehouses);
    free(s->quants);
    free(s->pickings);
    free(s->moves);
    free(s->action_code);
    if (s->log)
        fclose(s->log);
    free(s->by_code.buckets);
    free(s->by_place.buckets);
    free(s->by_name.buckets);
    free(s);
}

// Up to the next comma or the end; false when too long.
static bool csv_field(const char **at, const char *end, char *to, size_t room)
{
    size_t n = 0;
    while (*at < end && **at != ',')
        if (n + 1 < room)
            to[n++] = *(*at)++;
        else
            return false;
    to[n] = '\0';
    if (*at < end)
        ++*at;
    return true;
}

static bool tracking_valid(const char *t)
{
    return !*t || strcmp(t, "none") == 0 || strcmp(t, "lot") == 0 || strcmp(t, "serial") == 0;
}

// NULL, or what is wrong with the line.
static const char *csv_line(struct sandbox *s, const char *at, const char *end)
{
    char code[SANDBOX_NAME_BYTES], place[16], quantity[32], tracking[8], *stop;
    if (!csv_field(&at, end, code, sizeof code) || !*code)
        return "its default_code is empty, or longer than 95 bytes";
    if (!csv_field(&at, end, place, sizeof place) || !*place)
        return "its warehouse is not there, or longer than 15 bytes";
    if (!csv_field(&at, end, quantity, sizeof quantity) || !*quantity)
        return "its quantity is not there, or longer than 31 bytes";
    double q = strtod(quantity, &stop);
    if (*stop || !(fabs(q) < 9e12))
        return "its quantity is no number, or not below 9e12";
    if (!csv_field(&at, end, tracking, sizeof tracking) || !tracking_valid(tracking))
        return "its tracking is none of none, lot and serial";
    struct product *p = product_find(s, code);
    if (!p)
        p = product_add(s, code);
    if (!p)
        return "there is no room for another product: --products-max";
    struct warehouse *w = warehouse_get(s, place, 1);
    if (!w)
        return "there are too many warehouses";
    struct quant *at_quant = quant_get(s, (uint32_t)(p - s->products), w->stock);
    if (!at_quant)
        return "there is no room for another product's stock: --products-max";
    at_quant->quantity += llround(q * (double)SANDBOX_MILLION);
    if (*tracking)
        memcpy(p->tracking, tracking, sizeof tracking);
    return NULL;
}
static_assert(SANDBOX_NAME_BYTES == 96, "a text above tells it");

bool sandbox_seed_csv(struct sandbox *s, const char *text, size_t bytes, uint32_t *line)
{
    const char *end = text + bytes;
    const char *wrong = NULL;
    pthread_mutex_lock(&s->mutex);
    for (*line = 1; text < end; ++*line) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        const char *next = stop ? stop + 1 : end;
        stop = stop ? stop : end;
        if (stop > text && stop[-1] == '\r')
            stop--;
        bool heading = *line == 1 && stop - text >= 12 && memcmp(text, "default_code", 12) == 0;
        wrong = heading || stop == text ? NULL : csv_line(s, text, stop);
        if (wrong)
            break;
        text = next;
    }
    s->seed_wrong = wrong ? wrong : "";
    pthread_mutex_unlock(&s->mutex);
    return wrong == NULL;
}

const char *sandbox_seed_wrong(const struct sandbox *s)
{
    return s->seed_wrong;
}

int64_t sandbox_quantity(struct sandbox *s, const char *default_code, const char *complete_name)
{
    int64_t sum = 0;
    pthread_mutex_lock(&s->mutex);
    for (uint32_t i = 0; i < s->quant_count; i++)
        if (strcmp(s->products[s->quants[i].product].code, default_code) == 0 &&
            strcmp(s->locations[s->quants[i].location].complete, complete_name) == 0)
            sum += s->quants[i].quantity;
    pthread_mutex_unlock(&s->mutex);
    return sum;
}

static const char *const state_names[] = {"draft", "assigned", "done", "cancel"};

uint64_t sandbox_pickings(struct sandbox *s, const char *state)
{
    uint64_t n = 0;
    pthread_mutex_lock(&s->mutex);
    for (uint32_t i = 0; i < s->picking_count; i++)
        n += strcmp(state_names[s->pickings[i].state], state) == 0;
    pthread_mutex_unlock(&s->mutex);
    return n;
}
