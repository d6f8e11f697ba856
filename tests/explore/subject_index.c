// The index of ids with slots that are used again: an id is linked once; one that is there is
// found, whatever is unlinked beside it; a slot goes to another id only after a grace period.
//
// Histories are held against a set, by all orders that real time allows. One fiber unlinks.
#include "explore/interleave.h"

#include "rcu/rcu.h"
#include "stock/slot.h"

#include <stdio.h>
#include <string.h>

#define FIBERS 3
#define OPS    3
#define IDS    3 // they share one chain
#define SLOTS  8

enum verb { INSERT, FIND, REMOVE, VERBS };

struct op {
    enum verb verb;
    uint32_t id, slot; // INSERT: linked, 0: it was there. FIND: 0: not found. REMOVE: 0: not there
    uint64_t from, to;
};

struct program {
    struct op ops[OPS];
    uint32_t count;
};

static struct {
    struct stock_slots slots;
    struct stock_slot memory[SLOTS + 1];
    uint32_t bucket;
    struct program programs[FIBERS];
    uint32_t free[SLOTS], free_count;
    struct op *all[FIBERS * OPS];
    uint32_t total;
    bool start[IDS];
    uint64_t linked, met, missed, reused;
} w;

static struct hf_uuid id_of(uint32_t id)
{
    return (struct hf_uuid){id + 1, id + 100};
}

static void slot_fill(struct stock_slot *s, uint32_t id)
{
    struct hf_uuid uuid = id_of(id);
    uint64_t word = hf_load_relaxed(&s->word) + (UINT64_C(1) << 32);
    hf_store_relaxed(&s->id.hi, uuid.hi);
    hf_store_relaxed(&s->id.lo, uuid.lo);
    hf_store_relaxed(&s->word, stock_word_make(word, 1, 1, 0, 0));
}

static void insert(struct op *o)
{
    explore_check(w.free_count > 0, "no slot");
    uint32_t at = w.free[--w.free_count]; // of the pool, which has its own subject
    w.reused += stock_word_version(w.memory[at].word) != 0;
    slot_fill(&w.memory[at], o->id);
    uint32_t found = stock_insert(&w.slots, at, 0);
    if (!found) {
        o->slot = at;
        w.linked++;
        return;
    }
    w.met++;
    hf_store_relaxed(&w.memory[at].word, stock_word_with_state(w.memory[at].word, 0));
    w.free[w.free_count++] = at;
}

static void remove_one(struct op *o)
{
    uint32_t at = stock_find(&w.slots, id_of(o->id), 0);
    if (!at)
        return;
    uint64_t word = hf_load_acquire(&w.memory[at].word);
    explore_check(hf_cas(&w.memory[at].word, &word, stock_word_make(word, 0, 0, 0, 1)),
                  "another unlinks");
    o->slot = at;
    o->to = explore_time(); // it is not found any more
    stock_unlink(&w.slots, at);
}

static void op_run(struct op *o)
{
    o->slot = 0;
    o->to = 0;
    o->from = explore_time();
    rcu_step_begin();
    if (o->verb == INSERT)
        insert(o);
    else if (o->verb == FIND)
        o->slot = stock_find(&w.slots, id_of(o->id), 0);
    else
        remove_one(o);
    rcu_step_end();
    uint64_t now = explore_time();
    o->to = o->to ? o->to : now;
    if (o->verb == REMOVE && o->slot) {
        rcu_wait_grace();
        w.free[w.free_count++] = o->slot;
    }
    w.missed += o->verb == FIND && o->slot == 0;
}

static void body(void *ctx, uint32_t fiber)
{
    (void)ctx;
    for (uint32_t i = 0; i < w.programs[fiber].count; i++)
        op_run(&w.programs[fiber].ops[i]);
}

static const struct small {
    bool there[IDS];
    uint32_t fibers, counts[FIBERS];
    struct op ops[FIBERS][OPS];
} smalls[] = {
    {{true, true, true}, 2, {1, 1}, {{{.verb = REMOVE, .id = 1}}, {{.verb = FIND, .id = 0}}}},
    {{false}, 2, {1, 1}, {{{.verb = INSERT, .id = 0}}, {{.verb = INSERT, .id = 0}}}},
    {{true, true, false},
     3,
     {2, 1, 1},
     {{{.verb = REMOVE, .id = 1}, {.verb = REMOVE, .id = 0}},
      {{.verb = FIND, .id = 0}},
      {{.verb = INSERT, .id = 2}}}},
    {{true, true, false},
     2,
     {2, 1},
     {{{.verb = REMOVE, .id = 1}, {.verb = INSERT, .id = 2}}, {{.verb = FIND, .id = 0}}}},
};

static void start_link(uint32_t id)
{
    uint32_t at = w.free[--w.free_count];
    slot_fill(&w.memory[at], id);
    explore_check(stock_insert(&w.slots, at, 0) == 0, "it is there already");
    w.start[id] = true;
}

static uint32_t make(struct prng *r, uint32_t small)
{
    memset(w.memory, 0, sizeof w.memory);
    memset(w.start, 0, sizeof w.start);
    w.bucket = 0;
    w.slots = (struct stock_slots){.slots = w.memory, .buckets = &w.bucket};
    w.total = w.free_count = 0;
    for (uint32_t i = 1; i <= SLOTS; i++)
        w.free[w.free_count++] = i;
    const struct small *s = small ? &smalls[small - 1] : NULL;
    for (uint32_t id = 0; id < IDS; id++)
        if (s ? s->there[id] : prng_chance(r, 1, 2))
            start_link(id);
    for (uint32_t t = 0; t < FIBERS; t++) {
        struct program *p = &w.programs[t];
        p->count = s ? s->counts[t] : (uint32_t)prng_between(r, 1, OPS);
        for (uint32_t i = 0; i < p->count; i++)
            p->ops[i] = s ? s->ops[t][i]
                          : (struct op){.verb = (enum verb)prng_below(r, t == 0 ? VERBS : REMOVE),
                                        .id = (uint32_t)prng_below(r, IDS)};
    }
    return s ? s->fibers : FIBERS;
}

static bool explained(uint32_t left, uint32_t there)
{
    if (left == 0)
        return true;
    uint64_t first_end = UINT64_MAX;
    for (uint32_t i = 0; i < w.total; i++)
        if ((left >> i & 1) && w.all[i]->to < first_end)
            first_end = w.all[i]->to;
    for (uint32_t i = 0; i < w.total; i++) {
        const struct op *o = w.all[i];
        if (!(left >> i & 1) || o->from > first_end)
            continue;
        bool was = there >> o->id & 1;
        if ((o->verb == INSERT ? o->slot == 0 : o->slot != 0) != was)
            continue;
        uint32_t next = o->verb == INSERT   ? there | 1u << o->id
                        : o->verb == REMOVE ? there & ~(1u << o->id)
                                            : there;
        if (explained(left & ~(1u << i), next))
            return true;
    }
    return false;
}

static void judge(const struct explore_run *run)
{
    (void)run;
    uint32_t there = 0;
    for (uint32_t t = 0; t < FIBERS; t++)
        for (uint32_t i = 0; i < w.programs[t].count; i++)
            w.all[w.total++] = &w.programs[t].ops[i];
    for (uint32_t id = 0; id < IDS; id++)
        there |= (uint32_t)w.start[id] << id;
    if (explained((1u << w.total) - 1, there))
        return;
    for (uint32_t i = 0; i < w.total; i++)
        printf("  %lu..%lu %s id %u: %u\n", w.all[i]->from, w.all[i]->to,
               w.all[i]->verb == INSERT ? "insert"
               : w.all[i]->verb == FIND ? "find"
                                        : "remove",
               w.all[i]->id, w.all[i]->slot);
    explore_check(false, "no order explains this history; at first: %x", there);
}

static const char *tell(void)
{
    static char text[80];
    snprintf(text, sizeof text, "%lu linked, %lu met, %lu not found, %lu slots used again",
             w.linked, w.met, w.missed, w.reused);
    return text;
}

const struct subject subject_index = {
    .name = "index",
    .help = "the index of ids, and slots that are used again",
    .rounds = 1,
    .small_count = sizeof smalls / sizeof *smalls,
    .freezable = UINT32_MAX,
    .make = make,
    .body = body,
    .judge = judge,
    .tell = tell,
};
