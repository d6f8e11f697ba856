// engine/stock alone, one thread: what a decision costs before anything is recorded. Cells and ids
// are picked uniformly, in batches whose memory is fetched first, as the engine does.
#include "base/hash.h"
#include "harness.h"
#include "rcu/rcu.h"
#include "stock/stock.h"
#include "suites.h"

#include <stdlib.h>

#define CELLS ((uint32_t)1 << 20)
#define IDS   ((uint32_t)1 << 20)
#define BATCH 32u
#define WIDE  19u

static struct stock stock;
static struct stock_thread self;
static uint64_t position;

static void stock_gone(void)
{
    stock_thread_fini(&self);
    stock_fini(&stock);
}

static struct hf_uuid id_of(uint64_t n)
{
    return (struct hf_uuid){hf_mix64(n), hf_mix64(~n)};
}

static uint32_t slot_make(struct hf_uuid id)
{
    uint32_t index = stock_acquire(&self.slots);
    if (index == 0)
        return 0;
    struct stock_slot *slot = &stock.slots.slots[index];
    slot->id = id;
    slot->word = stock_word_make(slot->word, 1, 1, 0, 1);
    return index;
}

// Made by the first benchmark that runs.
static bool ready(struct bench_state *s)
{
    struct stock_sizes sizes = {.cells = CELLS, .ids = 2 * IDS, .blocks = 1, .threads = 1,
                                .huge = true, .prefault = true};
    if (stock.directory)
        return true;
    if (stock_init(&stock, &sizes) != HF_OK) {
        bench_skip(s, "memory cannot be had");
        return false;
    }
    stock_thread_init(&stock, &self, 0);
    atexit(stock_gone);
    for (uint32_t i = 0; i < CELLS; i++)
        stock.cells.cells[i].decision.lo = stock_word(INT64_C(1) << 40, STOCK_FLAG_ACTIVE);
    rcu_thread_register_once();
    rcu_step_begin();
    for (uint64_t n = 0; n < IDS; n++) {
        struct hf_uuid id = id_of(n);
        bench_use(stock_insert(&stock.slots, slot_make(id), stock_hash(&stock.slots, &id)));
    }
    rcu_step_end();
    return true;
}

static uint32_t cell_next(void)
{
    uint32_t cell = (uint32_t)hf_mix64(++position) & (CELLS - 1);
    hf_prefetch_write(&stock.cells.cells[cell]);
    return cell;
}

static void take_one(struct bench_state *s)
{
    uint32_t cells[BATCH];
    int64_t left;
    if (!ready(s))
        return;
    while (bench_next(s, BATCH)) {
        for (uint32_t i = 0; i < BATCH; i++)
            cells[i] = cell_next();
        for (uint32_t i = 0; i < BATCH; i++)
            bench_use(stock_take_one(&self.taker, cells[i], 1, false, &left));
    }
    bench_items(s, bench_iterations(s));
}

static void take_combined(struct bench_state *s)
{
    struct stock_wish wishes[BATCH];
    int64_t left;
    if (!ready(s))
        return;
    while (bench_next(s, BATCH)) {
        for (uint32_t i = 0; i < BATCH; i++)
            wishes[i] = (struct stock_wish){1, 0, false};
        stock_take_combined(&self.taker, 1, wishes, BATCH, &left);
        bench_use((uint64_t)left);
    }
    bench_items(s, bench_iterations(s));
}

// Ascending cells at random distances, as a merged list of lines has them.
static void takes_make(struct stock_take takes[WIDE])
{
    uint32_t at = (uint32_t)hf_mix64(++position) % (CELLS / 2);
    for (uint32_t i = 0; i < WIDE; i++) {
        at += 1 + (uint32_t)hf_mix64(++position) % (CELLS / 2 / WIDE - 1);
        takes[i] = (struct stock_take){.cell = at, .quantity = 1};
        hf_prefetch_write(&stock.cells.cells[at]);
    }
}

static void take_all(struct bench_state *s)
{
    struct stock_take takes[8][WIDE];
    uint32_t refused;
    if (!ready(s))
        return;
    while (bench_next(s, 8)) {
        for (int i = 0; i < 8; i++)
            takes_make(takes[i]);
        for (int i = 0; i < 8; i++)
            bench_use(stock_take_all(&self.taker, takes[i], WIDE, &refused));
    }
    bench_items(s, bench_iterations(s) * WIDE);
}

static void find(struct bench_state *s)
{
    struct hf_uuid ids[BATCH];
    uint64_t hashes[BATCH];
    if (!ready(s))
        return;
    rcu_step_begin();
    while (bench_next(s, BATCH)) {
        for (uint32_t i = 0; i < BATCH; i++) {
            ids[i] = id_of(hf_mix64(++position) & (IDS - 1));
            hashes[i] = stock_hash(&stock.slots, &ids[i]);
            hf_prefetch(stock_bucket(&stock.slots, hashes[i]));
        }
        for (uint32_t i = 0; i < BATCH; i++)
            hf_prefetch(&stock.slots.slots[*stock_bucket(&stock.slots, hashes[i])]);
        for (uint32_t i = 0; i < BATCH; i++)
            bench_use(stock_find(&stock.slots, ids[i], hashes[i]));
    }
    rcu_step_end();
    bench_items(s, bench_iterations(s));
}

static void insert(struct bench_state *s)
{
    uint32_t indexes[BATCH];
    uint64_t hashes[BATCH];
    if (!ready(s))
        return;
    rcu_step_begin();
    while (bench_next(s, BATCH)) {
        for (uint32_t i = 0; i < BATCH; i++) {
            struct hf_uuid id = id_of(++position + ((uint64_t)1 << 40));
            hashes[i] = stock_hash(&stock.slots, &id);
            hf_prefetch_write(stock_bucket(&stock.slots, hashes[i]));
            indexes[i] = slot_make(id);
        }
        for (uint32_t i = 0; i < BATCH; i++)
            bench_use(stock_insert(&stock.slots, indexes[i], hashes[i]));
        for (uint32_t i = 0; i < BATCH; i++) {
            stock_unlink(&stock.slots, indexes[i]);
            stock_release(&self.slots, indexes[i]); // nobody else looks: no grace period
        }
    }
    rcu_step_end();
    bench_items(s, bench_iterations(s));
}

void bench_stock_register(void)
{
    bench_register("stock/take_one", take_one, NULL);
    bench_register("stock/take_combined_32", take_combined, NULL);
    bench_register("stock/take_all_19", take_all, NULL);
    bench_register("stock/find", find, NULL);
    bench_register("stock/insert_and_unlink", insert, NULL);
}
