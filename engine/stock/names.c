// Readers and the writer meet in the tables' entries alone: an entry is stored (N0, release) after
// everything that it leads to; a reader that loads it (N1, acquire) sees all of that. Entries are
// never changed again, so probing needs no lock.
#include "stock/names.h"

#include "base/atomics.h"
#include "base/hash.h"
#include "base/limits.h"
#include "stock/map.h"

#include <stdlib.h>
#include <string.h>

struct stock_names {
    char *text; // name i at i * stride: bytes, then a terminator
    uint8_t *lengths;
    uint32_t *table; // number + 1, 0: empty
    uint32_t mask, stride, max, count;
};

struct stock_directory {
    struct stock_names skus, locations, channels;
    struct {
        uint32_t sku, location, next; // next: handle + 1 of the SKU's next cell
    } * cells;
    struct {
        uint32_t first, last; // handle + 1
    } * sku_cells;
    uint32_t *table; // handle + 1
    uint32_t mask, max, count;
    struct stock_map map;
};

static uint32_t table_size(uint32_t entries)
{
    uint32_t size = 16;
    while (size < 2 * (uint64_t)entries && size < UINT32_C(1) << 31)
        size *= 2;
    return size;
}

static void names_layout(struct stock_names *n, struct stock_map *map, uint32_t max,
                         uint32_t bytes_max)
{
    n->max = max;
    n->stride = bytes_max + 1;
    n->mask = table_size(max) - 1;
    stock_map_want(map, (void **)&n->text, (uint64_t)max * n->stride);
    stock_map_want(map, (void **)&n->lengths, max);
    stock_map_want(map, (void **)&n->table, ((uint64_t)n->mask + 1) * sizeof *n->table);
}

// Where a name stands in the table, or would.
static uint32_t names_place(const struct stock_names *n, const char *text, uint32_t bytes,
                            uint32_t *number)
{
    uint32_t at = (uint32_t)hf_hash(text, bytes, 0) & n->mask;
    for (;; at = (at + 1) & n->mask) {
        *number = hf_load_acquire(&n->table[at]); // N1
        if (*number == 0)
            return at;
        const char *name = n->text + (uint64_t)(*number - 1) * n->stride;
        if (n->lengths[*number - 1] == bytes && memcmp(name, text, bytes) == 0)
            return at;
    }
}

static uint32_t names_find(const struct stock_names *n, const char *text, uint32_t bytes)
{
    uint32_t number;
    names_place(n, text, bytes, &number);
    return number;
}

// Number + 1 of a name, made if need be; 0: full.
static uint32_t names_add(struct stock_names *n, const char *text, uint32_t bytes)
{
    uint32_t number, at = names_place(n, text, bytes, &number);
    if (number || n->count == n->max)
        return number;
    number = n->count + 1;
    memcpy(n->text + (uint64_t)(number - 1) * n->stride, text, bytes);
    n->lengths[number - 1] = (uint8_t)bytes;
    hf_store_release(&n->table[at], number); // N0
    hf_store_release(&n->count, number);
    return number;
}

struct stock_directory *stock_directory_create(uint32_t cells_max, bool huge)
{
    struct stock_directory *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->max = cells_max;
    d->mask = table_size(cells_max) - 1;
    names_layout(&d->skus, &d->map, cells_max, HF_SKU_BYTES_MAX);
    names_layout(&d->locations, &d->map, cells_max, HF_LOCATION_BYTES_MAX);
    names_layout(&d->channels, &d->map, HF_CHANNELS_MAX, HF_CHANNEL_BYTES_MAX);
    stock_map_want(&d->map, (void **)&d->cells, (uint64_t)cells_max * sizeof *d->cells);
    stock_map_want(&d->map, (void **)&d->sku_cells, (uint64_t)cells_max * sizeof *d->sku_cells);
    stock_map_want(&d->map, (void **)&d->table, ((uint64_t)d->mask + 1) * sizeof *d->table);
    if (!stock_map_take(&d->map, huge, false)) {
        free(d);
        return NULL;
    }
    return d;
}

void stock_directory_destroy(struct stock_directory *d)
{
    if (!d)
        return;
    stock_map_drop(&d->map);
    free(d);
}

uint64_t stock_directory_bytes(const struct stock_directory *d)
{
    return d->map.memory.bytes;
}

// Where a pair stands in the table, or would; *entry: handle + 1, 0: nowhere.
static uint32_t pair_place(const struct stock_directory *d, uint32_t sku, uint32_t location,
                           uint32_t *entry)
{
    uint32_t at = (uint32_t)hf_mix64(((uint64_t)sku << 32) | location) & d->mask;
    for (;; at = (at + 1) & d->mask) {
        *entry = hf_load_acquire(&d->table[at]); // N1
        if (*entry == 0 ||
            (d->cells[*entry - 1].sku == sku && d->cells[*entry - 1].location == location))
            return at;
    }
}

enum hf_status stock_directory_find(const struct stock_directory *d, const char *sku,
                                    uint32_t sku_bytes, const char *location,
                                    uint32_t location_bytes, uint32_t *handle)
{
    uint32_t s = names_find(&d->skus, sku, sku_bytes), entry;
    uint32_t l = s ? names_find(&d->locations, location, location_bytes) : 0;
    if (!l)
        return HF_NOT_FOUND;
    pair_place(d, s, l, &entry);
    if (entry == 0)
        return HF_NOT_FOUND;
    *handle = entry - 1;
    return HF_OK;
}

enum hf_status stock_directory_add(struct stock_directory *d, const char *sku, uint32_t sku_bytes,
                                   const char *location, uint32_t location_bytes, uint32_t *handle)
{
    if (d->count == d->max) // names are made only for a cell
        return stock_directory_find(d, sku, sku_bytes, location, location_bytes, handle) == HF_OK
                   ? HF_EXISTS
                   : HF_FULL;
    uint32_t s = names_add(&d->skus, sku, sku_bytes);
    uint32_t l = names_add(&d->locations, location, location_bytes);
    if (!s || !l)
        return HF_FULL;
    uint32_t h = d->count, entry, at = pair_place(d, s, l, &entry);
    if (entry) {
        *handle = entry - 1;
        return HF_EXISTS;
    }
    d->cells[h].sku = s;
    d->cells[h].location = l;
    d->cells[h].next = 0;
    if (d->sku_cells[s - 1].last)
        hf_store_release(&d->cells[d->sku_cells[s - 1].last - 1].next, h + 1);
    else
        hf_store_release(&d->sku_cells[s - 1].first, h + 1);
    d->sku_cells[s - 1].last = h + 1;
    hf_store_release(&d->table[at], h + 1); // N0
    hf_store_release(&d->count, h + 1);
    *handle = h;
    return HF_OK;
}

uint32_t stock_directory_count(const struct stock_directory *d)
{
    return hf_load_acquire(&d->count);
}

struct stock_name stock_directory_name(const struct stock_directory *d, uint32_t handle)
{
    uint32_t s = d->cells[handle].sku - 1, l = d->cells[handle].location - 1;
    return (struct stock_name){d->skus.text + (uint64_t)s * d->skus.stride,
                               d->locations.text + (uint64_t)l * d->locations.stride,
                               d->skus.lengths[s], d->locations.lengths[l]};
}

uint32_t stock_directory_of_sku(const struct stock_directory *d, const char *sku,
                                uint32_t sku_bytes, uint32_t *handles, uint32_t max)
{
    uint32_t s = names_find(&d->skus, sku, sku_bytes), n = 0;
    if (!s)
        return 0;
    uint32_t at = hf_load_acquire(&d->sku_cells[s - 1].first);
    for (; at; at = hf_load_acquire(&d->cells[at - 1].next), n++)
        if (n < max)
            handles[n] = at - 1;
    return n;
}

bool stock_directory_sku_first(const struct stock_directory *d, const char *sku, uint32_t sku_bytes,
                               uint32_t *handle)
{
    uint32_t s = names_find(&d->skus, sku, sku_bytes);
    uint32_t first = s ? hf_load_acquire(&d->sku_cells[s - 1].first) : 0;
    *handle = first - 1;
    return first != 0;
}

uint32_t stock_directory_sku_next(const struct stock_directory *d, uint32_t handle)
{
    return hf_load_acquire(&d->cells[handle].next);
}

enum hf_status stock_channel_find(const struct stock_directory *d, const char *name, uint32_t bytes,
                                  uint16_t *channel)
{
    uint32_t number = names_find(&d->channels, name, bytes);
    *channel = (uint16_t)number;
    return number ? HF_OK : HF_NOT_FOUND;
}

enum hf_status stock_channel_add(struct stock_directory *d, const char *name, uint32_t bytes,
                                 uint16_t *channel)
{
    if (stock_channel_find(d, name, bytes, channel) == HF_OK)
        return HF_EXISTS;
    *channel = (uint16_t)names_add(&d->channels, name, bytes);
    return *channel ? HF_OK : HF_FULL;
}

const char *stock_channel_name(const struct stock_directory *d, uint16_t channel)
{
    if (channel == 0 || channel > stock_channel_count(d))
        return NULL;
    return d->channels.text + (uint64_t)(channel - 1) * d->channels.stride;
}

uint16_t stock_channel_count(const struct stock_directory *d)
{
    return (uint16_t)hf_load_acquire(&d->channels.count);
}

bool stock_name_valid(const char *text, uint32_t bytes, uint32_t max)
{
    if (bytes == 0 || bytes > max)
        return false;
    const unsigned char *p = (const unsigned char *)text, *end = p + bytes;
    while (p < end) {
        unsigned c = *p++;
        if (c < 0x20 || c == 0x7f)
            return false;
        if (c < 0x80)
            continue;
        int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        if (c < 0xc2 || c > 0xf4 || end - p < more)
            return false;
        // The first continuation excludes overlong forms, surrogates, what lies past U+10FFFF and
        // the second set of controls, U+0080 to U+009F.
        unsigned least = c == 0xe0 || c == 0xc2 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
        unsigned most = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        if (*p < least || *p > most)
            return false;
        for (p++; --more > 0; p++)
            if ((*p & 0xc0) != 0x80)
                return false;
    }
    return true;
}
