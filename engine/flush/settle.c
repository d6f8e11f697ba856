// Mode external: an order in Odoo ships what was sold here. Its done moves carry the order's
// reference (the reservation's id, or its reference) as their origin; they clear what is committed,
// line by line, and the order's own open demand is not somebody else's.
//
//  X1 Of a cell and a reference, no more is settled than was committed and not taken back, less
//     what other lines have settled. What a line moved beyond that is somebody's.
//  X2 A move that comes before its commit has left on hand when it was read. It is kept, and
//  settled
//     when the commit is there: on hand rises by what the acknowledgement lowers it by.
//  X3 A line remembers what it settled, in the same write that plans the changes.
#include "flush/inbound_internal.h"

#include "base/hash.h"
#include "flush/flush_internal.h"

#include <stdlib.h>
#include <string.h>

#define CACHE_SIZE  65536 // a power of two
#define ASKS_A_POLL 256   // references that are looked up, which reads files
#define AGAIN_MS    60000 // after which an unknown reference is looked up again
#define SAME_MAX    16    // reservations of one reference

struct settle_known { // a reference, and the reservation that carries it
    uint64_t ref;
    struct hf_uuid id; // nil: nobody
    uint64_t until_ms; // nobody: as far as is known
};

struct settle_sum { // what lines of a reference have settled of a cell
    uint64_t ref;
    uint32_t handle, zero;
    int64_t quantity;
};

struct settle {
    struct settle_known *cache;
    struct settle_sum *sums; // a table; of the lines that are remembered
    uint32_t sums_mask, sums_used;
    uint32_t asks; // left in this poll
};

bool settle_external(const struct inbound *in, uint32_t location)
{
    const struct mirror *m = in->options.mirror;
    uint32_t place = mirror_place(m, location);
    return place != MIRROR_NONE && m->locations[place].mode == FLUSH_MODE_EXTERNAL;
}

uint64_t settle_ref(const char *reference)
{
    size_t n = reference ? strlen(reference) : 0;
    return n > 0 && n <= HF_REFERENCE_BYTES_MAX ? hf_hash(reference, n, 0) | 1 : 0;
}

void settle_fini(struct inbound *in)
{
    if (in->settle) {
        free(in->settle->cache);
        free(in->settle->sums);
    }
    free(in->settle);
    in->settle = NULL;
}

// ------------------------------------------------------------------------------- what was settled

static struct settle_sum *sum_of(struct settle *s, uint64_t ref, uint32_t handle)
{
    uint32_t at = (uint32_t)hf_mix64(ref ^ handle) & s->sums_mask;
    while (s->sums[at].ref && (s->sums[at].ref != ref || s->sums[at].handle != handle))
        at = (at + 1) & s->sums_mask;
    return &s->sums[at];
}

static void sum_add(struct settle *s, uint64_t ref, uint32_t handle, int64_t quantity)
{
    struct settle_sum *sum = sum_of(s, ref, handle);
    s->sums_used += sum->ref == 0;
    *sum = (struct settle_sum){ref, handle, 0, sum->quantity + quantity};
}

bool settle_begin(struct inbound *in)
{
    const struct mirror *m = in->options.mirror;
    bool any = false;
    for (uint32_t i = 0; i < m->location_count; i++)
        any |= m->locations[i].mode == FLUSH_MODE_EXTERNAL;
    if (!any)
        return true;
    if (!in->settle)
        in->settle = calloc(1, sizeof *in->settle);
    struct settle *s = in->settle;
    if (s && !s->cache)
        s->cache = calloc(CACHE_SIZE, sizeof *s->cache);
    if (!s || !s->cache)
        return false;
    uint32_t lines = in->fresh_count, size = 1024;
    for (uint32_t i = 0; i < in->line_count; i++)
        lines += in->lines[i].ref != 0;
    // Room for as many again: those of this poll, and orders with open demand.
    while (size < 4 * (lines + INBOUND_KEPT_MAX))
        size *= 2;
    free(s->sums);
    s->sums = calloc(size, sizeof *s->sums);
    s->sums_mask = size - 1;
    s->sums_used = 0;
    s->asks = ASKS_A_POLL;
    for (uint32_t i = 0; s->sums && i < in->line_count; i++)
        if (in->lines[i].ref)
            sum_add(s, in->lines[i].ref, in->lines[i].from, in->lines[i].settled);
    return s->sums != NULL;
}

// ------------------------------------------------------------------------------- what was sold

// Whether there is such a reservation: nobody when it was looked for, and is nowhere.
struct settle_who {
    bool known, nobody;
};

static int64_t committed_of(struct inbound *in, struct hf_uuid id, uint32_t handle,
                            struct settle_who *who)
{
    static _Thread_local struct core_line lines[HF_LINES_MAX];
    struct core *c = in->options.core;
    struct core_view v;
    uint64_t now_ms = core_now(c);
    enum hf_status s = core_get(in->worker, now_ms, id, &v, lines, HF_LINES_MAX);
    *who = (struct settle_who){0};
    if ((s == HF_OK && v.lines_away) || s == HF_NOT_FOUND) {
        enum hf_status recalled = core_recall(in->worker, now_ms, id);
        who->nobody = recalled == HF_NOT_FOUND;
        if (recalled != HF_OK)
            return 0;
        s = core_get(in->worker, now_ms, id, &v, lines, HF_LINES_MAX);
    }
    who->known = s == HF_OK;
    int64_t sum = 0;
    // What is not durable may be gone after a crash, and its acknowledgement be there.
    bool sold = s == HF_OK && v.state == CORE_STATE_COMMITTED && core_durable(c) >= v.ticket;
    for (uint32_t i = 0; sold && i < v.line_count; i++)
        sum += lines[i].handle == handle ? lines[i].quantity : 0;
    return sum;
}

static bool in_memory(struct inbound *in, struct hf_uuid id)
{
    struct core_view v;
    return core_get(in->worker, core_now(in->options.core), id, &v, NULL, 0) == HF_OK &&
           !v.lines_away;
}

static int64_t by_reference(struct inbound *in, struct settle_known *k, uint64_t ref,
                            const char *reference, uint32_t handle)
{
    struct hf_uuid ids[SAME_MAX];
    struct settle_who who;
    uint32_t count = 0;
    int64_t sum = 0;
    enum hf_status s = core_find_reference(in->options.core, reference, (uint32_t)strlen(reference),
                                           ids, SAME_MAX, &count);
    if (s == HF_OK && count == 1)
        *k = (struct settle_known){.ref = ref, .id = ids[0]};
    else if (s == HF_NOT_FOUND)
        *k = (struct settle_known){.ref = ref, .until_ms = core_now(in->options.core) + AGAIN_MS};
    for (uint32_t i = 0; s == HF_OK && i < count && i < SAME_MAX; i++)
        sum += committed_of(in, ids[i], handle, &who);
    return sum;
}

// On the disk, so it is bounded: as a reservation's id when it looks like one, else, or when nobody
// has it, as a reference.
static int64_t looked_up(struct inbound *in, struct settle_known *k, uint64_t ref,
                         const char *reference, uint32_t handle)
{
    struct settle_who who = {.nobody = true};
    struct hf_uuid id;
    int64_t sum = 0;
    if (in->settle->asks == 0)
        return 0;
    in->settle->asks--;
    if (hf_uuid_parse(reference, &id))
        sum = committed_of(in, id, handle, &who);
    if (who.known)
        *k = (struct settle_known){.ref = ref, .id = id};
    return who.nobody ? by_reference(in, k, ref, reference, handle) : sum;
}

int64_t settle_sold(struct inbound *in, uint64_t ref, const char *reference, uint32_t handle)
{
    struct settle_who who;
    struct hf_uuid id;
    if (hf_uuid_parse(reference, &id) && in_memory(in, id))
        return committed_of(in, id, handle, &who);
    struct settle_known *k = &in->settle->cache[hf_mix64(ref) & (CACHE_SIZE - 1)];
    if (k->ref == ref && !hf_uuid_is_nil(k->id))
        return committed_of(in, k->id, handle, &who);
    if (k->ref == ref && core_now(in->options.core) < k->until_ms)
        return 0;
    return looked_up(in, k, ref, reference, handle);
}

// ------------------------------------------------------------------------------- demand

int64_t settle_demand(struct inbound *in, const char *reference, uint32_t handle, int64_t quantity)
{
    uint64_t ref = settle_ref(reference);
    if (!ref)
        return quantity;
    int64_t left =
        settle_sold(in, ref, reference, handle) - sum_of(in->settle, ref, handle)->quantity;
    int64_t ours = left < 0 ? 0 : left < quantity ? left : quantity;
    // Of two open moves of one order, the second sees what is left, as far as there is room.
    if (ours && in->settle->sums_used < in->settle->sums_mask / 2)
        sum_add(in->settle, ref, handle, ours);
    return quantity - ours;
}

// ------------------------------------------------------------------------------- lines

void settle_keep(struct inbound *in, uint32_t line, const char *reference)
{
    if (!in->kept)
        in->kept = calloc(INBOUND_KEPT_MAX, sizeof *in->kept);
    for (uint32_t i = 0; in->kept && i < in->kept_count; i++)
        if (in->kept[i].line == line)
            return;
    if (!in->kept)
        return;
    if (in->kept_count == INBOUND_KEPT_MAX) // the oldest is somebody's for good
        settle_drop(in, in->kept[0].line);
    struct inbound_kept *k = &in->kept[in->kept_count++];
    *k = (struct inbound_kept){.line = line};
    memcpy(k->reference, reference, strlen(reference));
}

void settle_drop(struct inbound *in, uint32_t line)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < in->kept_count; i++)
        if (in->kept[i].line != line)
            in->kept[kept++] = in->kept[i];
    in->kept_count = kept;
}

void settle_line(struct inbound *in, struct inbound_line *l, const struct inbound_line *old)
{
    int64_t sold = l->settled, had = old->ref == l->ref && old->from == l->from ? old->settled : 0;
    struct settle_sum *sum = sum_of(in->settle, l->ref, l->from);
    int64_t open = sold - (sum->quantity - had), keep = had < l->taken ? had : l->taken;
    int64_t target = open < l->taken ? open : l->taken;
    l->settled = target > keep ? target : keep;
    sum_add(in->settle, l->ref, l->from, l->settled - had);
    if (l->settled == l->taken)
        settle_drop(in, l->id);
}
