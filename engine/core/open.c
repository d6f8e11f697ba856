// Opening: options, recovery, and what a start needs before it serves.
#include "core/core_internal.h"

#include "rcu/rcu.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// How far a group's time may lie below that of a record in it, at most: the writer reads the time
// and then takes what was appended.
#define GROUP_TIME_MS (3600u * 1000)

// Of each segment that is to be ready, so much is made before the start is over.
#define FIRST_ROOM_BYTES (UINT64_C(4) << 20)

void core_options_default(struct core_options *o)
{
    *o = (struct core_options){
        .cells_max = 1000000,
        .ids_max = 4000000,
        .blocks_max = 1000000,
        .workers_max = 16,
        .window_ms = 24 * 3600 * 1000,
        .window_min_ms = 10 * 60 * 1000,
        .skew_ms = 5 * 60 * 1000,
        .ttl_max_ms = 7u * 24 * 3600 * 1000,
        .huge_pages = true,
        .checkpoint_bytes = UINT64_C(256) << 20,
        .checkpoint_ms = 60000,
        .lag_max_bytes = UINT64_C(16) << 30,
        .archive = true,
        .retention_ms = UINT64_C(400) * 24 * 3600 * 1000,
    };
    journal_options_default(&o->journal);
}

static const char *options_wrong(const struct core_options *o)
{
    if (!o->storage || !o->clock)
        return "storage and clock are needed";
    if (o->cells_max == 0 || o->cells_max > UINT32_C(1) << 28)
        return "cells_max must be 1 .. 2^28";
    if (o->ids_max == 0 || o->ids_max > UINT32_C(1) << 30)
        return "ids_max must be 1 .. 2^30";
    if (o->blocks_max == 0 || o->blocks_max > UINT32_C(1) << 28)
        return "blocks_max must be 1 .. 2^28";
    if (o->workers_max == 0 || o->workers_max > HF_THREADS_MAX - 2)
        return "workers_max must be 1 .. 62";
    if (o->window_ms == 0 || o->window_min_ms == 0 || o->window_min_ms > o->window_ms)
        return "window_min_ms must be 1 .. window_ms";
    if (o->skew_ms > CORE_SKEW_MS_MAX)
        return "skew_ms must be at most a day";
    if (o->ttl_max_ms == 0)
        return "ttl_max_ms must be at least 1";
    if (o->checkpoint_bytes == 0 || o->checkpoint_ms == 0 || o->lag_max_bytes == 0)
        return "checkpoint_bytes, checkpoint_ms and lag_max_bytes must be at least 1";
    const struct journal_options *j = &o->journal;
    if ((uint64_t)j->space_margin_blocks * HF_BLOCK * 2 > j->segment_bytes * j->segments_max)
        return "space_margin_blocks must be at most half of what segments_max segments hold";
    return NULL;
}

struct recovering {
    struct replay replay;
    struct stock_thread thread;
};

static enum hf_status recover_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                    const struct journal_record *r)
{
    return replay_record(&((struct recovering *)ctx)->replay, lsn, time_ms, r);
}

static void recover_ahead(void *ctx, const struct journal_record *r, unsigned stage)
{
    replay_ahead(&((struct recovering *)ctx)->replay, r, stage);
}

// Timers and credits of what was recovered.
static void slots_arm(struct core *c, struct core_report *report)
{
    struct stock_slots *slots = &c->stock.slots;
    uint64_t now = core_now(c), end = slots->slot_pool.fresh;
    uint32_t grace = c->options.restart_grace_ms;
    for (uint64_t i = 1; i < end && i <= slots->slot_pool.max; i++) {
        struct stock_slot *s = &slots->slots[i];
        unsigned state = stock_word_state(s->word);
        uint64_t time = stock_slot_time(s);
        if (state == CORE_STATE_FREE)
            continue;
        if (state == CORE_STATE_HELD) {
            struct stock_line lines[HF_LINES_MAX];
            uint32_t n = stock_lines_load(slots, s, stock_word_flags(s->word), lines, HF_LINES_MAX);
            if (grace && time < now + grace)
                s->time_channel = (now + grace) << 16 | (s->time_channel & 0xffff);
            journal_credit_force(c->journal, end_bytes(n));
            stock_wheel_push(&c->stock.wheels, c->timers->number, (uint32_t)i, stock_slot_time(s));
            report->live++;
        } else {
            stock_wheel_push(&c->stock.wheels, c->timers->number, (uint32_t)i, forget_at(c, time));
            report->remembered++;
        }
    }
}

static enum hf_status fail(struct core_report *report, enum hf_status s, const char *why)
{
    if (report->why[0] == '\0')
        snprintf(report->why, sizeof report->why, "%s", why && why[0] ? why : hf_status_help(s));
    return s;
}

// What the journal found, with the place where it found it.
static enum hf_status fail_journal(struct core_report *report, enum hf_status s)
{
    const struct journal_report *j = &report->journal;
    char why[sizeof report->why];
    if (j->where[0] == '\0')
        return fail(report, s, j->why);
    snprintf(why, sizeof why, "%.63s at %llu: %.110s", j->where, (unsigned long long)j->offset,
             j->why[0] ? j->why : hf_status_help(s));
    return fail(report, s, why);
}

static enum hf_status fail_clock(struct core *c, struct core_report *report, uint64_t journaled_ms)
{
    uint64_t wall = clock_wall_ms(c->options.clock);
    bool behind = wall < journaled_ms;
    char why[sizeof report->why];
    snprintf(why, sizeof why,
             "the wall clock is %llu s %s the last journaled time; set it right, or accept_clock",
             (unsigned long long)((behind ? journaled_ms - wall : wall - journaled_ms) / 1000),
             behind ? "behind" : "ahead of");
    return fail(report, HF_CLOCK, why);
}

static enum hf_status recover(struct core *c, struct recovering *rec,
                              struct core_checkpoints *kept, struct core_id_files *files,
                              struct core_report *report)
{
    struct clock *clock = c->options.clock;
    uint64_t began = clock_monotonic_ns(clock);
    enum hf_status s = checkpoint_load(c, &rec->replay, kept, files, report);
    report->load_ns = clock_monotonic_ns(clock) - began;
    report->checkpoint_lsn = rec->replay.lsn;
    report->id_files = files->count;
    if (s != HF_OK)
        return fail(report, s, rec->replay.why);
    began = clock_monotonic_ns(clock);
    s = journal_recover(c->journal, rec->replay.lsn, recover_visit, recover_ahead, rec,
                        &report->journal);
    report->replay_ns = clock_monotonic_ns(clock) - began;
    if (s == HF_FULL)
        return fail(report, s, rec->replay.why[0] ? rec->replay.why
                                                  : "ids_max or blocks_max is smaller than what "
                                                    "the folder holds");
    if (s == HF_OK)
        return s;
    return rec->replay.why[0] ? fail(report, s, rec->replay.why) : fail_journal(report, s);
}

static enum hf_status workers_make(struct core *c)
{
    uint32_t count = c->options.workers_max + 1;
    if (posix_memalign((void **)&c->workers, HF_CACHE_LINE, count * sizeof *c->workers) != 0) {
        c->workers = NULL;
        return HF_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        worker_init(c, &c->workers[i], i);
        c->workers[i].producer = journal_producer_create(c->journal);
        if (!c->workers[i].producer)
            return HF_NO_MEMORY;
    }
    c->timers = &c->workers[c->options.workers_max];
    c->timers->used = true;
    return HF_OK;
}

// Calls of journal_maintain.
static uint64_t first_room_pieces(const struct journal_options *o)
{
    uint64_t room = o->segment_bytes < FIRST_ROOM_BYTES ? o->segment_bytes : FIRST_ROOM_BYTES;
    uint64_t pieces = (room + STORAGE_PIECE_BYTES - 1) / STORAGE_PIECE_BYTES;
    return o->segments_ready * pieces;
}

static enum hf_status serve(struct core *c, const struct recovering *rec,
                            const struct core_checkpoints *kept, struct core_report *report)
{
    uint64_t journaled = rec->replay.time_ms > report->journal.engine_time_ms
                             ? rec->replay.time_ms
                             : report->journal.engine_time_ms;
    enum hf_status s = core_time_start(c, journaled);
    if (s != HF_OK)
        return fail_clock(c, report, journaled);
    if ((s = journal_start(c->journal)) != HF_OK)
        return fail(report, s, "the journal could not be started");
    if ((s = workers_make(c)) != HF_OK)
        return fail(report, s, NULL);
    // Room to decide from the first request on; the rest comes in the background.
    for (uint64_t i = first_room_pieces(&c->options.journal); i > 0 && s == HF_OK; i--)
        s = journal_maintain(c->journal, 0);
    if (s != HF_OK && s != HF_AGAIN && s != HF_NO_SPACE)
        return fail(report, s, "a segment could not be made");
    c->floor_ms = c->floor_durable_ms = rec->replay.floor_ms;
    window_start(c, core_now(c));
    c->cell_count = c->cell_durable = stock_directory_count(c->stock.directory);
    stock_wheel_start(&c->stock.wheels, core_now(c) - 1);
    slots_arm(c, report);
    if (c->options.archive) {
        struct archive_options a = {.storage = c->options.storage,
                                    .engine_id = c->engine_id,
                                    .keys = &core_record_keys,
                                    .retention_ms = c->options.retention_ms,
                                    .block_bytes = 256u << 10,
                                    .zstd_level = 1,
                                    .id_skew_ms = CORE_SKEW_MS_MAX + GROUP_TIME_MS};
        if ((s = archive_create(&a, &c->archive)) != HF_OK)
            return fail(report, s, "the archive could not be opened");
        if (archive_lsn(c->archive) && archive_lsn(c->archive) + 1 < journal_oldest_lsn(c->journal))
            return fail(report, HF_DAMAGED,
                        "the archive ends before the segments begin: it was off for a while, or "
                        "its newest files are missing; see OPERATIONS, archive with a gap");
    }
    if ((s = shadow_create(c, kept)) != HF_OK)
        return fail(report, s, "the checkpointer's shadow could not be made");
    report->cells = c->cell_count;
    report->memory_bytes = stock_bytes(&c->stock);
    report->memory_shadow_bytes = shadow_bytes(c);
    report->huge_pages = c->stock.map.memory.huge;
    return HF_OK;
}

static enum hf_status open_all(struct core *c, struct core_report *report)
{
    struct core_options *o = &c->options;
    const char *wrong = options_wrong(o);
    if (wrong)
        return fail(report, HF_INVALID, wrong);
    o->journal.storage = o->storage;
    o->journal.clock = o->clock;
    o->journal.producers_max = o->workers_max + 1;
    enum hf_status s = journal_create(&o->journal, o->fresh_id, &c->journal, &report->journal);
    if (s == HF_INVALID)
        return fail(report, s, "a journal option is out of range (see journal/journal.h)");
    if (s != HF_OK)
        return fail_journal(report, s);
    c->engine_id = journal_engine_id(c->journal);
    uint64_t chunk = o->journal.segment_bytes / 256;
    c->credit_chunk = chunk > 65536 ? 65536 : (uint32_t)chunk;
    struct stock_sizes sizes = {o->cells_max, o->ids_max, o->blocks_max, o->workers_max + 1,
                                true, o->huge_pages, o->prefault,
                                {o->index_key[0], o->index_key[1]}};
    if ((s = stock_init(&c->stock, &sizes)) != HF_OK)
        return fail(report, s, NULL);
    struct recovering rec = {.replay = {.stock = &c->stock, .skew_ms = o->skew_ms}};
    struct core_checkpoints kept;
    struct core_id_files files = {calloc(CORE_ID_FILES_MAX, sizeof *files.files), 0};
    rec.replay.thread = &rec.thread;
    stock_thread_init(&c->stock, &rec.thread, 0);
    if (!files.files)
        return fail(report, HF_NO_MEMORY, NULL);
    s = recover(c, &rec, &kept, &files, report);
    stock_thread_fini(&rec.thread);
    if (s == HF_OK)
        s = serve(c, &rec, &kept, report);
    free(files.files);
    return s;
}

enum hf_status core_open(const struct core_options *o, struct core **out,
                         struct core_report *report)
{
    uint64_t began = o->clock ? clock_monotonic_ns(o->clock) : 0;
    memset(report, 0, sizeof *report);
    struct core *c = calloc(1, sizeof *c);
    if (!c)
        return HF_NO_MEMORY;
    c->options = *o;
    c->follow_lsn = UINT64_MAX;
    c->id_files_max = CORE_ID_FILES_MAX;
    lock_init(&c->admin);
    lock_init(&c->folder);
    rcu_thread_register_once();
    enum hf_status s = open_all(c, report);
    if (s != HF_OK) {
        core_close(c);
        return s;
    }
    if (o->clock)
        report->total_ns = clock_monotonic_ns(o->clock) - began;
    hf_log(HF_LOG_INFO, "open",
           "checkpoint=%s checkpoint_lsn=%llu replayed=%llu last_lsn=%llu torn_tail=%d cells=%llu "
           "live=%llu remembered=%llu epoch=%llu ms=%llu memory_mib=%llu shadow_mib=%llu huge=%d",
           report->checkpoint[0] ? report->checkpoint : "none",
           (unsigned long long)report->checkpoint_lsn, (unsigned long long)report->journal.records,
           (unsigned long long)journal_appended(c->journal), report->journal.torn_tail,
           (unsigned long long)report->cells, (unsigned long long)report->live,
           (unsigned long long)report->remembered, (unsigned long long)report->journal.epoch,
           (unsigned long long)(report->total_ns / 1000000),
           (unsigned long long)(report->memory_bytes >> 20),
           (unsigned long long)(report->memory_shadow_bytes >> 20), report->huge_pages);
    *out = c;
    return HF_OK;
}

void core_close(struct core *c)
{
    shadow_destroy(c);
    if (c->archive)
        archive_destroy(c->archive);
    if (c->journal)
        journal_destroy(c->journal);
    free(c->workers);
    if (c->stock.directory)
        stock_fini(&c->stock);
    lock_fini(&c->admin);
    lock_fini(&c->folder);
    rcu_thread_unregister_once();
    free(c);
}

// Recovery keeps nothing back: what was there once fits again.
static uint32_t ids_kept(const struct core *c)
{
    uint32_t part = c->options.ids_max / 32;
    return part < CORE_IDS_KEPT_MAX ? part : CORE_IDS_KEPT_MAX;
}

struct core_worker *core_worker_create(struct core *c)
{
    struct core_worker *w = NULL;
    lock_acquire(&c->admin);
    for (uint32_t i = 0; i < c->options.workers_max && !w; i++)
        if (!c->workers[i].used)
            w = &c->workers[i];
    if (w) {
        // Its counters go on, and are read meanwhile.
        stock_thread_init(&c->stock, &w->thread, w->number);
        w->thread.slots.kept = ids_kept(c);
        w->thread.taker.helped = w->stats.helped;
        w->thread.taker.retries = w->stats.cas_retries;
        w->used = true;
        rcu_thread_register_once();
    }
    lock_release(&c->admin);
    return w;
}

void core_worker_destroy(struct core_worker *w)
{
    struct core *c = w->core;
    lock_acquire(&c->admin);
    stock_thread_fini(&w->thread);
    journal_credit_give(c->journal, w->credit);
    w->credit = 0;
    w->used = false;
    rcu_thread_unregister_once();
    lock_release(&c->admin);
}

struct journal *core_journal(struct core *c)
{
    return c->journal;
}

struct archive *core_archive(struct core *c)
{
    return c->archive;
}

// ------------------------------------------------------------------------------- other steps

// What may be had later: room, memory, descriptors.
static bool passes(enum hf_status s)
{
    return s == HF_NO_SPACE || s == HF_NO_MEMORY || s == HF_BUSY;
}

static enum hf_status step_result(struct core *c, enum hf_status s)
{
    if (s != HF_OK && s != HF_AGAIN && !passes(s))
        core_stop(c, s);
    return passes(s) ? HF_AGAIN : s;
}

enum hf_status core_step_writer(struct core *c, bool quiet)
{
    return step_result(c, journal_writer_step(c->journal, core_now(c), quiet));
}

void core_follow(struct core *c, uint64_t lsn)
{
    hf_store_release(&c->follow_lsn, lsn); // pairs with follow_keep
}

// Keeps segments for whoever follows, up to the bound. A follower that stands still must cost disk
// that was planned for, not all of it.
static uint64_t follow_keep(struct core *c, uint64_t keep)
{
    uint64_t follow = hf_load_acquire(&c->follow_lsn); // what it has read may be recycled
    if (follow >= keep)
        return keep;
    struct journal_segment closed[CORE_FOLLOW_SEGMENTS_MAX + 1];
    uint32_t limit = c->options.journal.segments_max / 4, held = 0;
    limit = limit < 1 ? 1 : limit > CORE_FOLLOW_SEGMENTS_MAX ? CORE_FOLLOW_SEGMENTS_MAX : limit;
    if (hf_load_relaxed(&c->starved))
        limit = 0; // decisions are being refused for want of room
    uint32_t n = journal_closed_segments(c->journal, closed, CORE_FOLLOW_SEGMENTS_MAX + 1);
    for (uint32_t i = 0; i < n; i++)
        held += closed[i].last_lsn > follow && closed[i].last_lsn <= keep;
    if (held <= limit)
        return follow;
    if (hf_cas(&c->follow_lsn, &follow, UINT64_MAX)) {
        hf_add(&c->follow_lost, UINT64_C(1));
        hf_log(HF_LOG_ERROR, "follower_lost", "lsn=%llu keep_after=%llu segments=%u limit=%u",
               (unsigned long long)follow, (unsigned long long)keep, held, limit);
    }
    return keep;
}

// Without an outbox reader nothing waits for one.
static uint64_t outbox_taken(const struct core *c)
{
    return c->options.outbox ? hf_load_acquire(&c->outbox_taken) : UINT64_MAX;
}

void core_outbox_taken(struct core *c, uint64_t lsn)
{
    if (lsn > hf_load_relaxed(&c->outbox_taken)) // one thread stores
        hf_store_release(&c->outbox_taken, lsn); // pairs with outbox_taken
}

enum hf_status core_step_segments(struct core *c)
{
    uint64_t keep = hf_load_acquire(&c->keep_after);
    if (c->archive && archive_lsn(c->archive) < keep)
        keep = archive_lsn(c->archive);
    else if (!c->archive && outbox_taken(c) < keep)
        keep = outbox_taken(c);
    keep = follow_keep(c, keep);
    // Without a checkpoint and an archive file no segment becomes free: new ones must not take the
    // room for these.
    journal_leave_free(c->journal, shadow_files_bytes(c) +
                                       (c->archive ? c->options.journal.segment_bytes : 0));
    return step_result(c, journal_maintain(c->journal, keep));
}

enum hf_status core_step_archive(struct core *c, uint64_t now_ms)
{
    if (!c->archive)
        return HF_AGAIN;
    lock_acquire(&c->folder);
    enum hf_status s = archive_step(c->archive, c->journal);
    if (s == HF_AGAIN && (s = archive_expire(c->archive, now_ms, outbox_taken(c))) == HF_OK)
        s = HF_AGAIN; // nothing is left to do
    lock_release(&c->folder);
    return step_result(c, s);
}
