#include "stock/map.h"

#include "base/limits.h"
#include "base/status.h"

void stock_map_want(struct stock_map *m, void **where, uint64_t bytes)
{
    HF_ASSERT(m->count < STOCK_MAP_WANTS);
    m->wants[m->count].where = where;
    m->wants[m->count++].offset = m->bytes;
    m->bytes += (bytes + HF_CACHE_LINE - 1) & ~(uint64_t)(HF_CACHE_LINE - 1);
}

bool stock_map_take(struct stock_map *m, bool huge, bool prefault)
{
    enum hf_pages pages = !huge      ? HF_PAGES_SMALL
                          : prefault ? HF_PAGES_EXPLICIT
                                     : HF_PAGES_TRANSPARENT;
    if (!hf_memory_map(&m->memory, m->bytes, pages))
        return false;
    if (prefault)
        hf_memory_prefault(&m->memory);
    for (uint32_t i = 0; i < m->count; i++)
        *m->wants[i].where = (char *)m->memory.base + m->wants[i].offset;
    return true;
}

void stock_map_drop(struct stock_map *m)
{
    hf_memory_unmap(&m->memory);
    *m = (struct stock_map){{0}, {{0}}, 0, 0};
}
