#include "rig.h"

#include "base/hash.h"
#include "sys/clock.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t rig_ns(void)
{
    return clock_monotonic_ns(clock_os());
}

void rig_sleep_us(uint32_t us)
{
    nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
}

static bool step_failed(struct rig *r, enum hf_status st)
{
    if (st == HF_OK || st == HF_AGAIN)
        return false;
    atomic_store(&r->failed, (uint32_t)st);
    return true;
}

static void *writer_main(void *arg)
{
    struct rig *r = arg;
    bool quiet = false;
    while (!atomic_load(&r->stop)) {
        enum hf_status st = core_step_writer(r->core, quiet);
        if (step_failed(r, st))
            break;
        quiet = st == HF_AGAIN;
        if (quiet)
            journal_writer_wait(core_journal(r->core), 2);
    }
    return NULL;
}

static void *timers_main(void *arg)
{
    struct rig *r = arg;
    while (!atomic_load(&r->stop)) {
        enum hf_status st = core_step_timers(r->core, core_now(r->core), 4096);
        if (step_failed(r, st))
            break;
        if (st == HF_AGAIN)
            rig_sleep_us(1000);
    }
    return NULL;
}

static void *checkpoints_main(void *arg)
{
    struct rig *r = arg;
    while (!atomic_load(&r->stop)) {
        enum hf_status segments = core_step_segments(r->core);
        enum hf_status checkpoint =
            r->options.background ? core_step_checkpoint(r->core, core_now(r->core), 16) : HF_AGAIN;
        if (step_failed(r, segments) || step_failed(r, checkpoint))
            break;
        if (segments == HF_AGAIN && checkpoint == HF_AGAIN)
            rig_sleep_us(1000);
    }
    return NULL;
}

static void *archive_main(void *arg)
{
    struct rig *r = arg;
    while (!atomic_load(&r->stop)) {
        uint64_t begin = rig_ns();
        enum hf_status st = core_step_archive(r->core, core_now(r->core));
        if (step_failed(r, st))
            break;
        if (st == HF_AGAIN || rig_ns() - begin < 50000) // nothing was done, whatever it says
            rig_sleep_us(5000);
    }
    return NULL;
}

static bool threads_start(struct rig *r)
{
    static void *(*const mains[RIG_THREADS])(void *) = {writer_main, timers_main, checkpoints_main,
                                                        archive_main};
    static const char *const names[RIG_THREADS] = {"writer", "timers", "checkpoints", "archive"};
    for (int i = 0; i < RIG_THREADS; i++) {
        if (i == RIG_ARCHIVE && !r->options.background)
            continue;
        if (pthread_create(&r->threads[i], NULL, mains[i], r) != 0)
            return false;
        pthread_setname_np(r->threads[i], names[i]);
        r->running |= 1u << i;
    }
    return true;
}

// By hand: what the threads would have done.
static void steps_by_hand(struct rig *r)
{
    while (r->options.by_hand) {
        enum hf_status a = core_step_segments(r->core), b = core_step_writer(r->core, false);
        if (step_failed(r, a) || step_failed(r, b) || (a == HF_AGAIN && b == HF_AGAIN))
            break;
    }
}

bool rig_settle(struct rig *r)
{
    steps_by_hand(r);
    uint64_t ticket = journal_appended(core_journal(r->core));
    enum hf_status st = HF_AGAIN;
    while (st == HF_AGAIN && atomic_load(&r->failed) == HF_OK)
        st = core_wait(r->core, ticket, 100);
    return st == HF_OK;
}

static bool again(struct rig *r, const struct core_admin_answer *a)
{
    if (a->outcome != CORE_OUT_BUSY || atomic_load(&r->failed) != HF_OK)
        return false;
    steps_by_hand(r);
    if (!r->options.by_hand)
        rig_sleep_us(100);
    return true;
}

// Names are dense, so handle h is cell h; what an earlier start made is not made again.
static enum hf_status cells_make(struct rig *r)
{
    for (uint32_t h = core_cell_count(r->core); h < r->options.cells; h++) {
        char sku[16];
        struct core_admin_answer a;
        uint32_t bytes = (uint32_t)snprintf(sku, sizeof sku, "sku-%u", h);
        uint64_t now_ms = core_now(r->core);
        do
            core_cell_make(r->worker, now_ms, sku, bytes, "main", 4, 0, &a);
        while (again(r, &a));
        if (a.outcome != CORE_OUT_DONE || a.handle != h)
            return HF_FULL;
        struct core_change change = {.handle = h, .setting = CORE_SET_ON_HAND,
                                     .value = r->options.stock};
        do {
            now_ms = core_now(r->core);
            change.op_id = hf_uuid_v7(now_ms, hf_mix64(h), hf_mix64(~(uint64_t)h));
            core_change(r->worker, now_ms, &change, &a);
        } while (again(r, &a));
        if (a.outcome != CORE_OUT_DONE)
            return HF_FULL;
    }
    return rig_settle(r) ? HF_OK : HF_STOPPED;
}

static void options_fill(const struct rig *r, struct core_options *c)
{
    const struct rig_options *o = &r->options;
    core_options_default(c);
    c->storage = r->storage;
    c->clock = o->clock ? o->clock : clock_os();
    c->fresh_id = hf_uuid_v7(clock_wall_ms(clock_os()), 1, 2);
    c->cells_max = o->cells;
    c->ids_max = o->ids_max;
    c->blocks_max = o->blocks_max ? o->blocks_max : 1024;
    c->workers_max = o->workers_max ? o->workers_max : 4;
    c->window_ms = c->window_min_ms = o->window_ms ? o->window_ms : RIG_WINDOW_MS;
    c->skew_ms = RIG_SKEW_MS;
    c->archive = o->background;
    c->journal.mode = o->mode;
    if (o->segments_max)
        c->journal.segments_max = o->segments_max;
    if (o->checkpoint_bytes)
        c->checkpoint_bytes = o->checkpoint_bytes;
}

enum hf_status rig_start(struct rig *r, const struct rig_options *o)
{
    *r = (struct rig){.options = *o};
    if (o->folder)
        snprintf(r->folder, sizeof r->folder, "%s", o->folder);
    else
        snprintf(r->folder, sizeof r->folder, "%s/engine.XXXXXX", o->parent);
    if (!o->folder && !mkdtemp(r->folder))
        return HF_IO;
    enum hf_status st = storage_os_create(r->folder, true, &r->storage);
    if (st != HF_OK)
        return st;
    struct core_options options;
    options_fill(r, &options);
    st = core_open(&options, &r->core, &r->report);
    if (st != HF_OK) {
        fprintf(stderr, "%s: %s\n", hf_status_name(st), r->report.why);
        return st;
    }
    r->worker = core_worker_create(r->core);
    if (!r->worker || (!o->by_hand && !threads_start(r)))
        return HF_NO_MEMORY;
    return cells_make(r);
}

void rig_stop(struct rig *r)
{
    atomic_store(&r->stop, true);
    for (int i = 0; i < RIG_THREADS; i++)
        if (r->running & (1u << i))
            pthread_join(r->threads[i], NULL);
    if (r->worker)
        core_worker_destroy(r->worker);
    if (r->core)
        core_close(r->core);
    if (r->storage)
        storage_destroy(r->storage);
    if (!r->options.folder && r->folder[0])
        rig_wipe(r->folder);
    *r = (struct rig){0};
}

void rig_wipe(const char *folder)
{
    DIR *d = opendir(folder);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            unlinkat(dirfd(d), e->d_name, 0) != 0)
            perror(e->d_name);
    closedir(d);
    if (rmdir(folder) != 0)
        perror(folder);
}
