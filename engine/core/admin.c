// Administrative changes: one at a time, under a mutex. Decreases of what is available follow the
// order of takes (swap, then append), increases that of gives (append, then publish). While a
// cell's terms move, its admin_seq is odd, so that readers don't add up half a change.
#include "core/core_internal.h"

#include <string.h>

static void answer(struct core_admin_answer *out, enum core_outcome outcome, enum core_field field)
{
    *out = (struct core_admin_answer){.outcome = outcome, .field = field};
}

static uint64_t push_one(struct core_worker *w)
{
    uint32_t count;
    uint64_t lsn = journal_push(w->producer, &count);
    HF_ASSERT(count == 1);
    w->record_count = 0;
    return lsn;
}

static bool open_for_change(struct core_worker *w, uint32_t bytes, struct core_admin_answer *out)
{
    if (core_status(w->core) == HF_OK && worker_afford(w, bytes, 0))
        return true;
    answer(out, CORE_OUT_BUSY, CORE_FIELD_NONE);
    return false;
}

// ------------------------------------------------------------------------------- names

static void cell_make(struct core_worker *w, const struct core_text *names, uint8_t scale,
                      struct core_admin_answer *out)
{
    struct core *c = w->core;
    struct stock_directory *d = c->stock.directory;
    uint32_t handle;
    if (stock_directory_find(d, names->reference, names->reference_bytes, names->buyer,
                             names->buyer_bytes, &handle) == HF_OK) {
        answer(out, c->stock.scales[handle] == scale ? CORE_OUT_DONE : CORE_OUT_CONFLICT,
               CORE_FIELD_SCALE);
        out->repeat = true;
        out->handle = handle;
        out->ticket = cell_ticket(c, handle);
        return;
    }
    // The scale is the SKU's: its cells' quantities are added up.
    if (stock_directory_sku_first(d, names->reference, names->reference_bytes, &handle) &&
        c->stock.scales[handle] != scale) {
        answer(out, CORE_OUT_CONFLICT, CORE_FIELD_SCALE);
        return;
    }
    handle = stock_directory_count(d);
    struct core_record_line lines[2] = {{handle, CORE_ROLE_ACTIVE, 1},
                                        {handle, CORE_ROLE_SCALE, scale}};
    struct encode e = {.type = CORE_RECORD_CELL,
                       .time_ms = w->now_ms,
                       .lines = lines,
                       .line_count = 2,
                       .text = names};
    if (handle == c->options.cells_max) {
        answer(out, CORE_OUT_BUSY, CORE_FIELD_SKU); // the configured capacity is used up
        return;
    }
    if (!open_for_change(w, encode_bytes(&e), out))
        return;
    if (handle >= CORE_CELLS_UNTOLD && !cell_told(c, handle - CORE_CELLS_UNTOLD)) {
        answer(out, CORE_OUT_BUSY, CORE_FIELD_NONE); // its ticket is still needed
        return;
    }
    encode_record(w, &e);
    uint64_t lsn = push_one(w);
    c->stock.scales[handle] = scale;
    hf_store_relaxed(&c->stock.cells.cells[handle].decision.lo, stock_word(0, STOCK_FLAG_ACTIVE));
    hf_store_release(&c->cell_tickets[handle % CORE_CELLS_UNTOLD], lsn); // C1
    enum hf_status added = stock_directory_add(d, names->reference, names->reference_bytes,
                                               names->buyer, names->buyer_bytes, &handle);
    HF_ASSERT(added == HF_OK);
    hf_store_release(&c->cell_count, handle + 1);
    answer(out, CORE_OUT_DONE, CORE_FIELD_NONE);
    out->handle = handle;
    out->ticket = lsn;
}

void core_cell_make(struct core_worker *w, uint64_t now_ms, const char *sku, uint32_t sku_bytes,
                    const char *location, uint32_t location_bytes, uint8_t scale,
                    struct core_admin_answer *out)
{
    enum core_field bad = !stock_name_valid(sku, sku_bytes, HF_SKU_BYTES_MAX) ? CORE_FIELD_SKU
                          : !stock_name_valid(location, location_bytes, HF_LOCATION_BYTES_MAX)
                              ? CORE_FIELD_LOCATION
                          : scale > HF_UNIT_SCALE_MAX ? CORE_FIELD_SCALE
                                                      : CORE_FIELD_NONE;
    if (bad != CORE_FIELD_NONE) {
        answer(out, CORE_OUT_INVALID, bad);
        return;
    }
    struct core_text names = {.reference = sku,
                              .buyer = location,
                              .reference_bytes = (uint8_t)sku_bytes,
                              .buyer_bytes = (uint8_t)location_bytes};
    lock_acquire(&w->core->admin);
    worker_step_begin(w, now_ms);
    cell_make(w, &names, scale, out);
    worker_step_end(w);
    lock_release(&w->core->admin);
}

static void channel_make(struct core_worker *w, const struct core_text *name,
                         struct core_admin_answer *out)
{
    struct stock_directory *d = w->core->stock.directory;
    uint16_t channel;
    if (stock_channel_find(d, name->reference, name->reference_bytes, &channel) == HF_OK) {
        answer(out, CORE_OUT_DONE, CORE_FIELD_NONE);
        out->repeat = true;
        out->handle = channel;
        out->ticket = journal_appended(w->core->journal);
        return;
    }
    if (stock_channel_count(d) == HF_CHANNELS_MAX) {
        answer(out, CORE_OUT_BUSY, CORE_FIELD_CHANNEL);
        return;
    }
    struct encode e = {.type = CORE_RECORD_CHANNEL,
                       .time_ms = w->now_ms,
                       .channel = (uint16_t)(stock_channel_count(d) + 1),
                       .text = name};
    if (!open_for_change(w, encode_bytes(&e), out))
        return;
    encode_record(w, &e);
    uint64_t lsn = push_one(w);
    enum hf_status added = stock_channel_add(d, name->reference, name->reference_bytes, &channel);
    HF_ASSERT(added == HF_OK && channel == e.channel);
    answer(out, CORE_OUT_DONE, CORE_FIELD_NONE);
    out->handle = channel;
    out->ticket = lsn;
}

void core_channel_make(struct core_worker *w, uint64_t now_ms, const char *name, uint32_t bytes,
                       struct core_admin_answer *out)
{
    if (!stock_name_valid(name, bytes, HF_CHANNEL_BYTES_MAX)) {
        answer(out, CORE_OUT_INVALID, CORE_FIELD_CHANNEL);
        return;
    }
    struct core_text text = {.reference = name, .reference_bytes = (uint8_t)bytes};
    lock_acquire(&w->core->admin);
    worker_step_begin(w, now_ms);
    channel_make(w, &text, out);
    worker_step_end(w);
    lock_release(&w->core->admin);
}

// ------------------------------------------------------------------------------- changes

// With what is kept for administration, when ordinary requests have used up the rest: stock must
// be correctable, and what Odoo has booked acknowledged, however full the window of ids is.
static uint32_t slot_claim_kept(struct core_worker *w, struct hf_uuid id, uint64_t id_hash,
                                uint64_t body, uint32_t *found, enum core_outcome *outcome)
{
    struct stock_cache *cache = &w->thread.slots;
    uint32_t kept = cache->kept;
    cache->kept = 0;
    uint32_t slot = slot_claim(w, id, id_hash, KIND_OPERATION, body, false, found, outcome);
    cache->kept = kept;
    if (kept > 0 && stock_pool_free(cache->pool) <= kept)
        stock_cache_flush(cache); // what came along with it stays kept
    return slot;
}

// An operation of its own id: its slot, and room for a record of `bytes`. 0 after having answered
// (a repeat, a conflict, BUSY). Looked up first: what was done is told on a full disk, too.
static uint32_t operation_claim(struct core_worker *w, struct hf_uuid id, uint64_t body,
                                uint32_t bytes, struct core_admin_answer *out)
{
    struct stock_slots *slots = &w->core->stock.slots;
    uint64_t id_hash = stock_hash(slots, &id);
    enum core_outcome outcome = CORE_OUT_BUSY;
    uint32_t found = stock_find(slots, id, id_hash);
    if (core_status(w->core) != HF_OK || !found) {
        if (!open_for_change(w, bytes, out))
            return 0;
        uint32_t slot = slot_claim_kept(w, id, id_hash, body, &found, &outcome);
        if (slot)
            return slot;
    }
    struct stock_slot s;
    if (!found) {
        answer(out, outcome, CORE_FIELD_NONE);
    } else if (!stock_slot_copy(slots, found, &s) || !hf_uuid_equal(s.id, id) ||
               stock_word_state(s.word) == CORE_STATE_PENDING ||
               stock_word_state(s.word) == CORE_STATE_FREE) {
        answer(out, CORE_OUT_IN_PROGRESS, CORE_FIELD_NONE); // a verb's, and it may come to nothing
    } else {
        bool same = stock_word_kind(s.word) == KIND_OPERATION && s.body_hash == body;
        answer(out, same ? CORE_OUT_DONE : CORE_OUT_CONFLICT,
               same ? CORE_FIELD_NONE : CORE_FIELD_OPERATION_ID);
        out->repeat = same;
        out->ticket = s.ticket;
    }
    return 0;
}

static void operation_finish(struct core_worker *w, uint32_t index, uint64_t lsn)
{
    struct core *c = w->core;
    struct stock_slot *slot = &c->stock.slots.slots[index];
    uint64_t word = hf_load_relaxed(&slot->word);
    hf_store_relaxed(&slot->ticket, lsn);
    hf_store_relaxed(&slot->time_channel, w->now_ms << 16);
    hf_store_release(&slot->word, stock_word_make(word, CORE_STATE_COMMITTED, KIND_OPERATION,
                                                  stock_word_flags(word), 1));
    stock_wheel_push(&c->stock.wheels, w->number, index, forget_at(c, w->now_ms));
}

static int64_t *term_of(struct stock_cell *cell, enum core_setting setting)
{
    switch (setting) {
    case CORE_SET_ON_HAND:
        return &cell->on_hand;
    case CORE_SET_SAFETY:
        return &cell->safety;
    case CORE_SET_BACKORDER:
        return &cell->backorder;
    default:
        return &cell->external;
    }
}

static void term_store(struct stock_cell *cell, int64_t *term, int64_t delta, int64_t give)
{
    hf_add(&cell->admin_seq, 1u); // pairs with R0 in stock_cell_read
    hf_add(term, delta);
    if (give)
        stock_give(cell, give);
    hf_add(&cell->admin_seq, 1u);
}

static enum core_role role_of(enum core_setting s)
{
    static const enum core_role roles[] = {CORE_ROLE_ON_HAND, CORE_ROLE_SAFETY, CORE_ROLE_BACKORDER,
                                           CORE_ROLE_EXTERNAL, CORE_ROLE_ACTIVE};
    return roles[s];
}

static uint64_t change_append(struct core_worker *w, const struct core_change *ch, uint64_t hash,
                              int64_t value)
{
    struct core_record_line line = {ch->handle, role_of(ch->setting), value};
    size_t reason = ch->reason ? strlen(ch->reason) : 0;
    struct encode e = {.type = CORE_RECORD_CHANGE,
                       .id = ch->op_id,
                       .version = 1,
                       .body_hash = hash,
                       .time_ms = w->now_ms,
                       .lines = &line,
                       .line_count = 1,
                       .reason = ch->reason,
                       .reason_bytes = (uint8_t)reason};
    encode_record(w, &e);
    return push_one(w);
}

// Moves a term by delta; available moves by +delta or, for what others claim, by -delta.
static uint64_t term_change(struct core_worker *w, const struct core_change *ch, uint64_t hash,
                            int64_t old, int64_t delta)
{
    struct stock_cell *cell = &w->core->stock.cells.cells[ch->handle];
    bool plus = ch->setting == CORE_SET_ON_HAND || ch->setting == CORE_SET_BACKORDER;
    int64_t gain = plus ? delta : -delta, left;
    int64_t told = ch->setting == CORE_SET_ON_HAND ? delta : old + delta;
    if (gain >= 0) {
        uint64_t lsn = change_append(w, ch, hash, told);
        term_store(cell, term_of(cell, ch->setting), delta, gain);
        return lsn;
    }
    hf_add(&cell->admin_seq, 1u);
    bool taken = stock_take_one(&w->thread.taker, ch->handle, -gain, true, &left);
    if (taken)
        hf_add(term_of(cell, ch->setting), delta);
    hf_add(&cell->admin_seq, 1u);
    return taken ? change_append(w, ch, hash, told) : 0;
}

static uint64_t active_change(struct core_worker *w, const struct core_change *ch, uint64_t hash)
{
    // Deactivation takes: first the flag, then the record. Activation gives: the reverse.
    if (ch->value) {
        uint64_t lsn = change_append(w, ch, hash, 1);
        stock_flags_set(&w->thread.taker, ch->handle, STOCK_FLAG_ACTIVE, 0);
        return lsn;
    }
    stock_flags_set(&w->thread.taker, ch->handle, 0, STOCK_FLAG_ACTIVE);
    return change_append(w, ch, hash, 0);
}

static void change_make(struct core_worker *w, const struct core_change *ch,
                        struct core_admin_answer *out)
{
    struct stock_cell *cell = &w->core->stock.cells.cells[ch->handle];
    struct {
        uint64_t handle, setting, relative, compare;
        int64_t value, expected;
    } body = {ch->handle, ch->setting, ch->relative, ch->compare, ch->value,
              ch->compare ? ch->expected : 0};
    uint64_t hash = hf_hash(&body, sizeof body, 0);
    bool active = ch->setting == CORE_SET_ACTIVE;
    uint32_t reason = ch->reason ? (uint32_t)strlen(ch->reason) : 0;
    uint32_t op =
        operation_claim(w, ch->op_id, hash, record_bytes(1) + text_bytes(NULL, reason), out);
    int64_t old = active ? stock_active(cell) : hf_load_relaxed(term_of(cell, ch->setting));
    out->handle = ch->handle;
    out->value = old;
    if (!op)
        return;
    int64_t next = ch->relative ? old + ch->value : ch->value;
    bool in_range = next >= (ch->setting == CORE_SET_ON_HAND ? -HF_QUANTITY_MAX : 0) &&
                    next <= (active ? 1 : HF_QUANTITY_MAX);
    uint64_t lsn = 0;
    if (ch->compare && old != ch->expected)
        answer(out, CORE_OUT_REFUSED, CORE_FIELD_VALUE);
    else if (!in_range || (lsn = active ? active_change(w, ch, hash)
                                        : term_change(w, ch, hash, old, next - old)) == 0)
        answer(out, CORE_OUT_INVALID, CORE_FIELD_VALUE);
    out->handle = ch->handle;
    out->value = lsn ? next : old;
    if (lsn == 0) {
        slot_abandon(w, op);
        return;
    }
    operation_finish(w, op, lsn);
    out->outcome = CORE_OUT_DONE;
    out->field = CORE_FIELD_NONE;
    out->repeat = false;
    out->ticket = lsn;
}

static enum core_field change_invalid(const struct core *c, const struct core_change *ch)
{
    if (!op_id_valid(ch->op_id))
        return CORE_FIELD_OPERATION_ID;
    if (ch->handle >= hf_load_acquire(&c->cell_count))
        return CORE_FIELD_HANDLE;
    if ((unsigned)ch->setting >= CORE_SETTING_COUNT ||
        (ch->relative && ch->setting != CORE_SET_ON_HAND))
        return CORE_FIELD_VERB;
    if (ch->value > HF_QUANTITY_MAX || ch->value < -HF_QUANTITY_MAX)
        return CORE_FIELD_VALUE;
    if (ch->reason && ch->reason[0] != '\0' &&
        !stock_name_valid(ch->reason, (uint32_t)strnlen(ch->reason, HF_REASON_BYTES_MAX + 1),
                          HF_REASON_BYTES_MAX))
        return CORE_FIELD_REASON;
    return CORE_FIELD_NONE;
}

void core_change(struct core_worker *w, uint64_t now_ms, const struct core_change *ch,
                 struct core_admin_answer *out)
{
    enum core_field bad = change_invalid(w->core, ch);
    if (bad != CORE_FIELD_NONE) {
        answer(out, CORE_OUT_INVALID, bad);
        return;
    }
    lock_acquire(&w->core->admin);
    worker_step_begin(w, now_ms);
    change_make(w, ch, out);
    worker_step_end(w);
    lock_release(&w->core->admin);
}

// ------------------------------------------------------------------------------- acknowledgements

static void acknowledge(struct core_worker *w, struct hf_uuid op_id, const struct core_line *lines,
                        uint32_t count, struct core_admin_answer *out)
{
    struct core *c = w->core;
    uint64_t hash = hf_hash(lines, count * sizeof *lines, 1);
    uint32_t op = operation_claim(w, op_id, hash, record_bytes(count), out);
    if (!op)
        return;
    for (uint32_t i = 0; i < count; i++)
        w->effects[i] = (struct core_record_line){lines[i].handle, CORE_ROLE_ACKNOWLEDGE,
                                                  lines[i].quantity};
    struct encode e = {.type = CORE_RECORD_ACKNOWLEDGE,
                       .id = op_id,
                       .version = 1,
                       .body_hash = hash,
                       .time_ms = w->now_ms,
                       .lines = w->effects,
                       .line_count = count};
    encode_record(w, &e);
    uint64_t lsn = push_one(w);
    for (uint32_t i = 0; i < count; i++) {
        struct stock_cell *cell = &c->stock.cells.cells[lines[i].handle];
        hf_add(&cell->admin_seq, 1u);
        hf_add(&cell->on_hand, -lines[i].quantity);
        hf_add(&cell->committed, -lines[i].quantity);
        hf_add(&cell->admin_seq, 1u);
    }
    operation_finish(w, op, lsn);
    answer(out, CORE_OUT_DONE, CORE_FIELD_NONE);
    out->ticket = lsn;
}

void core_acknowledge(struct core_worker *w, uint64_t now_ms, struct hf_uuid op_id,
                      const struct core_line *lines, uint32_t count, struct core_admin_answer *out)
{
    uint32_t cells = hf_load_acquire(&w->core->cell_count);
    enum core_field bad = op_id_valid(op_id) ? CORE_FIELD_NONE : CORE_FIELD_OPERATION_ID;
    if (count == 0 || count > HF_LINES_MAX)
        bad = CORE_FIELD_LINES;
    for (uint32_t i = 0; i < count && bad == CORE_FIELD_NONE; i++) {
        if (lines[i].handle >= cells || lines[i].unused != 0)
            bad = CORE_FIELD_HANDLE;
        else if (lines[i].quantity > HF_QUANTITY_MAX || lines[i].quantity < -HF_QUANTITY_MAX)
            bad = CORE_FIELD_QUANTITY;
    }
    if (bad != CORE_FIELD_NONE) {
        answer(out, CORE_OUT_INVALID, bad);
        return;
    }
    lock_acquire(&w->core->admin);
    worker_step_begin(w, now_ms);
    acknowledge(w, op_id, lines, count, out);
    worker_step_end(w);
    lock_release(&w->core->admin);
}
