#include "load/cells.h"

#include <stdlib.h>
#include <string.h>

#define HANDLES_MAX (1u << 28) // a directory holds no more

void cells_init(struct cells *c)
{
    *c = (struct cells){0};
}

void cells_fini(struct cells *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        free((void *)(uintptr_t)c->list[i].sku);
        free((void *)(uintptr_t)c->list[i].location);
    }
    free(c->list);
    free(c->by_handle);
}

struct cell *cells_add(struct cells *c, const char *sku, const char *location)
{
    if (c->count == c->room) {
        uint32_t room = c->room ? c->room * 2 : 1024;
        struct cell *list = realloc(c->list, room * sizeof *list);
        if (!list)
            return NULL;
        c->list = list;
        c->room = room;
    }
    struct cell *cell = &c->list[c->count];
    *cell = (struct cell){0};
    if (sku && location) {
        cell->sku = strdup(sku);
        cell->location = strdup(location);
        if (!cell->sku || !cell->location) {
            free((void *)(uintptr_t)cell->sku);
            free((void *)(uintptr_t)cell->location);
            return NULL;
        }
    }
    c->count++;
    return cell;
}

enum hf_status cells_handle(struct cells *c, uint32_t index, uint32_t handle)
{
    if (handle >= HANDLES_MAX)
        return HF_NO_MEMORY;
    if (handle >= c->handle_room) {
        uint64_t room = c->handle_room ? c->handle_room : 1024;
        while (room <= handle)
            room *= 2;
        uint32_t *table = realloc(c->by_handle, room * sizeof *table);
        if (!table)
            return HF_NO_MEMORY;
        memset(table + c->handle_room, 0xff, (room - c->handle_room) * sizeof *table);
        c->by_handle = table;
        c->handle_room = (uint32_t)room;
    }
    c->list[index].handle = handle;
    c->list[index].has_handle = true;
    c->by_handle[handle] = index;
    return HF_OK;
}

uint32_t cells_find(const struct cells *c, uint32_t handle)
{
    return handle < c->handle_room ? c->by_handle[handle] : CELLS_NONE;
}
