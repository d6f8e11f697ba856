// After an error of its own files the flusher begins anew, within the process, as a start does:
// what is in memory is thrown away and the files are read again. The engine is not concerned.
//
//  R1 Answers that posters still bring are thrown away. Nothing is loaded before the last of them
//     is there: a batch is looked up then, and a call that still runs could commit after that.
//  R2 Nothing is loaded before the acknowledgements that this process has appended are durable: a
//     loaded batch looks for its own among what is durable (E4, D3).
//  R3 What was read back may be in the page cache only. So every file is written anew, under
//     another inode, before anything is sent; a sync that has failed is never tried again.
//  R4 A state that was there once and is not any more is no new beginning: nothing is posted.
#include "flush/flush_internal.h"

#include "base/atomics.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_MS 10

bool flush_recovers(const struct flush *f)
{
    return f->failed == HF_IO || f->failed == HF_NO_MEMORY;
}

static void answers_drop(struct flush *f)
{
    for (uint32_t i = 0; i < f->options.posters; i++) {
        struct flush_call *c = &f->calls[i];
        if (hf_load_acquire(&c->state) != FLUSH_CALL_DONE) // pairs with the poster's store
            continue;
        json_decref(c->answer.result);
        f->calling--;
        hf_store_relaxed(&c->state, (uint32_t)FLUSH_CALL_EMPTY);
    }
}

static void memory_drop(struct flush *f)
{
    outbox_close(f);
    for (uint32_t i = 0; i < f->batch_count; i++)
        free(f->batches[i].lines);
    f->batch_count = f->dead_count = f->discard_count = f->discards_open = 0;
    memset(f->retrying, 0, f->options.dead_max * sizeof *f->retrying);
    window_clear(&f->window);
    f->window.most = f->window.max;
    moved_fini(f);
    f->guarded = false;
    f->guard_ms = f->guard_next = 0;
    f->claims_stale = true;
    f->stale = f->discards_stale = f->dead_full = f->batches_full = f->contacted = false;
    f->close_at_ms = f->discards_at_ms = 0;
}

static enum hf_status files_renew(struct flush *f, uint64_t now_ms)
{
    enum hf_status s = history_renew(&f->history);
    if (s == HF_OK && f->discard_count > 0)
        s = discards_save(f, now_ms);
    if (s == HF_OK && f->moved.phase != FLUSH_NOT_MOVED)
        s = moved_save(f, now_ms);
    return s == HF_OK ? state_save(f, now_ms) : s;
}

// HF_AGAIN: the disk is full, or memory short.
static enum hf_status begin_anew(struct flush *f, uint64_t now_ms)
{
    char why[200] = "";
    memory_drop(f);
    enum hf_status s = state_load(f, why);
    if (s == HF_NOT_FOUND && !f->begun) {
        s = HF_OK; // it was never written: what there was is still to be read
        f->taken_lsn = 0;
        f->bound = (struct hf_uuid){0, 0};
        f->next_batch = f->next_dead = 1;
    }
    f->read_lsn = f->taken_lsn;
    if (s == HF_OK)
        s = moved_load(f, why);
    f->guard_from = f->foreign_upto;
    if (s == HF_OK)
        s = discards_load(f, why);
    if (s == HF_OK)
        s = files_renew(f, now_ms); // R3
    if (s == HF_NOT_FOUND)
        s = HF_DAMAGED; // R4
    if (s == HF_NO_SPACE)
        s = HF_AGAIN;
    if (s != HF_OK && s != HF_AGAIN && s != HF_IO && s != HF_NO_MEMORY)
        hf_log(HF_LOG_ERROR, "flush_failed", "status=%s why=\"%s\"", hf_status_name(s), why);
    return s;
}

void recover_announce(struct flush *f, uint64_t now_ms)
{
    flush_hold(f, FLUSH_PAUSE_DISK_ERROR, now_ms, hf_status_help(f->failed));
}

enum hf_status recover_step(struct flush *f, uint64_t now_ms)
{
    answers_drop(f);
    if (now_ms < f->pause_until_ms || f->calling > 0) // R1
        return HF_AGAIN;
    if (core_durable(f->options.core) < f->appended_lsn) { // R2
        f->pause_until_ms = now_ms + LOOK_MS;
        return HF_AGAIN;
    }
    f->failed = HF_OK; // for what is called from here on
    enum hf_status s = begin_anew(f, now_ms);
    if (s == HF_OK) {
        hf_log(HF_LOG_WARN, "flush_recovered", "taken_lsn=%llu next_batch=%llu open=%u",
               (unsigned long long)f->taken_lsn, (unsigned long long)f->next_batch, f->batch_count);
        f->failures = 0;
        f->pause = FLUSH_PAUSE_NONE;
        f->pause_until_ms = 0;
        flush_count(&f->metrics.recoveries, 1);
        return HF_OK;
    }
    f->failed = s == HF_AGAIN || s == HF_NO_MEMORY ? HF_NO_MEMORY : s;
    if (!flush_recovers(f))
        return f->failed;
    recover_announce(f, now_ms);
    return HF_AGAIN;
}
