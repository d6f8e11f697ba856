// Dead letters: what operators see, retry and discard.
//
// Retry. The wish is durable in the letter. Its line then goes into the window as a line of its
// own, never netted with others, so that the records behind it stay told by its span; the letter
// leaves the file in the same write that brings the new batch.
//
// Discard. "Odoo will never be told": the cell is treated as if it had been, by an acknowledgement
// (a sale's on hand and committed fall together, so that nothing is for sale again; other kinds are
// acknowledged with nothing), and Odoo differs by the line from then on. That entry stays in
// discards.hfs as the difference's explanation.
//
//    letter -> INTENT (discards.hfs) -> letter gone (flush.hfs) -> acknowledged (journal) -> BOOKED
//
//  D0 The letter itself is durable before the intent is: an intent of a letter that the state does
//     not know is damage.
//  D1 The intent, with the id of the acknowledgement, is durable before the letter goes.
//  D2 The letter is durably gone before the acknowledgement is appended: it cannot be posted too.
//  D3 Within the process it is appended once; a start looks for its id in archive and journal
//  first.
#include "flush/flush_internal.h"

#include "base/log.h"
#include "journal/chunkfile.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES      (64u << 10)
#define DISCARDS_NAME    "discards.hfs"
#define DISCARDS_KIND    "HFDISCAR"
#define DISCARDS_VERSION 1
#define BUSY_MS          100

struct discards_head {
    uint32_t count, zero;
};

// ------------------------------------------------------------------------------- looking

static void letter_tell(const struct flush_dead *d, struct flush_dead_letter *out)
{
    *out = (struct flush_dead_letter){.id = d->id,
                                      .handle = d->line.handle,
                                      .kind = (enum flush_kind)d->line.kind,
                                      .cause = (enum flush_cause)d->cause,
                                      .quantity = d->line.quantity,
                                      .movements = d->line.movements,
                                      .first_lsn = d->line.first_lsn,
                                      .last_lsn = d->line.last_lsn,
                                      .since_ms = d->line.since_ms,
                                      .dead_ms = d->dead_ms,
                                      .batch = d->batch,
                                      .retrying = d->retry};
    memcpy(out->why, d->why, sizeof d->why);
}

uint32_t flush_dead_list(const struct flush *f, uint64_t after, struct flush_dead_letter *out,
                         uint32_t max)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->dead_count && n < max; i++) // ids ascend
        if (f->dead[i].id > after)
            letter_tell(&f->dead[i], &out[n++]);
    return n;
}

static struct flush_dead *letter_find(struct flush *f, uint64_t id)
{
    uint32_t low = 0, high = f->dead_count; // ids ascend
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (f->dead[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < f->dead_count && f->dead[low].id == id ? &f->dead[low] : NULL;
}

static void letter_remove(struct flush *f, struct flush_dead *d)
{
    size_t at = (size_t)(d - f->dead), after = f->dead_count - at - 1;
    memmove(d, d + 1, after * sizeof *d);
    memmove(&f->retrying[at], &f->retrying[at + 1], after * sizeof *f->retrying);
    f->retrying[--f->dead_count] = false;
}

// ------------------------------------------------------------------------------- retrying

enum hf_status flush_dead_retry(struct flush *f, uint64_t id, uint64_t now_ms)
{
    if (f->failed != HF_OK)
        return HF_AGAIN;
    struct flush_dead *d = letter_find(f, id);
    if (!d)
        return HF_NOT_FOUND;
    f->close_at_ms = 0;
    if (d->retry && !f->must_save)
        return HF_OK;
    d->retry = 1;
    f->must_save = true;
    enum hf_status s = state_save(f, now_ms);
    return s == HF_AGAIN ? HF_NO_SPACE : f->failed != HF_OK ? HF_AGAIN : s;
}

// What is to be retried goes into the window, as far as there is room.
static void retries_take(struct flush *f)
{
    for (uint32_t i = 0; i < f->dead_count; i++) {
        struct flush_line l = f->dead[i].line;
        if (!f->dead[i].retry || f->retrying[i])
            continue;
        if (!window_fits(&f->window, 1, l.quantity < 0 ? -l.quantity : l.quantity))
            return;
        l.product = l.uom = 0; // looked up again
        if (f->window.movements == 0)
            f->window.opened_ms = 0; // due at once
        window_add_alone(&f->window, &l);
        f->retrying[i] = true;
    }
}

// ------------------------------------------------------------------------------- the file

static enum hf_status discards_write(struct flush *f, uint64_t now_ms)
{
    struct chunkfile_header h = {.version = DISCARDS_VERSION,
                                 .engine_id = journal_engine_id(core_journal(f->options.core)),
                                 .lsn = f->taken_lsn,
                                 .time_ms = now_ms};
    struct discards_head head = {.count = f->discard_count};
    struct chunkfile_writer *w;
    memcpy(h.kind, DISCARDS_KIND, sizeof h.kind);
    enum hf_status s =
        chunkfile_writer_create(f->options.storage, DISCARDS_NAME, &h, CHUNK_BYTES, &w);
    if (s != HF_OK)
        return s;
    s = chunkfile_write(w, &head, sizeof head);
    if (s == HF_OK)
        s = chunkfile_write(w, f->discards, f->discard_count * sizeof *f->discards);
    if (s == HF_OK)
        return chunkfile_finish(w);
    chunkfile_abandon(w);
    return s;
}

// HF_AGAIN: no room on the disk now.
enum hf_status discards_save(struct flush *f, uint64_t now_ms)
{
    enum hf_status s = discards_write(f, now_ms);
    if (s == HF_NO_SPACE || s == HF_NO_MEMORY)
        return HF_AGAIN;
    if (s != HF_OK)
        return flush_fail(f, s, "the discards could not be written");
    f->discards_stale = false;
    return HF_OK;
}

static bool terminated(const char *text, size_t bytes)
{
    return memchr(text, '\0', bytes) != NULL;
}

static bool discard_sound(const struct flush *f, const struct flush_discard *d)
{
    return d->line.handle < core_cell_count(f->options.core) && d->line.kind < FLUSH_KIND_COUNT &&
           d->state <= FLUSH_DISCARD_BOOKED && d->cause < FLUSH_CAUSE_COUNT &&
           d->letter < f->next_dead && terminated(d->why, sizeof d->why) &&
           terminated(d->actor, sizeof d->actor) && terminated(d->reason, sizeof d->reason);
}

// They are few as a rule, and each is large: room for all would be megabytes.
static bool discards_room(struct flush *f, uint32_t count)
{
    uint32_t room = f->discard_room ? f->discard_room : 16;
    if (f->discards && count <= f->discard_room)
        return true;
    while (room < count)
        room *= 2;
    struct flush_discard *more = realloc(f->discards, room * sizeof *more);
    if (!more)
        return false;
    f->discards = more;
    f->discard_room = room;
    return true;
}

static enum hf_status discards_read(struct flush *f, struct chunkfile_reader *r)
{
    struct discards_head head;
    enum hf_status s = chunkfile_read(r, &head, sizeof head);
    if (s == HF_OK && head.count > FLUSH_DISCARDS_MAX)
        s = HF_DAMAGED;
    if (s == HF_OK && !discards_room(f, head.count))
        s = HF_NO_MEMORY;
    if (s == HF_OK)
        s = chunkfile_read(r, f->discards, head.count * sizeof *f->discards);
    for (uint32_t i = 0; i < head.count && s == HF_OK; i++)
        if (!discard_sound(f, &f->discards[i]))
            s = HF_DAMAGED;
    f->discard_count = s == HF_OK ? head.count : 0;
    return s == HF_OK ? chunkfile_read_end(r) : s;
}

enum hf_status discards_load(struct flush *f, char why[200])
{
    struct chunkfile_header h;
    struct chunkfile_reader *r;
    enum hf_status s =
        chunkfile_reader_create(f->options.storage, DISCARDS_NAME, DISCARDS_KIND, DISCARDS_VERSION,
                                journal_engine_id(core_journal(f->options.core)), &h, &r);
    if (s == HF_NOT_FOUND)
        return HF_OK;
    if (s == HF_OK) {
        s = discards_read(f, r);
        chunkfile_reader_destroy(r);
    }
    for (uint32_t i = 0; i < f->discard_count; i++) {
        struct flush_discard *d = &f->discards[i];
        struct flush_dead *letter = letter_find(f, d->letter);
        d->fresh = 0;
        if (letter) { // power failed before it went: nobody shall retry it
            letter_remove(f, letter);
            f->must_save = true;
        }
        if (d->state != FLUSH_DISCARD_BOOKED) {
            d->state = FLUSH_DISCARD_INTENT; // whether it was appended is looked up
            f->discards_open++;
        }
    }
    if (s != HF_OK)
        snprintf(why, 200, "%s: %s", DISCARDS_NAME, hf_status_help(s));
    return s;
}

// ------------------------------------------------------------------------------- discarding

static void text_set(char *out, size_t bytes, const char *text)
{
    size_t n = strnlen(text, bytes - 1);
    memcpy(out, text, n);
    memset(out + n, 0, bytes - n);
}

static void intent_fill(struct flush *f, const struct flush_dead *d,
                        const struct flush_discarding *k, struct flush_discard *out,
                        uint64_t now_ms)
{
    *out = (struct flush_discard){.request_id = k->request_id,
                                  .op_id = flush_discard_op_id(f, d->id, now_ms),
                                  .line = d->line,
                                  .letter = d->id,
                                  .batch = d->batch,
                                  .dead_ms = d->dead_ms,
                                  .time_ms = now_ms,
                                  .after_lsn = f->taken_lsn,
                                  .cause = d->cause,
                                  .state = FLUSH_DISCARD_INTENT,
                                  .fresh = 1};
    memcpy(out->why, d->why, sizeof out->why);
    text_set(out->actor, sizeof out->actor, k->actor);
    text_set(out->reason, sizeof out->reason, k->reason);
}

enum hf_status flush_dead_discard(struct flush *f, const struct flush_discarding *k,
                                  uint64_t now_ms)
{
    if (f->failed != HF_OK)
        return HF_AGAIN;
    // While it settles, Odoo may have this very letter, posted by the folder's former life.
    if (f->moved.phase == FLUSH_SETTLING)
        return HF_BUSY;
    for (uint32_t i = 0; i < f->discard_count; i++) {
        bool same = hf_uuid_equal(f->discards[i].request_id, k->request_id);
        if (same || f->discards[i].letter == k->letter)
            return same && f->discards[i].letter == k->letter ? HF_OK : HF_EXISTS;
    }
    struct flush_dead *d = letter_find(f, k->letter);
    if (!d)
        return HF_NOT_FOUND;
    if (d->retry)
        return HF_BUSY;
    if (f->discard_count == FLUSH_DISCARDS_MAX)
        return HF_FULL;
    if (!discards_room(f, f->discard_count + 1))
        return HF_NO_MEMORY;
    if (f->must_save && state_save(f, now_ms) != HF_OK) // D0
        return HF_BUSY;
    intent_fill(f, d, k, &f->discards[f->discard_count++], now_ms);
    enum hf_status s = discards_save(f, now_ms); // D1
    if (s != HF_OK) {
        f->discard_count--;
        return s == HF_AGAIN ? HF_NO_SPACE : f->failed != HF_OK ? HF_AGAIN : s;
    }
    f->discards_open++;
    letter_remove(f, d);
    f->dead_full = false;
    f->must_save = true; // D2
    hf_log(HF_LOG_WARN, "flush_dead_letter_discarded", "id=%" PRIu64 " actor=\"%s\"", k->letter,
           f->discards[f->discard_count - 1].actor);
    return HF_OK;
}

static void discard_tell(const struct flush_discard *d, struct flush_discarded *out)
{
    struct flush_dead letter = {.line = d->line,
                                .id = d->letter,
                                .batch = d->batch,
                                .dead_ms = d->dead_ms,
                                .cause = d->cause};
    memcpy(letter.why, d->why, sizeof letter.why);
    letter_tell(&letter, &out->letter);
    out->request_id = d->request_id;
    out->op_id = d->op_id;
    out->time_ms = d->time_ms;
    out->booked = d->state == FLUSH_DISCARD_BOOKED;
    memcpy(out->actor, d->actor, sizeof out->actor);
    memcpy(out->reason, d->reason, sizeof out->reason);
}

uint32_t flush_discard_list(const struct flush *f, uint32_t from, struct flush_discarded *out,
                            uint32_t max)
{
    uint32_t n = 0;
    for (uint32_t i = from; i < f->discard_count && n < max; i++)
        discard_tell(&f->discards[i], &out[n++]);
    return n;
}

static void booked(struct flush *f, struct flush_discard *d)
{
    d->state = FLUSH_DISCARD_BOOKED;
    f->discards_open--;
    f->discards_stale = true; // a start that does not know looks it up again
}

static enum hf_status discard_append(struct flush *f, struct core_worker *w,
                                     struct flush_discard *d, uint64_t now_ms)
{
    struct core_admin_answer a;
    const struct hf_uuid old = d->op_id;
    enum hf_status s;
    struct core_line line = {d->line.handle, 0, d->line.kind == FLUSH_SALE ? d->line.quantity : 0};
    core_acknowledge(w, now_ms, d->op_id, &line, 1, &a);
    switch (a.outcome) {
    case CORE_OUT_DONE:
        d->ticket = a.ticket;
        f->appended_lsn = a.ticket > f->appended_lsn ? a.ticket : f->appended_lsn;
        d->state = FLUSH_DISCARD_APPENDED;
        return HF_OK;
    case CORE_OUT_BUSY:
    case CORE_OUT_ID_IN_FUTURE:
        f->discards_at_ms = now_ms + BUSY_MS;
        return HF_AGAIN;
    case CORE_OUT_ID_TOO_OLD: // not appended (D3): the same under an id of today, durable first
        d->op_id = flush_discard_op_id(f, d->letter, now_ms);
        s = discards_save(f, now_ms);
        if (s != HF_OK)
            d->op_id = old;
        return s;
    default:
        return flush_fail(f, HF_DAMAGED, "the engine does not take a discard");
    }
}

static enum hf_status discard_step(struct flush *f, struct core_worker *w, struct flush_discard *d,
                                   uint64_t now_ms)
{
    bool found = false;
    if (d->state == FLUSH_DISCARD_APPENDED) {
        if (core_durable(f->options.core) < d->ticket)
            return HF_AGAIN;
        booked(f, d);
        return HF_OK;
    }
    enum hf_status s =
        d->fresh ? HF_OK : outbox_find_after(f, d->op_id, d->after_lsn, &found); // D3
    if (s == HF_NOT_FOUND || s == HF_NO_MEMORY) {
        f->discards_at_ms = now_ms + BUSY_MS;
        return HF_AGAIN;
    }
    if (s != HF_OK)
        return flush_fail(f, s, "the journal could not be read");
    d->fresh = 1;
    if (!found)
        return discard_append(f, w, d, now_ms);
    booked(f, d);
    return HF_OK;
}

enum hf_status deadletter_step(struct flush *f, struct core_worker *w, uint64_t now_ms)
{
    retries_take(f);
    for (uint32_t i = 0; f->discards_open > 0 && i < f->discard_count; i++)
        if (f->discards[i].state != FLUSH_DISCARD_BOOKED && now_ms >= f->discards_at_ms)
            return discard_step(f, w, &f->discards[i], now_ms);
    return f->discards_stale && f->discards_open == 0 ? discards_save(f, now_ms) : HF_AGAIN;
}
