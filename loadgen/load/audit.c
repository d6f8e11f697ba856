#include "load/audit.h"

#include "sys/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define LOOK_MS     200 // between looks while something differs
#define DEADLINE_MS 20  // a hold's stock is back within 10 ms of its deadline

static bool adds_up(const struct cell_values *v)
{
    return v->available ==
           v->on_hand - v->held - v->committed - v->external - v->safety + v->backorder;
}

// Only facts take available below zero: what happened elsewhere, corrections, people's settings.
static bool oversold(const struct cell_values *begin, const struct book_cell *book,
                     const struct cell_values *end)
{
    bool settings = end->external > begin->external || end->safety > begin->safety ||
                    end->backorder < begin->backorder;
    return !settings && begin->available >= 0 &&
           end->available + book->recorded + book->written_off < 0;
}

const char *audit_cell(const struct cell_values *begin, const struct book_cell *book,
                       const struct cell_values *end, char *why, size_t bytes)
{
    long long held = (long long)(begin->held + book_held(book));
    long long net = (long long)(begin->on_hand - begin->committed + book_net(book));
    if (end->held > held || end->held < held - begin->held) // another's holds may end meanwhile
        snprintf(why, bytes, "%lld held, by the book %lld", (long long)end->held, held);
    else if (end->on_hand - end->committed != net)
        snprintf(why, bytes,
                 "%lld on hand and not sold (%lld on hand, %lld sold), by the book %lld",
                 (long long)(end->on_hand - end->committed), (long long)end->on_hand,
                 (long long)end->committed, net);
    else if (!adds_up(end))
        snprintf(why, bytes, "%lld available, its terms add up to %lld", (long long)end->available,
                 (long long)(end->on_hand - end->held - end->committed - end->external -
                             end->safety + end->backorder));
    else if (oversold(begin, book, end))
        snprintf(why, bytes, "%lld available: oversold", (long long)end->available);
    else
        return NULL;
    return why;
}

static bool stopped(const struct audit *a)
{
    return a->stop && atomic_load(a->stop) > 1;
}

static void pause_until_ms(const struct audit *a, uint64_t wall_ms)
{
    struct link *link = a->catalogue->asker->link;
    while (clock_wall_ms(clock_os()) < wall_ms && !stopped(a))
        link_poll(link, clock_monotonic_ns(clock_os()) + 20000000, 16);
}

// Looks again at the cells of `indexes`, and keeps those that still hold stock at the front.
static bool begin_again(struct audit *a, uint32_t *indexes, struct cell_values *values)
{
    struct cell *cells = a->catalogue->cells->list;
    uint32_t count = (uint32_t)a->others;
    a->others = 0;
    if (!catalogue_read(a->catalogue, indexes, count, values))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        cells[indexes[i]].begin = values[i];
        if (values[i].held)
            indexes[a->others++] = indexes[i];
    }
    return true;
}

bool audit_begin(struct audit *a)
{
    const struct cells *cells = a->catalogue->cells;
    if (!catalogue_begin(a->catalogue))
        return false;
    uint32_t *indexes = malloc((cells->count + 1) * sizeof *indexes);
    struct cell_values *values = malloc((cells->count + 1) * sizeof *values);
    if (!indexes || !values)
        abort(); // as below
    uint64_t end_ms = clock_wall_ms(clock_os()) + a->settle_ms;
    bool read = true;
    for (uint32_t i = 0; i < cells->count; i++)
        if (cells->list[i].begin.held)
            indexes[a->others++] = i;
    while (a->others && read && clock_wall_ms(clock_os()) < end_ms && !stopped(a)) {
        pause_until_ms(a, clock_wall_ms(clock_os()) + LOOK_MS);
        read = begin_again(a, indexes, values);
    }
    free(indexes);
    free(values);
    return read;
}

// What is wrong now; keeps the cells that are wrong, and their values, at the front.
static uint32_t look(struct audit *a, uint32_t *indexes, uint32_t count, struct cell_values *values)
{
    uint32_t wrong = 0;
    a->read = catalogue_read(a->catalogue, indexes, count, values);
    if (!a->read)
        return count;
    for (uint32_t i = 0; i < count; i++) {
        const struct cell *cell = &a->catalogue->cells->list[indexes[i]];
        char why[200];
        if (!audit_cell(&cell->begin, &a->book->cells[indexes[i]], &values[i], why, sizeof why)) {
            if (a->history)
                history_cell(a->history, indexes[i], &values[i]);
            continue;
        }
        values[wrong] = values[i];
        if (wrong == 0)
            snprintf(a->first, sizeof a->first, "cell %u (%s at %s): %s", indexes[i],
                     cell->sku ? cell->sku : "?", cell->location ? cell->location : "?", why);
        indexes[wrong++] = indexes[i];
    }
    return wrong;
}

static void totals_add(struct audit *a)
{
    struct book sum = {&a->totals, 1};
    for (uint32_t i = 0; i < a->book->count; i++) {
        struct book one = {&a->book->cells[i], 1};
        book_merge(&sum, &one);
    }
}

bool audit_run(struct audit *a)
{
    uint32_t *indexes = malloc((a->book->count + 1) * sizeof *indexes), count = 0;
    struct cell_values *values = malloc((a->book->count + 1) * sizeof *values);
    if (!indexes || !values)
        abort(); // no audit is not a passed one
    totals_add(a);
    for (uint32_t i = 0; i < a->book->count; i++)
        if (a->book->cells[i].touched)
            indexes[count++] = i;
    a->cells = count;
    pause_until_ms(a, a->deadline_ms + DEADLINE_MS);
    uint64_t end_ms = clock_wall_ms(clock_os()) + a->settle_ms;
    uint32_t wrong = look(a, indexes, count, values);
    while (wrong && a->read && clock_wall_ms(clock_os()) < end_ms && !stopped(a)) {
        pause_until_ms(a, clock_wall_ms(clock_os()) + LOOK_MS);
        wrong = look(a, indexes, wrong, values);
    }
    a->wrong = wrong;
    for (uint32_t i = 0; i < wrong && a->read && a->history; i++)
        history_cell(a->history, indexes[i], &values[i]);
    free(indexes);
    free(values);
    return a->read && wrong == 0;
}
