#include "flush/fate.h"

#include "flush/flush_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct flush_fates {
    const struct flush *flush; // its places, which never change
    struct storage *storage;   // the flusher's: files other than its own may be read
    struct hf_uuid engine_id, incarnation;
    uint64_t taken_lsn;
    char engine[FLUSH_ENGINE_BYTES_MAX + 1];
    struct flush_span *spans;
    uint32_t count, room;
    bool sorted;
    const struct flush_history_filter *filter; // while a day is read
};

const char *flush_where_name(enum flush_where w)
{
    static const char *const names[] = {
#define X(name, help) #name,
        FLUSH_WHERE_TABLE(X)
#undef X
    };
    return (unsigned)w < FLUSH_WHERE_COUNT ? names[w] : "unknown";
}

static struct flush_span *span_add(struct flush_fates *k, const struct flush_line *l)
{
    if (k->count == k->room) {
        uint32_t room = k->room ? 2 * k->room : 1024;
        struct flush_span *more = realloc(k->spans, room * sizeof *more);
        if (!more)
            return NULL;
        k->spans = more;
        k->room = room;
    }
    struct flush_span *s = &k->spans[k->count++];
    *s = (struct flush_span){.handle = l->handle,
                             .kind = l->kind,
                             .quantity = l->quantity,
                             .day = l->day,
                             .first_lsn = l->first_lsn,
                             .last_lsn = l->last_lsn,
                             .since_ms = l->since_ms,
                             .movements = l->movements,
                             .incarnation = k->incarnation};
    k->sorted = false;
    return s;
}

// ------------------------------------------------------------------------------- the copy

static bool batches_add(struct flush_fates *k, const struct flush *f)
{
    for (uint32_t i = 0; i < f->batch_count; i++) {
        const struct flush_batch *b = &f->batches[i];
        for (uint32_t n = 0; n < b->line_count; n++) {
            struct flush_span *s = span_add(k, &b->lines[n]);
            if (!s)
                return false;
            s->where = b->state == FLUSH_POSTED ? FLUSH_BOOKED : FLUSH_IN_FLIGHT;
            s->back = b->back;
            s->batch = b->number;
            s->picking = b->picking;
            s->attempts = b->attempts;
            s->company = b->company;
            s->source = b->source;
            s->destination = b->destination;
            s->op_id = b->op_id;
        }
    }
    return true;
}

static bool letters_add(struct flush_fates *k, const struct flush *f)
{
    for (uint32_t i = 0; i < f->dead_count; i++) {
        const struct flush_dead *d = &f->dead[i];
        struct flush_span *s = span_add(k, &d->line);
        if (!s)
            return false;
        s->where = FLUSH_DEAD;
        s->letter = d->id;
        s->batch = d->batch;
        s->time_ms = d->dead_ms;
    }
    for (uint32_t i = 0; i < f->discard_count; i++) {
        const struct flush_discard *d = &f->discards[i];
        struct flush_span *s = span_add(k, &d->line);
        if (!s)
            return false;
        s->where = FLUSH_DISCARDED;
        s->unsettled = d->state != FLUSH_DISCARD_BOOKED;
        s->letter = d->letter;
        s->batch = d->batch;
        s->time_ms = d->time_ms;
        s->op_id = d->op_id;
    }
    return true;
}

enum hf_status flush_fates_create(const struct flush *f, struct flush_fates **out)
{
    struct flush_fates *k = f->failed == HF_OK ? calloc(1, sizeof *k) : NULL;
    if (!k)
        return f->failed == HF_OK ? HF_NO_MEMORY : HF_BUSY;
    k->flush = f;
    k->storage = f->options.storage;
    k->engine_id = f->history.engine_id;
    k->incarnation = f->incarnation;
    k->taken_lsn = f->taken_lsn;
    memcpy(k->engine, f->engine, sizeof k->engine);
    if (!batches_add(k, f) || !letters_add(k, f)) {
        flush_fates_destroy(k);
        return HF_NO_MEMORY;
    }
    *out = k;
    return HF_OK;
}

void flush_fates_destroy(struct flush_fates *k)
{
    if (k)
        free(k->spans);
    free(k);
}

uint64_t flush_fates_taken(const struct flush_fates *k)
{
    return k->taken_lsn;
}

// ------------------------------------------------------------------------------- what was posted

static int handle_order(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static enum hf_status entry_add(void *ctx, const struct history_entry *e,
                                const struct flush_line *lines)
{
    struct flush_fates *k = ctx;
    const struct flush_history_filter *f = k->filter;
    if (f->batch && f->batch != e->number)
        return HF_OK;
    for (uint32_t i = 0; i < e->lines; i++) {
        if (f->handles && !bsearch(&lines[i].handle, f->handles, f->handle_count,
                                   sizeof *f->handles, handle_order))
            continue;
        if ((f->kinds && !(f->kinds >> lines[i].kind & 1)) ||
            (f->before_ms && lines[i].since_ms >= f->before_ms))
            continue;
        if (k->count >= f->max)
            return HF_FULL;
        struct flush_span *s = span_add(k, &lines[i]);
        if (!s)
            return HF_NO_MEMORY;
        s->where = FLUSH_ACKNOWLEDGED;
        s->back = e->back;
        s->batch = e->number;
        s->picking = e->picking;
        s->attempts = e->attempts;
        s->company = e->company;
        s->source = e->source;
        s->destination = e->destination;
        s->time_ms = e->posted_ms;
        s->incarnation = e->incarnation;
        s->op_id = e->op_id;
    }
    return HF_OK;
}

enum hf_status flush_fates_day(struct flush_fates *k, uint64_t day,
                               const struct flush_history_filter *filter)
{
    k->filter = filter;
    return history_walk(k->storage, k->engine_id, day, day, entry_add, k);
}

// ------------------------------------------------------------------------------- finding

// Of one cell, kind and day by LSN; of one line what tells more about it first: a batch that is
// open but booked stands in the history too, a letter that was retried may have been posted since.
static int span_order(const void *a, const void *b)
{
    static const uint8_t rank[FLUSH_WHERE_COUNT] = {
        [FLUSH_DISCARDED] = 0, [FLUSH_BOOKED] = 1,    [FLUSH_ACKNOWLEDGED] = 2,
        [FLUSH_DEAD] = 3,      [FLUSH_IN_FLIGHT] = 4, [FLUSH_WAITING] = 5};
    const struct flush_span *x = a, *y = b;
    if (x->handle != y->handle)
        return x->handle < y->handle ? -1 : 1;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->day != y->day)
        return x->day < y->day ? -1 : 1;
    if (x->first_lsn != y->first_lsn)
        return x->first_lsn < y->first_lsn ? -1 : 1;
    return rank[x->where] - rank[y->where];
}

static uint16_t day_of(const struct flush_fates *k, uint32_t handle, uint64_t time_ms)
{
    return place_day(place_of(k->flush, handle), time_ms);
}

bool flush_fates_of_day(const struct flush_fates *k, const struct flush_span *s, uint64_t time_ms)
{
    return s->day == 0 || s->day == day_of(k, s->handle, time_ms);
}

static bool begins_before(const struct flush_span *s, const struct flush_span *key)
{
    return s->handle != key->handle ? s->handle < key->handle
           : s->kind != key->kind   ? s->kind < key->kind
           : s->day != key->day     ? s->day < key->day
                                    : s->first_lsn <= key->first_lsn;
}

// key->first_lsn is the movement's.
static const struct flush_span *find(const struct flush_fates *k, const struct flush_span *key)
{
    uint32_t low = 0, high = k->count; // the first that begins past it
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (begins_before(&k->spans[middle], key))
            low = middle + 1;
        else
            high = middle;
    }
    const struct flush_span *best = NULL;
    for (uint32_t i = low; i-- > 0;) {
        const struct flush_span *s = &k->spans[i];
        if (s->handle != key->handle || s->kind != key->kind || s->day != key->day ||
            (best && s->first_lsn != best->first_lsn))
            break;
        if (s->last_lsn < key->first_lsn)
            break; // lines don't overlap
        best = s;  // the same line's first
    }
    return best;
}

const struct flush_span *flush_fates_find(struct flush_fates *k, uint32_t handle,
                                          enum flush_kind kind, uint64_t lsn, uint64_t time_ms)
{
    struct flush_span key = {.handle = handle, .kind = (uint8_t)kind, .first_lsn = lsn};
    if (!k->sorted && k->count)
        qsort(k->spans, k->count, sizeof *k->spans, span_order);
    k->sorted = true;
    key.day = day_of(k, handle, time_ms);
    const struct flush_span *s = find(k, &key);
    key.day = 0; // a line whose day was not known
    return s ? s : find(k, &key);
}

const struct flush_span *flush_fates_spans(const struct flush_fates *k, uint32_t *count)
{
    *count = k->count;
    return k->spans;
}

void flush_fates_name(const struct flush_fates *k, const struct flush_span *s,
                      char name[FLUSH_NAME_BYTES])
{
    snprintf(name, FLUSH_NAME_BYTES, "HF/%s/%012" PRIx64 "/%d/%" PRIu64, k->engine,
             s->incarnation.lo & UINT64_C(0xffffffffffff), FLUSH_SHARD, s->batch);
}

uint64_t flush_batch_number(const char *text)
{
    const char *slash = strrchr(text, '/');
    const char *digits = slash ? slash + 1 : text;
    size_t n = strspn(digits, "0123456789");
    if (n == 0 || n > 18 || digits[n] || (slash && strncmp(text, "HF/", 3) != 0))
        return 0;
    return strtoull(digits, NULL, 10);
}

// ------------------------------------------------------------------------------- open batches

static const char *step_name(enum flush_batch_step s)
{
    switch (s) {
    case FLUSH_STEP_SEND:
        return "send";
    case FLUSH_STEP_LOOKUP:
        return "look up";
    case FLUSH_STEP_MOVES:
        return "read its lines";
    case FLUSH_STEP_VALIDATE:
        return "validate";
    case FLUSH_STEP_CANCEL:
        return "cancel";
    case FLUSH_STEP_BURN:
        return "burn the name";
    case FLUSH_STEP_ACK_FIND:
    case FLUSH_STEP_ACK:
    case FLUSH_STEP_ACK_WAIT:
        return "acknowledge";
    default:
        return "other";
    }
}

uint32_t flush_open_batches(const struct flush *f, struct flush_open_batch *out, uint32_t max)
{
    for (uint32_t i = 0; i < f->batch_count && i < max; i++) {
        const struct flush_batch *b = &f->batches[i];
        out[i] = (struct flush_open_batch){.number = b->number,
                                           .retry_at_ms = b->retry_at_ms,
                                           .kind = b->kind,
                                           .back = b->back,
                                           .posted = b->state == FLUSH_POSTED,
                                           .lines = b->line_count,
                                           .attempts = b->attempts,
                                           .picking = b->picking,
                                           .step = step_name(b->step)};
        batch_name(f, b->number, out[i].name);
        memcpy(out[i].why, b->why, sizeof out[i].why);
        for (uint32_t n = 0; n < b->line_count; n++) {
            out[i].movements += b->lines[n].movements;
            if (out[i].since_ms == 0 || b->lines[n].since_ms < out[i].since_ms)
                out[i].since_ms = b->lines[n].since_ms;
        }
    }
    return f->batch_count;
}

bool flush_movement_of(const struct core_record_line *l, const struct core_record_parts *p,
                       enum flush_kind *kind, int64_t *quantity)
{
    struct flush_line moved = {0};
    bool is = outbox_movement(l, p, &moved);
    *kind = (enum flush_kind)moved.kind;
    *quantity = moved.quantity;
    return is;
}
