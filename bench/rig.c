#include "rig.h"

#include "base/hash.h"
#include "daemon/node.h"
#include "sys/clock.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t rig_ns(void)
{
    return clock_monotonic_ns(clock_os());
}

void rig_sleep_us(uint32_t us)
{
    nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
}

bool rig_failed(const struct rig *r)
{
    return (r->node && node_failed(r->node) != HF_OK) || core_status(r->core) != HF_OK;
}

// ------------------------------------------------------------------------------- CPU time

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t rig_self_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

void rig_cpu(const struct rig *r, struct rig_cpu *out)
{
    out->self_ns = rig_self_cpu_ns();
    memset(out->of_ns, 0, sizeof out->of_ns);
    for (uint32_t i = 0; i < r->clock_count; i++)
        out->of_ns[i < RIG_KEEPER ? i : RIG_KEEPER] += clock_ns(r->clocks[i]);
}

// The node keeps its threads to itself; the kernel knows them by name. The clock of a thread is
// the complement of its number, with the flags of a per-thread CPU clock below.
static void clocks_find(struct rig *r)
{
    static const char *const names[RIG_CLOCKS] = {"hf-writer\n", "hf-timers\n", "hf-keeper\n",
                                                   "hf-archive\n"};
    DIR *d = opendir("/proc/self/task");
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
        FILE *f = fopen(path, "r");
        if (f && fgets(name, sizeof name, f))
            for (int i = 0; i < RIG_CLOCKS; i++)
                if (strcmp(name, names[i]) == 0)
                    r->clocks[i] = (clockid_t)(~(unsigned)strtoul(e->d_name, NULL, 10) << 3 | 6);
        if (f)
            fclose(f);
    }
    closedir(d);
    r->clock_count = RIG_CLOCKS;
}

// ------------------------------------------------------------------------------- steps by hand

bool rig_steps(struct rig *r)
{
    enum hf_status st[4] = {HF_OK};
    bool did = true;
    while (did) {
        uint64_t now_ms = core_now(r->core);
        st[0] = core_step_segments(r->core);
        st[1] = core_step_writer(r->core, false);
        st[2] = core_step_timers(r->core, now_ms, 4096);
        st[3] = core_step_checkpoint(r->core, now_ms, 16);
        did = false;
        for (int i = 0; i < 4; i++) {
            if (st[i] != HF_OK && st[i] != HF_AGAIN)
                return false;
            did = did || (st[i] == HF_OK && i < 3);
        }
    }
    return true;
}

bool rig_settle(struct rig *r)
{
    if (!r->node && !rig_steps(r))
        return false;
    uint64_t ticket = journal_appended(core_journal(r->core));
    enum hf_status st = HF_AGAIN;
    while (st == HF_AGAIN && !rig_failed(r))
        st = core_wait(r->core, ticket, 100);
    return st == HF_OK;
}

// ------------------------------------------------------------------------------- set-up

static bool again(struct rig *r, const struct core_admin_answer *a)
{
    if (a->outcome != CORE_OUT_BUSY || rig_failed(r))
        return false;
    if (r->node)
        rig_sleep_us(100);
    return r->node || rig_steps(r);
}

static bool cell_fill(struct rig *r, uint32_t handle)
{
    struct core_admin_answer a;
    struct core_change change = {
        .handle = handle, .setting = CORE_SET_ON_HAND, .value = r->options.stock};
    do {
        uint64_t now_ms = core_now(r->core);
        change.op_id = hf_uuid_v7(now_ms, hf_mix64(handle), hf_mix64(~(uint64_t)handle));
        core_change(r->worker, now_ms, &change, &a);
    } while (again(r, &a));
    return a.outcome == CORE_OUT_DONE;
}

// Names are dense, so handle h is cell h; what an earlier start made is not made again.
static enum hf_status cells_make(struct rig *r)
{
    uint64_t begin = rig_ns();
    for (uint32_t h = core_cell_count(r->core); h < r->options.cells; h++) {
        char sku[16];
        struct core_admin_answer a;
        uint32_t bytes = (uint32_t)snprintf(sku, sizeof sku, "sku-%u", h);
        do
            core_cell_make(r->worker, core_now(r->core), sku, bytes, "main", 4, 0, &a);
        while (again(r, &a));
        if (a.outcome != CORE_OUT_DONE || a.handle != h)
            return HF_FULL;
        bool empty = r->options.empty_from && h >= r->options.empty_from;
        if (!empty && !cell_fill(r, h))
            return HF_FULL;
    }
    bool settled = rig_settle(r);
    r->cells_ns = rig_ns() - begin;
    return settled ? HF_OK : HF_STOPPED;
}

static void options_fill(const struct rig *r, struct core_options *c)
{
    const struct rig_options *o = &r->options;
    struct journal_options *j = &c->journal;
    core_options_default(c);
    c->clock = clock_os();
    c->fresh_id = hf_uuid_v7(clock_wall_ms(clock_os()), 1, 2);
    c->cells_max = o->cells;
    c->ids_max = o->ids_max;
    c->blocks_max = o->blocks_max ? o->blocks_max : 1024;
    c->workers_max = o->workers_max ? o->workers_max : 4;
    c->window_ms = c->window_min_ms = o->window_ms ? o->window_ms : RIG_WINDOW_MS;
    c->skew_ms = RIG_SKEW_MS;
    c->prefault = !o->lazy;
    c->archive = o->background;
    if (!o->background) {
        c->checkpoint_bytes = UINT64_MAX;
        c->checkpoint_ms = UINT32_MAX;
    }
    if (o->checkpoint_bytes)
        c->checkpoint_bytes = o->checkpoint_bytes;
    if (o->checkpoint_ms)
        c->checkpoint_ms = o->checkpoint_ms;
    j->mode = o->mode;
    j->segments_max = o->segments_max ? o->segments_max : j->segments_max;
    j->segments_ready = o->segments_ready ? o->segments_ready : j->segments_ready;
    j->group_bytes_max = o->group_bytes_max ? o->group_bytes_max : j->group_bytes_max;
    j->buffers_per_producer = o->buffers ? o->buffers : j->buffers_per_producer;
}

static enum hf_status engine_open(struct rig *r)
{
    struct node_options n;
    node_options_default(&n);
    n.folder = r->folder;
    n.on_durable = r->options.on_durable;
    options_fill(r, &n.core);
    if (!r->options.by_hand) {
        enum hf_status st = node_open(&n, &r->node, &r->report);
        if (st != HF_OK)
            return st;
        r->core = node_core(r->node);
        clocks_find(r);
        return HF_OK;
    }
    enum hf_status st = storage_os_create(r->folder, true, &r->storage);
    n.core.storage = r->storage;
    return st == HF_OK ? core_open(&n.core, &r->core, &r->report) : st;
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
    enum hf_status st = engine_open(r);
    if (st != HF_OK) {
        fprintf(stderr, "%s: %s\n", hf_status_name(st), r->report.why);
        return st;
    }
    r->worker = core_worker_create(r->core);
    return r->worker ? cells_make(r) : HF_NO_MEMORY;
}

void rig_stop(struct rig *r)
{
    if (r->worker)
        core_worker_destroy(r->worker);
    if (r->node)
        node_close(r->node);
    else if (r->core)
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
