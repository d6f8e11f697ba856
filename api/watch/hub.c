// One writer, the hub's thread; readers in any thread.
//
// A cell is one 16-byte word {available, LSN of its last change}, written whole. A reader takes the
// LSN, the quantity, and the LSN again: no two values of a cell share an LSN, because what a record
// does to a cell is written at once, so equal LSNs mean that they belong together. Above the cells
// stand the largest LSN of each 64 and of each 4,096 of them: who knows up to which LSN it has seen
// everything finds what is newer without looking at the rest.
//
//  H1 Cell, then block, then superblock, then the hub's LSN, each a release: who has seen the hub's
//     LSN S sees every change up to S in all three.
//  H2 A change that a scan misses, because it came behind it, has an LSN above that scan's S, and
//     is found by the next scan.
//
// This stands in for a dirty bit for each cell and watcher: the hub writes the same whether nobody
// watches or everybody does.
#include "watch/hub.h"

#include "base/atomics.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/record.h"
#include "sys/lock.h"

#include <stdlib.h>

#define BLOCK_BITS  6
#define SUPER_BITS  12
#define GROUPS_STEP 32
#define MS_NS       UINT64_C(1000000)

struct terms {
    int64_t safety, backorder, external;
};

struct watch_hub {
    struct watch_hub_options o;
    struct journal_reader *reader;
    struct hf_memory cell_memory, term_memory;
    struct hf_word128 *cells;            // lo: available; hi: LSN of its last change
    uint64_t *blocks, *supers;           // atomic: largest LSN of their cells
    struct terms *terms;                 // the hub's thread
    uint64_t applied;                    // the hub's thread: LSN of the last record
    uint64_t lsn;                        // atomic
    uint32_t count, short_cells, status; // atomic; enum hf_status
    struct lock lock;
    struct watch_watcher *watchers; // under the lock
    uint32_t watcher_count;         // written under the lock, read by anybody
};

// ------------------------------------------------------------------------------- applying

static void cell_store(struct watch_hub *h, uint32_t handle, int64_t available, uint64_t lsn)
{
    struct hf_word128 *cell = &h->cells[handle];
    struct hf_word128 old = {hf_load_relaxed(&cell->lo), hf_load_relaxed(&cell->hi)};
    int change = (available < 0) - ((int64_t)old.lo < 0);
    bool stored = hf_cas16(cell, old, (struct hf_word128){(uint64_t)available, lsn});
    HF_ASSERT(stored); // nobody else writes
    hf_store_release(&h->blocks[handle >> BLOCK_BITS], lsn);
    hf_store_release(&h->supers[handle >> SUPER_BITS], lsn);
    if (change != 0)
        hf_store_relaxed(&h->short_cells, h->short_cells + (uint32_t)change);
}

static int64_t *term_of(struct watch_hub *h, const struct core_record_line *l)
{
    switch (l->role) {
    case CORE_ROLE_SAFETY:
        return &h->terms[l->handle].safety;
    case CORE_ROLE_BACKORDER:
        return &h->terms[l->handle].backorder;
    case CORE_ROLE_EXTERNAL:
        return &h->terms[l->handle].external;
    default:
        return NULL;
    }
}

// One line of a record moves a cell's available: a commit's other line of the same cell does not.
static void line_apply(struct watch_hub *h, uint64_t lsn, const struct core_record_line *l)
{
    int64_t *term = term_of(h, l);
    int64_t move = core_line_available(l, term ? *term : 0);
    if (term && *term != l->quantity)
        *term = l->quantity;
    if (move == 0)
        return;
    HF_DEBUG_ASSERT(h->cells[l->handle].hi < lsn);
    cell_store(h, l->handle, (int64_t)h->cells[l->handle].lo + move, lsn);
}

static enum hf_status record_apply(void *ctx, uint64_t lsn, uint64_t time_ms,
                                   const struct journal_record *frame)
{
    struct watch_hub *h = ctx;
    const struct core_record *r = (const struct core_record *)frame;
    struct core_record_parts parts;
    (void)time_ms;
    if (!core_record_parse(frame, &parts))
        return HF_DAMAGED;
    if (frame->type == CORE_RECORD_CELL) {
        if (r->line_count == 0 || r->lines[0].handle != h->count || h->count == h->o.cells_max)
            return HF_DAMAGED;
        cell_store(h, h->count, 0, lsn);
        hf_store_release(&h->count, h->count + 1);
    }
    for (uint32_t i = 0; i < r->line_count; i++) {
        if (r->lines[i].handle >= h->count)
            return HF_DAMAGED;
        line_apply(h, lsn, &r->lines[i]);
    }
    h->applied = lsn;
    return HF_OK;
}

static void record_ahead(void *ctx, const struct journal_record *frame, unsigned stage)
{
    const struct watch_hub *h = ctx;
    const struct core_record *r = (const struct core_record *)frame;
    if (stage == 0 && journal_record_bytes(frame) >= sizeof *r + sizeof r->lines[0] &&
        r->line_count && r->lines[0].handle < h->o.cells_max)
        hf_prefetch_write(&h->cells[r->lines[0].handle]);
}

// ------------------------------------------------------------------------------- watchers

bool watch_hub_add(struct watch_hub *h, struct watch_watcher *w, uint32_t max)
{
    lock_acquire(&h->lock);
    bool room = h->watcher_count < max;
    if (room) {
        w->due_ns = 0;
        w->next = h->watchers;
        w->link = &h->watchers;
        if (w->next)
            w->next->link = &w->next;
        h->watchers = w;
        hf_store_relaxed(&h->watcher_count, h->watcher_count + 1);
    }
    lock_release(&h->lock);
    return room;
}

void watch_hub_remove(struct watch_hub *h, struct watch_watcher *w)
{
    lock_acquire(&h->lock);
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    hf_store_relaxed(&h->watcher_count, h->watcher_count - 1);
    lock_release(&h->lock);
}

static bool wants(const struct watch_hub *h, const struct watch_watcher *w)
{
    // `busy` pairs with the scan's end, which stores it after `seen`.
    return !hf_load_acquire(&w->busy) && hf_load_relaxed(&w->seen) < h->lsn;
}

static void watchers_wake(struct watch_hub *h)
{
    uint64_t now = clock_monotonic_ns(h->o.clock);
    bool ended = h->status != HF_OK;
    lock_acquire(&h->lock);
    for (struct watch_watcher *w = h->watchers; w; w = w->next) {
        if (ended || (w->due_ns <= now && wants(h, w))) {
            w->due_ns = now + w->interval_ms * MS_NS;
            w->wake(w->ctx);
        }
    }
    lock_release(&h->lock);
}

// ------------------------------------------------------------------------------- steps

static void hub_end(struct watch_hub *h, enum hf_status why)
{
    core_follow(h->o.core, UINT64_MAX);
    hf_store_release(&h->status, (uint32_t)why);
    hf_log(HF_LOG_ERROR, "watch_hub_ended", "status=%s lsn=%llu durable=%llu", hf_status_name(why),
           (unsigned long long)h->applied, (unsigned long long)core_durable(h->o.core));
}

enum hf_status watch_hub_step(struct watch_hub *h)
{
    if (h->status != HF_OK)
        return (enum hf_status)h->status;
    enum hf_status s = journal_reader_step(h->reader, GROUPS_STEP, record_apply, h);
    hf_store_release(&h->lsn, h->applied); // H1
    if (s == HF_NO_MEMORY) // none now, or no descriptor: it goes on where it is
        s = HF_AGAIN;
    if (s == HF_OK)
        core_follow(h->o.core, h->applied);
    else if (s != HF_AGAIN)
        hub_end(h, s);
    watchers_wake(h);
    return s;
}

void watch_hub_wait(struct watch_hub *h, uint32_t timeout_ms)
{
    uint64_t now = clock_monotonic_ns(h->o.clock), until = now + timeout_ms * MS_NS;
    lock_acquire(&h->lock);
    for (const struct watch_watcher *w = h->watchers; w; w = w->next)
        if (w->due_ns < until && wants(h, w))
            until = w->due_ns;
    lock_release(&h->lock);
    if (until > now)
        (void)journal_wait(core_journal(h->o.core), h->applied + 1,
                           (uint32_t)((until - now + MS_NS - 1) / MS_NS));
}

// ------------------------------------------------------------------------------- reading

uint64_t watch_hub_lsn(const struct watch_hub *h)
{
    return hf_load_acquire(&h->lsn); // H1
}

enum hf_status watch_hub_status(const struct watch_hub *h)
{
    return (enum hf_status)hf_load_acquire(&h->status);
}

uint32_t watch_hub_cells(const struct watch_hub *h)
{
    return hf_load_acquire(&h->count);
}

uint32_t watch_hub_short(const struct watch_hub *h)
{
    return hf_load_relaxed(&h->short_cells);
}

uint32_t watch_hub_watchers(const struct watch_hub *h)
{
    return hf_load_relaxed(&h->watcher_count);
}

struct watch_value watch_hub_read(const struct watch_hub *h, uint32_t handle)
{
    const struct hf_word128 *cell = &h->cells[handle];
    struct watch_value v;
    do {
        v.lsn = hf_load_acquire(&cell->hi);
        v.available = (int64_t)hf_load_acquire(&cell->lo);
    } while (hf_load_relaxed(&cell->hi) != v.lsn); // again only when the hub went on meanwhile
    return v;
}

uint32_t watch_hub_next(const struct watch_hub *h, uint32_t *from, uint32_t end, uint64_t after,
                        uint32_t *looks)
{
    uint32_t at = *from;
    for (; at<end && * looks> 0; --*looks) {
        if (hf_load_acquire(&h->supers[at >> SUPER_BITS]) <= after) {
            at = ((at >> SUPER_BITS) + 1) << SUPER_BITS;
        } else if (hf_load_acquire(&h->blocks[at >> BLOCK_BITS]) <= after) {
            at = ((at >> BLOCK_BITS) + 1) << BLOCK_BITS;
        } else if (hf_load_acquire(&h->cells[at].hi) <= after) {
            at++;
        } else {
            --*looks;
            return *from = at;
        }
    }
    *from = at < end ? at : end;
    return at < end ? UINT32_MAX : end;
}

// ------------------------------------------------------------------------------- set-up

static bool memory_make(struct watch_hub *h)
{
    size_t cells = h->o.cells_max, blocks = (cells >> BLOCK_BITS) + 1;
    size_t supers = (cells >> SUPER_BITS) + 1;
    if (!hf_memory_map(&h->cell_memory,
                       cells * sizeof *h->cells + (blocks + supers) * sizeof *h->blocks,
                       h->o.huge_pages) ||
        !hf_memory_map(&h->term_memory, cells * sizeof *h->terms, false))
        return false;
    h->cells = h->cell_memory.base;
    h->blocks = (uint64_t *)(h->cells + cells);
    h->supers = h->blocks + blocks;
    h->terms = h->term_memory.base;
    return true;
}

static void cells_take_over(struct watch_hub *h)
{
    struct core_cell cell;
    for (uint32_t i = 0; core_cell_read(h->o.core, i, &cell) == HF_OK; i++) {
        cell_store(h, i, cell.available, h->applied);
        if (cell.safety || cell.backorder || cell.external)
            h->terms[i] = (struct terms){cell.safety, cell.backorder, cell.external};
        h->count = i + 1;
    }
}

enum hf_status watch_hub_create(const struct watch_hub_options *o, struct watch_hub **out)
{
    struct journal *j = core_journal(o->core);
    struct watch_hub *h = calloc(1, sizeof *h);
    if (!h)
        return HF_NO_MEMORY;
    h->o = *o;
    lock_init(&h->lock);
    h->applied = h->lsn = journal_durable(j);
    enum hf_status s = HF_NO_MEMORY;
    if (memory_make(h)) {
        cells_take_over(h);
        s = journal_appended(j) == h->applied ? journal_reader_create(j, h->applied, &h->reader)
                                              : HF_BUSY;
    }
    if (s != HF_OK) {
        watch_hub_destroy(h);
        return s;
    }
    journal_reader_look_ahead(h->reader, record_ahead);
    core_follow(o->core, h->applied);
    *out = h;
    return HF_OK;
}

void watch_hub_destroy(struct watch_hub *h)
{
    if (!h)
        return;
    HF_ASSERT(h->watcher_count == 0);
    if (h->reader) {
        core_follow(h->o.core, UINT64_MAX);
        journal_reader_destroy(h->reader);
    }
    hf_memory_unmap(&h->cell_memory);
    hf_memory_unmap(&h->term_memory);
    lock_fini(&h->lock);
    free(h);
}

uint64_t watch_hub_bytes(const struct watch_hub *h)
{
    return h->cell_memory.bytes + h->term_memory.bytes + sizeof *h;
}
