// The durable state: one chunk file, replaced as a whole. docs/flush-format.md.
#include "flush/flush_internal.h"

#include "base/log.h"
#include "journal/chunkfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (64u << 10)

struct state_head {
    struct hf_uuid incarnation, bound;
    uint64_t taken_lsn, next_batch, next_dead;
    uint32_t batches, dead, shard, foreign_upto;
    char engine[32]; // zero-padded
    uint64_t born_lsn;
};
static_assert(sizeof(struct state_head) == 112, "head");

struct state_batch {
    uint64_t number, hash;
    struct hf_uuid op_id;
    uint32_t company, type, source, destination;
    uint32_t lines;
    uint8_t state, kind, back;
    uint8_t doom; // cause; 128: halves go on
};
#define DOOM_SPLIT 128
static_assert(sizeof(struct state_batch) == 56, "batch");

// ------------------------------------------------------------------------------- writing

static enum hf_status batches_write(struct chunkfile_writer *w, const struct flush *f)
{
    enum hf_status s = HF_OK;
    for (uint32_t i = 0; i < f->batch_count && s == HF_OK; i++) {
        const struct flush_batch *b = &f->batches[i];
        struct state_batch d = {.number = b->number,
                                .hash = b->hash,
                                .op_id = b->op_id,
                                .company = b->company,
                                .type = b->type,
                                .source = b->source,
                                .destination = b->destination,
                                .lines = b->line_count,
                                .state = (uint8_t)b->state,
                                .kind = (uint8_t)b->kind,
                                .back = b->back,
                                .doom = (uint8_t)(b->doom | (b->split ? DOOM_SPLIT : 0))};
        s = chunkfile_write(w, &d, sizeof d);
        if (s == HF_OK)
            s = chunkfile_write(w, b->lines, b->line_count * sizeof *b->lines);
    }
    return s;
}

static enum hf_status state_write(struct flush *f, uint64_t now_ms)
{
    struct chunkfile_header h = {.version = FLUSH_STATE_VERSION,
                                 .engine_id = journal_engine_id(core_journal(f->options.core)),
                                 .lsn = f->taken_lsn,
                                 .time_ms = now_ms};
    struct state_head head = {.incarnation = f->incarnation,
                              .bound = f->bound,
                              .taken_lsn = f->taken_lsn,
                              .next_batch = f->next_batch,
                              .next_dead = f->next_dead,
                              .batches = f->batch_count,
                              .dead = f->dead_count,
                              .shard = FLUSH_SHARD,
                              .foreign_upto = f->foreign_upto,
                              .born_lsn = f->born_lsn};
    struct chunkfile_writer *w;
    memcpy(h.kind, FLUSH_STATE_KIND, sizeof h.kind);
    memcpy(head.engine, f->engine, strlen(f->engine));
    enum hf_status s =
        chunkfile_writer_create(f->options.storage, FLUSH_STATE_NAME, &h, CHUNK_BYTES, &w);
    if (s != HF_OK)
        return s;
    s = chunkfile_write(w, &head, sizeof head);
    if (s == HF_OK)
        s = batches_write(w, f);
    if (s == HF_OK)
        s = chunkfile_write(w, f->dead, f->dead_count * sizeof *f->dead);
    if (s == HF_OK)
        return chunkfile_finish(w);
    chunkfile_abandon(w);
    return s;
}

enum hf_status state_save(struct flush *f, uint64_t now_ms)
{
    enum hf_status s = state_write(f, now_ms);
    if (s == HF_NO_SPACE || s == HF_NO_MEMORY) {
        flush_hold(f, FLUSH_PAUSE_DISK_FULL, now_ms, hf_status_help(s));
        return HF_AGAIN;
    }
    if (s != HF_OK)
        return flush_fail(f, s, "the state could not be written");
    f->begun = true;
    f->must_save = f->stale = false;
    f->saved_taken = f->taken_lsn;
    core_outbox_taken(f->options.core, f->taken_lsn);
    flush_count(&f->metrics.state_writes, 1);
    return HF_OK;
}

// ------------------------------------------------------------------------------- reading

static bool zeros(const void *at, size_t bytes)
{
    const unsigned char *p = at;
    for (size_t i = 0; i < bytes; i++)
        if (p[i])
            return false;
    return true;
}

static bool line_sound(const struct flush *f, const struct flush_line *l)
{
    return l->kind < FLUSH_KIND_COUNT && l->quantity != 0 && l->quantity <= HF_QUANTITY_MAX &&
           l->quantity >= -HF_QUANTITY_MAX && l->handle < core_cell_count(f->options.core) &&
           l->first_lsn <= l->last_lsn && l->last_lsn <= f->taken_lsn &&
           l->scale <= HF_UNIT_SCALE_MAX && zeros(l->zero, sizeof l->zero);
}

static bool batch_sound(const struct flush *f, const struct flush_batch *b)
{
    for (uint32_t i = 0; i < b->line_count; i++)
        if (!line_sound(f, &b->lines[i]) || b->lines[i].kind != (uint8_t)b->kind ||
            (b->lines[i].quantity < 0) != b->back || !b->lines[i].product)
            return false;
    return batch_hash(b) == b->hash && b->number < f->next_batch;
}

static enum hf_status batch_read(struct chunkfile_reader *r, struct flush *f)
{
    struct state_batch d;
    enum hf_status s = chunkfile_read(r, &d, sizeof d);
    if (s != HF_OK)
        return s;
    if (d.lines == 0 || d.lines > HF_LINES_MAX || d.kind >= FLUSH_KIND_COUNT || d.back > 1 ||
        (d.doom & ~DOOM_SPLIT) >= FLUSH_CAUSE_COUNT ||
        (d.state != FLUSH_FORMED && d.state != FLUSH_POSTED))
        return HF_DAMAGED;
    struct flush_batch *b = &f->batches[f->batch_count];
    *b = (struct flush_batch){.number = d.number,
                              .hash = d.hash,
                              .op_id = d.op_id,
                              .company = d.company,
                              .type = d.type,
                              .source = d.source,
                              .destination = d.destination,
                              .line_count = d.lines,
                              .state = (enum flush_batch_state)d.state,
                              .kind = (enum flush_kind)d.kind,
                              .back = d.back,
                              .doom = (enum flush_cause)(d.doom & ~DOOM_SPLIT),
                              .split = (d.doom & DOOM_SPLIT) != 0,
                              // Whether it was ever sent is not known.
                              .step = d.state == FLUSH_POSTED ? FLUSH_STEP_ACK_FIND
                                                              : FLUSH_STEP_LOOKUP};
    b->lines = malloc(d.lines * sizeof *b->lines);
    if (!b->lines)
        return HF_NO_MEMORY;
    f->batch_count++; // flush_close frees it from here on
    s = chunkfile_read(r, b->lines, d.lines * sizeof *b->lines);
    if (s == HF_OK && !batch_sound(f, b))
        s = HF_DAMAGED;
    return s;
}

static enum hf_status dead_read(struct chunkfile_reader *r, struct flush *f, uint32_t count)
{
    enum hf_status s = chunkfile_read(r, f->dead, count * sizeof *f->dead);
    for (uint32_t i = 0; i < count && s == HF_OK; i++) {
        const struct flush_dead *d = &f->dead[i];
        if (!line_sound(f, &d->line) || d->cause == 0 || d->cause >= FLUSH_CAUSE_COUNT ||
            d->id >= f->next_dead || d->retry > 1 || !zeros(d->zero, sizeof d->zero) ||
            d->why[sizeof d->why - 1] != '\0')
            s = HF_DAMAGED;
    }
    f->dead_count = s == HF_OK ? count : 0;
    return s;
}

static enum hf_status body_read(struct chunkfile_reader *r, struct flush *f, char why[200])
{
    struct state_head head;
    enum hf_status s = chunkfile_read(r, &head, sizeof head);
    if (s != HF_OK)
        return s;
    if (head.batches >= FLUSH_BATCHES_MAX || head.shard != FLUSH_SHARD ||
        head.foreign_upto > INT32_MAX ||
        head.born_lsn > journal_durable(core_journal(f->options.core)))
        return HF_DAMAGED;
    if (head.dead > f->options.dead_max) {
        snprintf(why, 200, "dead_max %u is smaller than the %u dead letters that there are",
                 f->options.dead_max, head.dead);
        return HF_INVALID;
    }
    if (strncmp(head.engine, f->engine, sizeof head.engine) != 0) {
        snprintf(why, 200, "this folder posts as engine '%.32s', not as '%.32s'", head.engine,
                 f->engine);
        return HF_INVALID;
    }
    f->incarnation = head.incarnation;
    f->bound = head.bound;
    f->taken_lsn = f->saved_taken = head.taken_lsn;
    f->foreign_upto = head.foreign_upto;
    f->born_lsn = head.born_lsn;
    f->next_batch = head.next_batch;
    f->next_dead = head.next_dead;
    for (uint32_t i = 0; i < head.batches && s == HF_OK; i++)
        s = batch_read(r, f);
    if (s == HF_OK)
        s = dead_read(r, f, head.dead);
    return s == HF_OK ? chunkfile_read_end(r) : s;
}

enum hf_status state_load(struct flush *f, char why[200])
{
    struct chunkfile_header h;
    struct chunkfile_reader *r;
    struct journal *j = core_journal(f->options.core);
    enum hf_status s =
        chunkfile_reader_create(f->options.storage, FLUSH_STATE_NAME, FLUSH_STATE_KIND,
                                FLUSH_STATE_VERSION, journal_engine_id(j), &h, &r);
    if (s == HF_NOT_FOUND)
        return s;
    snprintf(why, 200, "%s: %s", FLUSH_STATE_NAME, hf_status_help(s));
    if (s != HF_OK)
        return s;
    s = body_read(r, f, why);
    if (s == HF_DAMAGED)
        snprintf(why, 200, "%s is damaged near byte %llu", FLUSH_STATE_NAME,
                 (unsigned long long)chunkfile_offset(r));
    chunkfile_reader_destroy(r);
    if (s == HF_OK && f->taken_lsn > journal_durable(j)) {
        snprintf(why, 200, "%s has taken records that the journal does not hold", FLUSH_STATE_NAME);
        s = HF_DAMAGED;
    }
    return s;
}
