#include "core/core_internal.h"

#include "rcu/rcu.h"

#include <string.h>

enum hf_status core_cell_read(struct core *c, uint32_t handle, struct core_cell *out)
{
    if (handle >= hf_load_acquire(&c->cell_count))
        return HF_NOT_FOUND;
    struct stock_reading r;
    bool settled = stock_cell_read(&c->stock.cells, handle, &r);
    *out = (struct core_cell){
        .available = r.available,
        .on_hand = r.on_hand,
        .committed = r.committed,
        .external = r.external,
        .safety = r.safety,
        .backorder = r.backorder,
        .active = (r.flags & STOCK_FLAG_ACTIVE) != 0,
        .scale = c->stock.scales[handle],
        .unsettled = !settled,
    };
    out->held = r.on_hand - r.committed - r.external - r.safety + r.backorder - r.available;
    return HF_OK;
}

bool core_answers_wait(const struct core *c)
{
    return c->options.journal.mode == JOURNAL_SYNC;
}

static void view_fill(const struct stock_slot *s, struct core_view *v)
{
    static const enum core_verb verbs[] = {[KIND_HOLD] = CORE_RESERVE,
                                           [KIND_ORDER] = CORE_ORDER,
                                           [KIND_FACT] = CORE_RECORD};
    *v = (struct core_view){
        .id = s->id,
        .state = (enum core_state)stock_word_state(s->word),
        .verb = verbs[stock_word_kind(s->word) & 3],
        .version = stock_word_version(s->word),
        .channel = (uint16_t)s->time_channel,
        .lines_away = (stock_word_flags(s->word) & STOCK_SLOT_AWAY) != 0,
        .time_ms = s->time_channel >> 16,
        .ticket = s->ticket,
    };
}

// A view with its lines, all of one moment. False: the slot kept changing.
static bool view_copy(struct core_worker *w, uint32_t index, struct core_view *v,
                      struct stock_line *lines, struct stock_slot *s)
{
    const struct stock_slots *slots = &w->core->stock.slots;
    for (int attempt = 0; attempt < 16; attempt++) {
        if (!stock_slot_copy(slots, index, s))
            return false;
        unsigned flags = stock_word_flags(s->word);
        uint8_t text[CORE_TEXT_WORDS * 4];
        view_fill(s, v);
        v->line_count = stock_lines_load(slots, s, flags, lines, HF_LINES_MAX);
        text_unpack(text, stock_text_load(slots, s, flags, text, sizeof text), v);
        hf_fence_acquire();
        if (hf_load_relaxed(&slots->slots[index].word) == s->word)
            return true;
    }
    return false;
}

static bool undecided(enum core_state s)
{
    return s == CORE_STATE_PENDING || s == CORE_STATE_CHANGING || s == CORE_STATE_ENDING;
}

static enum hf_status view_status(const struct stock_slot *s, const struct core_view *v,
                                  struct hf_uuid id, uint64_t now_ms)
{
    if (undecided(v->state))
        return HF_AGAIN;
    if (v->state == CORE_STATE_FREE || !hf_uuid_equal(s->id, id) ||
        stock_word_kind(s->word) == KIND_OPERATION)
        return HF_NOT_FOUND;
    // A hold past its deadline that could not be ended: its end has no room yet.
    return v->state == CORE_STATE_HELD && v->time_ms <= now_ms ? HF_AGAIN : HF_OK;
}

enum hf_status core_get(struct core_worker *w, uint64_t now_ms, struct hf_uuid id,
                        struct core_view *view, struct core_line *lines, uint32_t lines_max)
{
    struct stock_slots *slots = &w->core->stock.slots;
    struct stock_slot s;
    enum hf_status status = HF_NOT_FOUND;
    worker_step_begin(w, now_ms);
    uint32_t index = stock_find(slots, id, stock_hash(slots, &id));
    if (index) {
        if (end_expire(w, index))
            worker_flush(w);
        status = HF_AGAIN;
        if (view_copy(w, index, view, w->lines, &s))
            status = view_status(&s, view, id, now_ms);
    }
    for (uint32_t i = 0; status == HF_OK && lines && i < view->line_count && i < lines_max; i++)
        lines[i] = (struct core_line){w->lines[i].handle, 0, w->lines[i].quantity};
    worker_step_end(w);
    return status;
}

static bool among(const struct core_filter *f, uint32_t handle)
{
    uint32_t low = 0, high = f->handles ? f->handle_count : 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (f->handles[middle] == handle)
            return true;
        if (f->handles[middle] < handle)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static bool filter_match(const struct core_filter *f, const struct core_view *v,
                         const struct stock_line *lines)
{
    if (f->by_state && v->state != f->state)
        return false;
    if (f->by_channel && v->channel != f->channel)
        return false;
    if (f->reference && strcmp(f->reference, v->reference) != 0)
        return false;
    bool on_cell = !f->by_handle, on_any = !f->handles;
    for (uint32_t i = 0; i < v->line_count && !(on_cell && on_any); i++) {
        on_cell |= lines[i].handle == f->handle && lines[i].quantity > 0;
        on_any |= lines[i].quantity > 0 && among(f, lines[i].handle);
    }
    return on_cell && on_any;
}

uint32_t core_list(struct core_worker *w, const struct core_filter *f, uint64_t *cursor,
                   struct core_view *views, uint32_t max)
{
    struct stock_slots *slots = &w->core->stock.slots;
    struct stock_slot s;
    uint32_t n = 0;
    uint64_t at = *cursor ? *cursor : 1;
    uint64_t last = f->looks_max ? at + f->looks_max : UINT64_MAX;
    while (n < max && at < last) {
        uint64_t end = hf_load_relaxed(&slots->slot_pool.fresh);
        if (end > slots->slot_pool.max + UINT64_C(1))
            end = slots->slot_pool.max + UINT64_C(1);
        if (at >= end) {
            *cursor = 0;
            return n;
        }
        uint64_t stop = at + 256 < end ? at + 256 : end; // short steps: others wait for grace
        stop = stop < last ? stop : last;
        worker_step_begin(w, core_now(w->core));
        for (; at < stop && n < max; at++) {
            unsigned state = stock_word_state(hf_load_relaxed(&slots->slots[at].word));
            if (state == CORE_STATE_HELD && end_expire(w, (uint32_t)at)) {
                worker_flush(w); // a reader past the deadline ends the hold before it answers
                state = CORE_STATE_EXPIRED;
            }
            if (state == CORE_STATE_FREE || (f->by_state && state != (unsigned)f->state))
                continue;
            struct core_view *v = &views[n];
            if (view_copy(w, (uint32_t)at, v, w->lines, &s) &&
                view_status(&s, v, v->id, w->now_ms) == HF_OK && filter_match(f, v, w->lines))
                n++;
        }
        worker_step_end(w);
    }
    *cursor = at;
    return n;
}

// ------------------------------------------------------------------------------- names

// A ticket is kept until a cell CORE_CELLS_UNTOLD further on takes its place (C1), which waits
// until cell_durable (C0) is above its own: whoever finds the other ticket here finds the cell
// there.
bool cell_told(struct core *c, uint32_t handle)
{
    uint32_t told = hf_load_acquire(&c->cell_durable);
    if (handle < told)
        return true;
    if (handle >= hf_load_acquire(&c->cell_count))
        return false;
    if (journal_durable(c->journal) < cell_ticket(c, handle))
        return handle < hf_load_acquire(&c->cell_durable);
    while (told <= handle && !hf_cas(&c->cell_durable, &told, handle + 1)) // C0; it never falls
        continue;
    return true;
}

enum hf_status core_find(struct core *c, const char *sku, uint32_t sku_bytes, const char *location,
                         uint32_t location_bytes, uint32_t *handle)
{
    uint32_t h;
    enum hf_status s =
        stock_directory_find(c->stock.directory, sku, sku_bytes, location, location_bytes, &h);
    if (s != HF_OK || !cell_told(c, h))
        return HF_NOT_FOUND;
    *handle = h;
    return HF_OK;
}

enum hf_status core_cell_name(struct core *c, uint32_t handle, struct core_name *out)
{
    if (handle >= hf_load_acquire(&c->cell_count))
        return HF_NOT_FOUND;
    struct stock_name n = stock_directory_name(c->stock.directory, handle);
    *out = (struct core_name){n.sku, n.location, n.sku_bytes, n.location_bytes};
    return HF_OK;
}

uint32_t core_cell_count(struct core *c)
{
    return hf_load_acquire(&c->cell_count);
}

uint64_t core_generation(struct core *c)
{
    return c->engine_id.lo;
}

uint32_t core_sku_cells(struct core *c, const char *sku, uint32_t sku_bytes, uint32_t *handles,
                        uint32_t max)
{
    uint32_t n = stock_directory_of_sku(c->stock.directory, sku, sku_bytes, handles, max);
    // Handles ascend; the newest may not be durable yet.
    while (n > 0 && n <= max && !cell_told(c, handles[n - 1]))
        n--;
    return n;
}

// Stops at the ends of the range: more than 1,023 cells at their bounds would pass them.
static void sum_add(int64_t *sum, int64_t value)
{
    if (__builtin_add_overflow(*sum, value, sum))
        *sum = value < 0 ? INT64_MIN : INT64_MAX;
}

static void totals_add(struct core_cell *sum, const struct core_cell *c)
{
    sum_add(&sum->available, c->available);
    sum_add(&sum->on_hand, c->on_hand);
    sum_add(&sum->held, c->held);
    sum_add(&sum->committed, c->committed);
    sum_add(&sum->external, c->external);
    sum_add(&sum->safety, c->safety);
    sum_add(&sum->backorder, c->backorder);
    sum->active |= c->active;
    sum->unsettled |= c->unsettled;
    sum->scale = c->scale; // of the SKU
}

enum hf_status core_sku_totals(struct core *c, const char *sku, uint32_t sku_bytes,
                               struct core_cell *out, uint32_t *cells)
{
    uint32_t handle;
    *out = (struct core_cell){0};
    *cells = 0;
    if (!stock_directory_sku_first(c->stock.directory, sku, sku_bytes, &handle))
        return HF_NOT_FOUND;
    for (uint32_t at = handle + 1; at; at = stock_directory_sku_next(c->stock.directory, at - 1)) {
        struct core_cell cell;
        if (!cell_told(c, at - 1) || core_cell_read(c, at - 1, &cell) != HF_OK)
            break; // handles ascend; the newest may not be durable yet
        totals_add(out, &cell);
        ++*cells;
    }
    return *cells ? HF_OK : HF_NOT_FOUND;
}

enum hf_status core_channel_find(struct core *c, const char *name, uint32_t bytes,
                                 uint16_t *channel)
{
    return stock_channel_find(c->stock.directory, name, bytes, channel);
}

const char *core_channel_name(struct core *c, uint16_t channel)
{
    return stock_channel_name(c->stock.directory, channel);
}

// ------------------------------------------------------------------------------- metrics

void core_metrics(struct core *c, struct core_metrics *out)
{
    *out = (struct core_metrics){0};
    for (uint32_t i = 0; i <= c->options.workers_max; i++) {
        const struct core_stats *s = &c->workers[i].stats;
#define X(name, help) out->name += hf_load_relaxed(&s->name);
        CORE_METRIC_TABLE(X)
#undef X
    }
    out->ids_max = c->options.ids_max;
    out->blocks_max = c->options.blocks_max;
    uint64_t ids = stock_pool_free(&c->stock.slots.slot_pool);
    uint64_t blocks = stock_pool_free(&c->stock.slots.block_pool);
    out->ids_used = ids < out->ids_max ? out->ids_max - ids : 0;
    out->blocks_used = blocks < out->blocks_max ? out->blocks_max - blocks : 0;
    out->floor_ms = hf_load_relaxed(&c->floor_ms);
    out->window_ms = hf_load_relaxed(&c->window_ms);
    out->expiry_lag_ms_max = hf_load_relaxed(&c->expiry_lag_ms_max);
    out->checkpoint_lsn = hf_load_relaxed(&c->checkpoint_lsn);
    out->shadow_lsn = hf_load_relaxed(&c->shadow_lsn);
    out->archive_lsn = c->archive ? archive_lsn(c->archive) : 0;
    out->checkpoints = hf_load_relaxed(&c->checkpoints);
    out->follow_lsn = hf_load_relaxed(&c->follow_lsn);
    out->follow_lost = hf_load_relaxed(&c->follow_lost);
    out->compared = hf_load_relaxed(&c->compared);
}
