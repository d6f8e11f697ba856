// restart: from opening the folder to the first answered order. The folder holds 1M cells and 10M
// ids, of which the last 2M came after the last checkpoint: what a kill finds on average when a
// checkpoint is taken every 256 MiB.
//
// restart/replay: the same ids with no checkpoint at all, so that the journal alone is replayed,
// held against reading the same files in order and taking their CRC.
//
// Either folder is made once, by children that are killed, and kept for all repetitions. The
// making is not synced and limited in time; what it came to is told.
#include "rows_restart.h"

#include "base/crc32c.h"
#include "base/limits.h"
#include "load.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CELLS         (1u << 20)
#define IDS           9000000u // and one for each cell that was filled
#define IDS_TAIL      2000000u
#define IDS_MAX       (11u << 20)
#define WINDOW_MS     (3600u * 1000)
#define BUILD_SECONDS 60
#define HOLD_EVERY    16 // batches: one of so many is of holds, the others are of orders
#define READ_BYTES    (1u << 20)

struct restart_row {
    char folder[256];
    struct rig rig;
    struct load load;
    uint64_t ids, starts;
    bool made;
};

static struct rig_options folder_options(const struct restart_row *r)
{
    return (struct rig_options){.folder = r->folder,
                                .cells = CELLS,
                                .ids_max = IDS_MAX,
                                .stock = RIG_STOCK,
                                .mode = JOURNAL_NONE,
                                .lazy = true,
                                .window_ms = WINDOW_MS,
                                .segments_max = 256};
}

// ------------------------------------------------------------------------------- the folder

struct build {
    uint32_t ids;
    uint64_t seed;
    bool checkpoint; // wait for one that has them all
};

static bool checkpoint_wait(struct rig *rig, uint64_t end_ns)
{
    uint64_t lsn = journal_appended(core_journal(rig->core));
    struct core_metrics m = {0};
    while (m.checkpoint_lsn < lsn && rig_ns() < end_ns && !rig_failed(rig)) {
        rig_sleep_us(10000);
        core_metrics(rig->core, &m);
    }
    return m.checkpoint_lsn >= lsn;
}

// In the child: never returns. What it reached goes through the pipe; then it waits to be killed.
static void build_in_child(struct restart_row *r, const struct build *b, int pipe)
{
    uint64_t end_ns = rig_ns() + BUILD_SECONDS * UINT64_C(1000000000);
    struct rig_options o = folder_options(r);
    o.checkpoint_ms = b->checkpoint ? 1000 : 0;
    struct load_options orders = {.verb = CORE_ORDER, .lines = 1, .cells = CELLS, .quantity = 1,
                                  .ttl_ms = WINDOW_MS, .seed = b->seed};
    struct load_result result = {0};
    bool good = rig_start(&r->rig, &o) == HF_OK;
    load_init(&r->load, &r->rig, r->rig.worker, &orders);
    for (uint32_t i = 0; good && result.done < b->ids && rig_ns() < end_ns; i++) {
        r->load.options.verb = i % HOLD_EVERY == 0 ? CORE_RESERVE : CORE_ORDER;
        load_fill(&r->load);
        load_execute(&r->load, &result);
        good = !rig_failed(&r->rig);
    }
    good = good && rig_settle(&r->rig);
    if (good && b->checkpoint)
        good = checkpoint_wait(&r->rig, end_ns);
    uint64_t reached = good ? result.done : 0;
    if (write(pipe, &reached, sizeof reached) != (ssize_t)sizeof reached)
        _exit(1);
    for (;;)
        pause();
}

static enum hf_status build(struct restart_row *r, const struct build *b)
{
    int ends[2];
    uint64_t reached = 0;
    if (pipe(ends) != 0)
        return HF_IO;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        build_in_child(r, b, ends[1]);
    }
    close(ends[1]);
    bool told = child > 0 && read(ends[0], &reached, sizeof reached) == (ssize_t)sizeof reached;
    close(ends[0]);
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    r->ids += reached;
    return told && reached > 0 ? HF_OK : HF_STOPPED;
}

static struct restart_row *row_make(const struct ratio_settings *s)
{
    struct restart_row *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    snprintf(r->folder, sizeof r->folder, "%s/restart.XXXXXX", s->folder);
    r->made = mkdtemp(r->folder) != NULL;
    return r;
}

enum hf_status restart_set_up(const struct ratio_settings *s, void **ctx)
{
    struct restart_row *r = row_make(s);
    *ctx = r;
    if (!r || !r->made)
        return r ? HF_IO : HF_NO_MEMORY;
    enum hf_status st = build(r, &(struct build){IDS - IDS_TAIL, 1, true});
    return st == HF_OK ? build(r, &(struct build){IDS_TAIL, 2, false}) : st;
}

enum hf_status replay_set_up(const struct ratio_settings *s, void **ctx)
{
    struct restart_row *r = row_make(s);
    *ctx = r;
    if (!r || !r->made)
        return r ? HF_IO : HF_NO_MEMORY;
    return build(r, &(struct build){IDS, 1, false});
}

void restart_tear_down(void *ctx)
{
    struct restart_row *r = ctx;
    rig_stop(&r->rig);
    if (r->made)
        rig_wipe(r->folder);
    free(r);
}

// ------------------------------------------------------------------------------- the yardstick

struct reading {
    uint64_t bytes, ns;
    uint32_t crc;
};

static bool file_read(const char *path, void *buffer, struct reading *sum)
{
    int file = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : 1;
    while (got > 0) {
        got = read(file, buffer, READ_BYTES);
        if (got > 0) {
            sum->crc = hf_crc32c(sum->crc, buffer, (size_t)got);
            sum->bytes += (uint64_t)got;
        }
    }
    if (file >= 0)
        close(file);
    return got == 0;
}

// Every file whose name starts so, in no particular order.
static enum hf_status files_read(const char *folder, const char *prefix, struct reading *sum)
{
    void *buffer = aligned_alloc(HF_BLOCK, READ_BYTES);
    DIR *d = opendir(folder);
    bool good = buffer && d;
    uint64_t begin = rig_ns();
    for (struct dirent *e; good && (e = readdir(d)) != NULL;) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0)
            good = file_read(path, buffer, sum);
    }
    sum->ns += rig_ns() - begin;
    if (d)
        closedir(d);
    free(buffer);
    return good && sum->bytes && sum->crc != 1 ? HF_OK : HF_IO;
}

// ------------------------------------------------------------------------------- measuring

enum hf_status restart_measure(void *ctx, struct ratio_sample *out)
{
    struct restart_row *r = ctx;
    struct rig_options o = folder_options(r);
    struct load_result result = {0};
    uint64_t begin = rig_ns(), cpu = rig_self_cpu_ns();
    enum hf_status st = rig_start(&r->rig, &o);
    if (st != HF_OK)
        return st;
    load_init(&r->load, &r->rig, r->rig.worker,
              &(struct load_options){.verb = CORE_ORDER, .lines = 1, .cells = CELLS, .quantity = 1,
                                     .seed = 100 + r->starts++});
    load_fill(&r->load);
    while (result.done == 0 && !rig_failed(&r->rig))
        load_execute(&r->load, &result);
    double spent = (double)(rig_ns() - begin);
    cpu = rig_self_cpu_ns() - cpu;
    out->subject = spent / 1e9;
    out->notes[0] = (double)(r->rig.report.live + r->rig.report.remembered) / 1e6;
    out->notes[1] = (double)r->rig.report.load_ns / 1e9;
    out->notes[2] = (double)r->rig.report.replay_ns / 1e9;
    out->notes[3] = (double)r->rig.report.journal.records / 1e6;
    out->notes[4] = (double)cpu / 1e9;
    bool failed = rig_failed(&r->rig);
    rig_stop(&r->rig);
    return failed ? HF_STOPPED : HF_OK;
}

enum hf_status replay_measure(void *ctx, struct ratio_sample *out)
{
    struct restart_row *r = ctx;
    struct rig_options o = folder_options(r);
    struct reading all = {0};
    o.by_hand = true;
    o.lazy = false; // memory is had before the clock starts
    enum hf_status st = files_read(r->folder, "journal-", &all);
    if (st == HF_OK)
        st = rig_start(&r->rig, &o);
    if (st != HF_OK)
        return st;
    const struct core_report *report = &r->rig.report;
    out->subject = (double)report->journal.bytes * 1e3 / (double)(report->replay_ns + 1);
    out->yardstick = (double)all.bytes * 1e3 / (double)all.ns;
    out->notes[0] = (double)report->journal.records / 1e6;
    out->notes[1] = (double)report->replay_ns / (double)(report->journal.records + 1);
    rig_stop(&r->rig);
    return HF_OK;
}
