// The order of every operation. A chunk of up to 32 requests goes through
//
//   1. look up, claim: credit and room first (else BUSY), then the slot goes PENDING, CHANGING or
//      ENDING by a swap. Only the winner goes on; everybody else answers IN_PROGRESS.
//   2. decide: what takes stock swaps its cells now. What gives stock back does not touch them yet.
//   3. append: all records of the chunk are pushed at once and get their LSNs.
//   4. publish: stock comes back, terms are added, slots get ticket, time and final word.
//   5. answer, to be told when durable.
//
// So a take is appended after its swap, and a give is appended before it is published: any later
// taker of that stock has a larger LSN, and no prefix of the journal oversells. All takes of a
// chunk are appended before any of its answers is given.
#include "core/core_internal.h"

#include "rcu/rcu.h"

#include <stddef.h>
#include <string.h>

#define WAIT_SLICE_MS 100

void worker_init(struct core *c, struct core_worker *w, uint32_t number)
{
    memset(w, 0, sizeof *w);
    w->core = c;
    w->number = number;
    stock_thread_init(&c->stock, &w->thread, number);
}

void worker_step_begin(struct core_worker *w, uint64_t now_ms)
{
    hf_store_relaxed(&w->beat, w->beat + 1);
    w->now_ms = now_ms;
    w->pend_count = 0;
    w->effect_count = 0;
    w->record_count = 0;
    w->undecided_bytes = 0;
    w->undecided_credit = 0;
    w->undecided_blocks = 0;
    rcu_step_begin();
}

void worker_step_end(struct core_worker *w)
{
    rcu_step_end();
    // Ends give back more credit than they use up: don't hoard it.
    uint64_t chunk = w->core->credit_chunk;
    if (HF_UNLIKELY(w->credit > 4 * chunk)) {
        journal_credit_give(w->core->journal, w->credit - 2 * chunk);
        w->credit = 2 * chunk;
    }
    hf_store_relaxed(&w->beat, w->beat + 1);
}

bool lags(struct core_worker *w)
{
    if (HF_LIKELY(!hf_load_relaxed(&w->core->lagging)))
        return false;
    w->shortage = CORE_SHORT_LAG;
    return true;
}

bool worker_has_room(struct core_worker *w, uint64_t bytes)
{
    if (HF_LIKELY(journal_has_room(w->producer, (uint32_t)(w->undecided_bytes + bytes))))
        return true;
    w->shortage = CORE_SHORT_BUFFERS;
    return false;
}

bool worker_afford(struct core_worker *w, uint64_t bytes, uint64_t kept)
{
    if (!worker_has_room(w, bytes))
        return false;
    uint64_t need = w->undecided_credit + bytes + kept;
    if (HF_LIKELY(w->credit >= need))
        return true;
    uint64_t missing = need - w->credit;
    uint64_t chunk = missing > w->core->credit_chunk ? missing : w->core->credit_chunk;
    if (!journal_credit_take(w->core->journal, chunk)) {
        chunk = missing;
        if (!journal_credit_take(w->core->journal, chunk)) {
            hf_store_relaxed(&w->core->starved, 1);
            w->shortage = CORE_SHORT_SPACE;
            return false;
        }
    }
    w->credit += chunk;
    return true;
}

bool worker_owns(const struct core_worker *w, uint32_t slot)
{
    for (uint32_t i = 0; i < w->pend_count; i++)
        if (w->pends[i].slot == slot || w->pends[i].operation == slot)
            return true;
    return false;
}

struct core_pend *pend_add(struct core_worker *w, uint32_t request, uint32_t slot)
{
    struct core_pend *p = &w->pends[w->pend_count++];
    p->request = request;
    p->slot = slot;
    p->operation = 0;
    p->record = w->record_count;
    p->effects = w->effect_count;
    p->effect_count = 0;
    p->wheel_at = 0;
    p->next_same = 0;
    p->outcome = CORE_OUT_DONE;
    p->undecided = false;
    p->drop_lines = false;
    return p;
}

void pend_effect(struct core_worker *w, struct core_pend *p, uint32_t handle, enum core_role role,
                 int64_t quantity)
{
    w->effects[w->effect_count++] = (struct core_record_line){handle, role, quantity};
    p->effect_count++;
}

void answer_plain(struct core_answer *a, enum core_outcome outcome)
{
    *a = (struct core_answer){.outcome = outcome};
    if (outcome == CORE_OUT_BUSY || outcome == CORE_OUT_IN_PROGRESS)
        a->retry_ms = outcome == CORE_OUT_BUSY ? 50 : 2;
}

void answer_busy(const struct core_worker *w, struct core_answer *a)
{
    answer_plain(a, CORE_OUT_BUSY);
    a->line = (uint32_t)w->shortage;
}

void answer_invalid(struct core_answer *a, enum core_field field, uint32_t line)
{
    *a = (struct core_answer){.outcome = CORE_OUT_INVALID, .field = field, .line = line};
}

void answer_slot(struct core_worker *w, struct core_answer *a, const struct stock_slot *s,
                 enum core_outcome outcome, bool repeat)
{
    unsigned state = stock_word_state(s->word);
    if (state == CORE_STATE_PENDING || state == CORE_STATE_CHANGING || state == CORE_STATE_ENDING) {
        answer_plain(a, CORE_OUT_IN_PROGRESS);
        return;
    }
    *a = (struct core_answer){.outcome = outcome,
                              .state = (enum core_state)state,
                              .repeat = repeat,
                              .durable = w->core->options.journal.mode == JOURNAL_SYNC,
                              .version = stock_word_version(s->word),
                              .ticket = s->ticket,
                              .time_ms = s->time_channel >> 16};
}

// "It can never act" rests on the floor's record: before that is durable, a crash would let the id
// in again. The ticket is 0 from before the floor rises until its record is appended (F1): read
// after the floor (F0), it is that of this floor or of a later one.
static bool floor_durable(const struct core *c, uint64_t id_ms)
{
    if (id_ms < hf_load_acquire(&c->floor_durable_ms))
        return true;
    uint64_t ticket = hf_load_acquire(&c->floor_ticket);
    return ticket != 0 && journal_durable(c->journal) >= ticket;
}

enum core_outcome id_admissible(const struct core *c, struct hf_uuid id, uint64_t now_ms,
                                bool allow_v4)
{
    if (hf_uuid_version(id) != 7)
        return allow_v4 ? CORE_OUT_DONE : CORE_OUT_INVALID;
    uint64_t ms = hf_uuid_ms(id);
    if (ms < hf_load_seq(&c->floor_ms)) // F0
        return floor_durable(c, ms) ? CORE_OUT_ID_TOO_OLD : CORE_OUT_BUSY;
    return ms > now_ms + c->options.skew_ms ? CORE_OUT_ID_IN_FUTURE : CORE_OUT_DONE;
}

uint64_t forget_at(const struct core *c, uint64_t outcome_ms)
{
    uint32_t window = hf_load_relaxed(&c->window_ms);
    return outcome_ms + window + c->options.skew_ms + window / 64 + 2;
}

void slot_abandon(struct core_worker *w, uint32_t index)
{
    struct stock_slot *slot = &w->core->stock.slots.slots[index];
    uint64_t word = hf_load_relaxed(&slot->word);
    stock_lines_drop(&w->core->stock.slots, &w->thread.blocks, slot, stock_word_flags(word));
    hf_store_release(&slot->word, stock_word_make(word, CORE_STATE_FREE, KIND_NONE, 0, 0));
    stock_wheel_push(&w->core->stock.wheels, w->number, index, w->now_ms);
}

uint32_t slot_claim(struct core_worker *w, struct hf_uuid id, uint64_t hash, enum core_kind kind,
                    uint64_t body, bool v4, uint32_t *found, enum core_outcome *outcome)
{
    struct core *c = w->core;
    *found = 0;
    w->shortage = CORE_SHORT_NOTHING;
    *outcome = id_admissible(c, id, w->now_ms, v4);
    if (*outcome != CORE_OUT_DONE)
        return 0;
    uint32_t index = stock_acquire(&w->thread.slots);
    if (!index) {
        w->shortage = CORE_SHORT_IDS;
        *outcome = CORE_OUT_BUSY;
        return 0;
    }
    struct stock_slot *slot = &c->stock.slots.slots[index];
    uint64_t word = hf_load_relaxed(&slot->word) + (UINT64_C(1) << 32); // the next generation
    hf_store_relaxed(&slot->id.hi, id.hi);
    hf_store_relaxed(&slot->id.lo, id.lo);
    hf_store_relaxed(&slot->body_hash, body);
    hf_store_relaxed(&slot->ticket, 0);
    hf_store_relaxed(&slot->time_channel, 0);
    hf_store_relaxed(&slot->end_hash, 0);
    hf_store_relaxed(&slot->a, 0);
    hf_store_relaxed(&slot->b, 0);
    unsigned flags = hf_uuid_version(id) == 7 ? 0 : STOCK_SLOT_V4;
    hf_store_relaxed(&slot->word, stock_word_make(word, CORE_STATE_PENDING, kind, flags, 0));
    *found = stock_insert(&c->stock.slots, index, hash);
    if (*found) {
        // Never linked, but a reader of an earlier chain may look: leave it FREE.
        hf_store_relaxed(&slot->word, stock_word_make(word, CORE_STATE_FREE, KIND_NONE, 0, 0));
        stock_release(&w->thread.slots, index);
        return 0;
    }
    // The floor may have passed this id while we looked: then an outcome of it may just have been
    // forgotten.
    *outcome = id_admissible(c, id, w->now_ms, v4);
    if (*outcome != CORE_OUT_DONE) {
        slot_abandon(w, index);
        return 0;
    }
    return index;
}

static void effect_publish(struct stock *s, const struct core_record_line *e)
{
    struct stock_cell *cell = &s->cells.cells[e->handle];
    switch ((enum core_role)e->role) {
    case CORE_ROLE_ORDER:
    case CORE_ROLE_COMMIT:
        hf_add(&cell->committed, e->quantity);
        break;
    case CORE_ROLE_GIVE_BACK:
        stock_give(cell, e->quantity);
        break;
    case CORE_ROLE_CANCEL:
        hf_add(&cell->committed, -e->quantity);
        stock_give(cell, e->quantity);
        break;
    case CORE_ROLE_RESTOCK:
        hf_add(&cell->on_hand, e->quantity);
        stock_give(cell, e->quantity);
        break;
    default: // HOLD was taken, SCRAP moves nothing
        break;
    }
}

static void pend_finish(struct core_worker *w, struct core_pend *p, uint64_t first_lsn)
{
    struct core *c = w->core;
    struct stock_slot *slot = &c->stock.slots.slots[p->slot];
    for (uint32_t i = 0; i < p->effect_count; i++)
        effect_publish(&c->stock, &w->effects[p->effects + i]);
    uint64_t ticket = first_lsn + p->record;
    if (p->drop_lines)
        stock_lines_drop(&c->stock.slots, &w->thread.blocks, slot,
                         stock_word_flags(hf_load_relaxed(&slot->word)));
    hf_store_relaxed(&slot->ticket, ticket);
    uint64_t channel = hf_load_relaxed(&slot->time_channel) & 0xffff;
    hf_store_relaxed(&slot->time_channel, p->time_ms << 16 | channel);
    hf_store_release(&slot->word, p->word); // S0
    unsigned state = stock_word_state(p->word);
    if (p->wheel_at)
        stock_wheel_push(&c->stock.wheels, w->number, p->slot,
                         state == CORE_STATE_HELD ? p->time_ms : forget_at(c, p->time_ms));
    if (p->operation) {
        struct stock_slot *op = &c->stock.slots.slots[p->operation];
        hf_store_relaxed(&op->ticket, ticket);
        hf_store_relaxed(&op->time_channel, w->now_ms << 16);
        uint64_t word = hf_load_relaxed(&op->word);
        hf_store_release(&op->word, stock_word_make(word, CORE_STATE_COMMITTED, KIND_OPERATION,
                                                    stock_word_flags(word), 1));
        stock_wheel_push(&c->stock.wheels, w->number, p->operation, forget_at(c, w->now_ms));
    }
    if (p->request == UINT32_MAX)
        return;
    w->answers[p->request] =
        (struct core_answer){.outcome = p->outcome,
                             .state = (enum core_state)state,
                             .durable = c->options.journal.mode == JOURNAL_SYNC,
                             .version = stock_word_version(p->word),
                             .ticket = ticket,
                             .time_ms = p->time_ms};
}

void worker_flush(struct core_worker *w)
{
    take_decide_combined(w);
    if (w->record_count) {
        uint32_t count;
        uint64_t first = journal_push(w->producer, &count);
        HF_ASSERT(count == w->record_count);
        for (uint32_t i = 0; i < w->pend_count; i++)
            if (w->pends[i].slot)
                pend_finish(w, &w->pends[i], first);
    }
    w->record_count = 0;
    w->pend_count = 0;
    w->effect_count = 0;
    w->undecided_bytes = 0;
    w->undecided_credit = 0;
    w->undecided_blocks = 0;
}

static void count_busy(struct core_stats *s, const struct core_answer *a)
{
    static const size_t counters[CORE_SHORT_COUNT] = {
        [CORE_SHORT_SPACE] = offsetof(struct core_stats, busy_space),
        [CORE_SHORT_BUFFERS] = offsetof(struct core_stats, busy_buffers),
        [CORE_SHORT_LAG] = offsetof(struct core_stats, busy_lag),
        [CORE_SHORT_IDS] = offsetof(struct core_stats, busy_ids),
        [CORE_SHORT_BLOCKS] = offsetof(struct core_stats, busy_blocks),
    };
    if (a->outcome != CORE_OUT_BUSY || a->line == CORE_SHORT_NOTHING)
        return;
    uint64_t *counter = (uint64_t *)((char *)s + counters[a->line]);
    hf_store_relaxed(counter, *counter + 1); // core_metrics reads it
}

static void count_answers(struct core_worker *w, uint32_t count)
{
    struct core_stats *s = &w->stats;
    uint64_t done = 0, refused = 0, repeats = 0, busy = 0, invalid = 0, progress = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct core_answer *a = &w->answers[i];
        done += a->outcome == CORE_OUT_DONE;
        refused += a->outcome == CORE_OUT_REFUSED;
        repeats += a->repeat;
        busy += a->outcome == CORE_OUT_BUSY;
        invalid += a->outcome == CORE_OUT_INVALID;
        progress += a->outcome == CORE_OUT_IN_PROGRESS;
    }
    hf_store_relaxed(&s->decisions, s->decisions + count);
    hf_store_relaxed(&s->done, s->done + done);
    hf_store_relaxed(&s->refused, s->refused + refused);
    hf_store_relaxed(&s->repeats, s->repeats + repeats);
    hf_store_relaxed(&s->busy, s->busy + busy);
    for (uint32_t i = 0; busy && i < count; i++)
        count_busy(s, &w->answers[i]);
    hf_store_relaxed(&s->invalid, s->invalid + invalid);
    hf_store_relaxed(&s->in_progress, s->in_progress + progress);
    hf_store_relaxed(&s->helped, w->thread.taker.helped);
    hf_store_relaxed(&s->cas_retries, w->thread.taker.retries);
}

// The further cells of a wide request: fetched while the one before it is decided.
static void lines_fetch(const struct core *c, const struct core_request *r)
{
    uint32_t count = r->line_count < 64 ? r->line_count : 64;
    for (uint32_t k = 1; k < count; k++)
        hf_prefetch_write(&c->stock.cells.cells[r->lines[k].handle]);
}

static void chunk_execute(struct core_worker *w, uint32_t count)
{
    struct core *c = w->core;
    uint64_t hashes[CORE_CHUNK];
    bool valid[CORE_CHUNK];
    uint32_t rest = UINT32_MAX;
    if (narrow_chunk(w, count, &rest) && rest == 0)
        return;
    for (uint32_t i = 0; i < count; i++) {
        const struct core_request *r = &w->requests[i];
        if (!(rest & (1u << i))) {
            valid[i] = false;
            continue;
        }
        hashes[i] = stock_hash(&c->stock.slots, &r->id);
        hf_prefetch_write(stock_bucket(&c->stock.slots, hashes[i]));
        valid[i] = request_valid(c, r, &w->answers[i]);
        if (valid[i] && r->line_count)
            hf_prefetch_write(&c->stock.cells.cells[r->lines[0].handle]);
        if (i < w->thread.slots.count)
            hf_prefetch_write(
                &c->stock.slots.slots[w->thread.slots.index[w->thread.slots.count - 1 - i]]);
    }
    for (uint32_t i = 0; i < count; i++)
        if (valid[i])
            hf_prefetch(
                &c->stock.slots.slots[hf_load_relaxed(stock_bucket(&c->stock.slots, hashes[i]))]);
    for (uint32_t i = 0; i < count; i++) {
        if (i + 1 < count && valid[i + 1])
            lines_fetch(c, &w->requests[i + 1]);
        if (!valid[i])
            continue;
        // The widest request needs two effects a line.
        if (w->effect_count + 2 * HF_LINES_MAX > CORE_EFFECTS_MAX || w->pend_count == CORE_CHUNK)
            worker_flush(w);
        if (w->requests[i].verb <= CORE_RECORD)
            take_request(w, i, hashes[i]);
        else if (w->requests[i].verb == CORE_COMMIT ||
                 (w->requests[i].verb == CORE_RELEASE && w->requests[i].line_count == 0))
            end_request(w, i, hashes[i]);
        else
            change_request(w, i, hashes[i]);
    }
    worker_flush(w);
}

// What the next chunk looks at first: fetched while this one is decided. Nothing is checked yet.
static void chunk_fetch(const struct core *c, const struct core_request *requests, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct core_request *r = &requests[i];
        hf_prefetch_write(stock_bucket(&c->stock.slots, stock_hash(&c->stock.slots, &r->id)));
        if (r->line_count && r->lines)
            hf_prefetch_write(&c->stock.cells.cells[r->lines[0].handle]);
    }
}

void core_execute(struct core_worker *w, uint64_t now_ms, const struct core_request *requests,
                  struct core_answer *answers, uint32_t count)
{
    for (uint32_t done = 0; done < count;) {
        uint32_t n = count - done < CORE_CHUNK ? count - done : CORE_CHUNK;
        worker_step_begin(w, now_ms);
        w->requests = requests + done;
        w->answers = answers + done;
        if (HF_LIKELY(core_status(w->core) == HF_OK)) {
            uint32_t left = count - done - n;
            chunk_fetch(w->core, requests + done + n, left < CORE_CHUNK ? left : CORE_CHUNK);
            chunk_execute(w, n);
            count_answers(w, n);
        } else {
            for (uint32_t i = 0; i < n; i++)
                answer_plain(&w->answers[i], CORE_OUT_BUSY);
        }
        worker_step_end(w);
        done += n;
    }
}

enum hf_status core_wait(struct core *c, uint64_t ticket, uint32_t timeout_ms)
{
    // In slices: the engine may stop for a reason that the journal does not know.
    for (;;) {
        uint32_t slice = timeout_ms < WAIT_SLICE_MS ? timeout_ms : WAIT_SLICE_MS;
        enum hf_status s = journal_wait(c->journal, ticket, slice);
        if (s != HF_AGAIN || timeout_ms == slice)
            return s;
        if (core_status(c) != HF_OK)
            return HF_STOPPED;
        timeout_ms -= slice;
    }
}
