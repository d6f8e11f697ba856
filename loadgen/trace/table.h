// Numbers for texts, in order of appearance: a hash table that grows.
#ifndef HOLDFAST_LOADGEN_TABLE_H
#define HOLDFAST_LOADGEN_TABLE_H

#include "base/hash.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct table {
    char **texts;     // by number
    uint32_t *places; // number + 1, 0: empty
    uint32_t count, room;
};

static inline uint32_t *table_place(struct table *t, const char *text)
{
    uint64_t at = hf_hash(text, strlen(text), 1);
    while (t->places[at & (t->room - 1)] &&
           strcmp(t->texts[t->places[at & (t->room - 1)] - 1], text) != 0)
        at++;
    return &t->places[at & (t->room - 1)];
}

static inline void table_grow(struct table *t)
{
    uint32_t room = t->room ? t->room * 2 : 1024;
    char **texts = realloc(t->texts, room * sizeof *texts);
    if (texts)
        t->texts = texts;
    uint32_t *places = calloc(room, sizeof *places);
    if (!texts || !places)
        abort(); // a test without memory tests nothing
    free(t->places);
    t->places = places;
    t->room = room;
    for (uint32_t i = 0; i < t->count; i++)
        *table_place(t, t->texts[i]) = i + 1;
}

static inline uint32_t table_number(struct table *t, const char *text)
{
    if (t->count * 2 >= t->room)
        table_grow(t);
    uint32_t *place = table_place(t, text);
    if (*place == 0) {
        t->texts[t->count] = strdup(text);
        *place = ++t->count;
    }
    return *place - 1;
}

static inline void table_free(struct table *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        free(t->texts[i]);
    free(t->texts);
    free(t->places);
}

#endif
