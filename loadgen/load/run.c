#include "load/run.h"

#include "base/prng.h"
#include "load/result.h"
#include "load/worker.h"
#include "sys/clock.h"
#include "sys/text_file.h"

#include <libgen.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (1 << 20)
#define CALL_MS        10000 // of set-up and audit, each try
#define REACH_MS       15000 // until a server that isn't there counts as unreached
#define TICK_MS        100

struct run {
    const struct options *o;
    const _Atomic int *stop;
    struct screen screen;
    char *ca, *cert, *cert_key, *key; // files' texts
    struct link_options link;
    struct link *asking;
    struct asker asker;
    struct cells cells;
    struct catalogue catalogue;
    struct trace trace;
    struct history *history;
    struct result result;
    struct book book;
    uint64_t deadline_ms, begin_ns, last_shown_ns;
    _Atomic uint32_t running;
    struct worker *workers;
    struct replay *replay;
    struct replay_worker *replayers;
};

static enum options_exit fail(struct run *r, enum options_exit code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static enum options_exit fail(struct run *r, enum options_exit code, const char *fmt, ...)
{
    va_list args;
    screen_clear(&r->screen);
    fputs("holdfast-load: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    return code;
}

// ------------------------------------------------------------------------------- the server

static enum options_exit text_load(struct run *r, const char *option, const char *path, char **out)
{
    size_t bytes;
    const char *why = "";
    if (!path || !path[0])
        return EXIT_OK;
    enum hf_status s = text_file_read(path, FILE_BYTES_MAX, out, &bytes, &why);
    return s == HF_OK ? EXIT_OK : fail(r, EXIT_USAGE, "--%s %s: %s", option, path, why);
}

static enum options_exit link_prepare(struct run *r)
{
    const struct options *o = r->o;
    enum options_exit e = text_load(r, "ca", o->ca, &r->ca);
    if (e == EXIT_OK)
        e = text_load(r, "cert", o->cert, &r->cert);
    if (e == EXIT_OK)
        e = text_load(r, "cert-key", o->cert_key, &r->cert_key);
    if (e == EXIT_OK)
        e = text_load(r, "key-file", o->key_file, &r->key);
    if (e != EXIT_OK)
        return e;
    if (r->key)
        r->key[strcspn(r->key, "\r\n")] = '\0';
    const char *environment = getenv("HOLDFAST_KEY");
    r->link = (struct link_options){.address = o->address,
                                    .tls = o->tls || r->ca || r->cert,
                                    .clear_anywhere = o->insecure,
                                    .ca_pem = r->ca,
                                    .cert_pem = r->cert,
                                    .key_pem = r->cert_key,
                                    .server_name = o->server_name,
                                    .api_key = r->key ? r->key : environment,
                                    .connections = 1};
    char why[200] = "";
    if (link_create(&r->link, &r->asking, why) != HF_OK)
        return fail(r, EXIT_USAGE, "%s", why[0] ? why : "no memory");
    r->link.connections = (uint32_t)o->connections;
    r->asker = (struct asker){r->asking, CALL_MS, REACH_MS, r->stop};
    if (o->give_up_ms < REACH_MS)
        r->asker.give_up_ms = (uint32_t)o->give_up_ms;
    return EXIT_OK;
}

static enum options_exit call_failed(struct run *r, const char *what)
{
    const struct ask_error *e = &r->catalogue.error;
    enum options_exit code = e->code == LINK_UNAUTHENTICATED || e->code == LINK_PERMISSION_DENIED
                                 ? EXIT_FORBIDDEN
                             : link_code_again(e->code) ? EXIT_UNREACHED
                                                        : EXIT_FAILED;
    return fail(r, code, "%s: %s", what, e->message);
}

// ------------------------------------------------------------------------------- cells

static void show_cells(void *ctx, uint64_t done, uint64_t total)
{
    struct run *r = ctx;
    char text[80];
    if (total)
        snprintf(text, sizeof text, "cells: %llu of %llu (%llu%%)", (unsigned long long)done,
                 (unsigned long long)total, (unsigned long long)(done * 100 / total));
    else
        snprintf(text, sizeof text, "cells: %llu", (unsigned long long)done);
    screen_text(&r->screen, text);
}

static int64_t stock_fixed(const void *ctx, uint32_t cell)
{
    (void)cell;
    return (int64_t)((const struct options *)ctx)->stock;
}

static int64_t stock_traced(const void *ctx, uint32_t cell)
{
    const struct run *r = ctx;
    return replay_stock(&r->trace, cell, r->o->percent);
}

static enum options_exit cells_by_handle(struct run *r)
{
    for (uint32_t i = 0; i < r->o->handles; i++)
        if (!cells_add(&r->cells, NULL, NULL) || cells_handle(&r->cells, i, i) != HF_OK)
            return fail(r, EXIT_FAILED, "no memory for %u cells", i);
    r->cells.generation = r->o->generation;
    return EXIT_OK;
}

static enum options_exit cells_traced(struct run *r)
{
    if (!trace_read(&r->trace, r->o->replay, r->o->one_location))
        return fail(r, EXIT_USAGE, "--replay: %s", r->trace.why);
    r->result.trace = &r->trace;
    for (uint32_t i = 0; i < r->trace.cell_count; i++)
        if (!cells_add(&r->cells, r->trace.cells[i].sku, r->trace.cells[i].location))
            return fail(r, EXIT_FAILED, "no memory for the cells");
    if (!catalogue_import(&r->catalogue, stock_traced, r, r->result.seed))
        return call_failed(r, "the file's cells");
    return EXIT_OK;
}

static enum options_exit cells_begin(struct run *r)
{
    struct audit *a = &r->result.audit;
    *a = (struct audit){.catalogue = &r->catalogue,
                        .settle_ms = r->o->audit ? (uint32_t)r->o->settle_ms : 0,
                        .stop = r->stop};
    screen_text(&r->screen, "waiting until no cell holds stock of before, up to --settle");
    bool read = audit_begin(a);
    screen_clear(&r->screen);
    if (!read)
        return call_failed(r, "the cells at the start");
    if (a->others && r->o->audit && !r->o->quiet)
        fprintf(stderr,
                "holdfast-load: %llu cells hold stock from before, still after --settle: what is "
                "held there is audited within bounds only\n",
                (unsigned long long)a->others);
    return EXIT_OK;
}

static enum options_exit cells_prepare(struct run *r)
{
    const struct options *o = r->o;
    enum options_exit e = EXIT_OK;
    r->catalogue = (struct catalogue){&r->asker, &r->cells, show_cells, r, {0, ""}};
    if (o->handles) {
        e = cells_by_handle(r);
    } else if (o->replay) {
        e = cells_traced(r);
    } else if (o->make_catalogue) {
        if (!catalogue_name(&r->cells, o->skus, o->locations))
            return fail(r, EXIT_FAILED, "no memory for the cells");
        if (!catalogue_import(&r->catalogue, stock_fixed, o, r->result.seed))
            return call_failed(r, "--make-catalogue");
    } else if (!catalogue_list(&r->catalogue, o->location)) {
        return call_failed(r, "the list of cells");
    }
    if (e == EXIT_OK && r->cells.count == 0)
        e = fail(r, EXIT_USAGE, "the server has no cells%s%s: see --make-catalogue",
                 o->location[0] ? " at " : "", o->location);
    if (e == EXIT_OK && !o->handles && (o->audit || o->history))
        e = cells_begin(r);
    r->cells.by_name = o->by_name;
    r->result.cells = r->cells.count;
    return e;
}

// ------------------------------------------------------------------------------- threads

static struct sender_options sender_of(const struct run *r, uint32_t thread)
{
    const struct options *o = r->o;
    return (struct sender_options){.link = r->link,
                                   .transport = o->way,
                                   .frame_items = (uint32_t)o->frame_items,
                                   .packet_try_ms = (uint32_t)o->packet_try_ms,
                                   .wire = {.eal = o->packet_eal, .local = o->packet_local},
                                   .stream = o->stream,
                                   .batch_max = (uint32_t)o->batch,
                                   .window = (uint32_t)o->window,
                                   .deadline_ms = (uint32_t)o->deadline_ms,
                                   .give_up_ms = (uint32_t)o->give_up_ms,
                                   .wait_ms_min = (uint32_t)o->retry_ms,
                                   .wait_ms_max = (uint32_t)o->retry_ms_max,
                                   .seed = hf_mix64(r->result.seed + 1000 + thread),
                                   .cells = &r->cells};
}

static uint64_t share(uint64_t n, uint32_t thread, uint64_t threads)
{
    return n / threads + (thread < n % threads);
}

static enum options_exit worker_prepare(struct run *r, uint32_t i)
{
    const struct options *o = r->o;
    char why[200] = "";
    bool open_loop = o->rate > 0;
    struct worker_options w = {
        .sender = sender_of(r, i),
        .plan = o->plan,
        .rate = o->rate / (double)o->threads,
        .ramp_s = (double)o->ramp_ms / 1e3,
        .poisson = o->poisson,
        .spin = o->spin,
        .customers_max = (uint32_t)(open_loop ? o->outstanding_max : o->outstanding),
        .customers = share(o->customers, i, o->threads),
        .end_ns = o->duration_ms ? r->begin_ns + o->duration_ms * 1000000 : UINT64_MAX,
        .think_ms = (uint32_t)o->think_ms,
        .ttl_ms = (uint32_t)o->ttl_ms,
        .settle_ms = (uint32_t)o->settle_ms,
        .first_client = i << 24,
        .keep_book = o->audit,
        .history = r->history,
        .stop = r->stop,
        .running = &r->running};
    w.plan.cells = r->cells.count;
    w.plan.seed = hf_mix64(r->result.seed * 1024 + i);
    // A thread that gets none of few customers has nothing to do, which 0 does not say.
    if (o->customers && w.customers == 0)
        w.end_ns = 0;
    if (worker_create(&r->workers[i], &w, why) != HF_OK)
        return fail(r, EXIT_FAILED, "%s", why[0] ? why : "no memory");
    return EXIT_OK;
}

static enum options_exit replayer_prepare(struct run *r, uint32_t i)
{
    char why[200] = "";
    struct replay_worker_options w = {.sender = sender_of(r, i),
                                      .replay = r->replay,
                                      .number = i,
                                      .outstanding = (uint32_t)r->o->outstanding,
                                      .time_scale = r->o->time_scale,
                                      .seed = hf_mix64(r->result.seed * 1024 + i),
                                      .history = r->history,
                                      .stop = r->stop,
                                      .running = &r->running};
    w.sender.give_up_ms += (uint32_t)r->o->settle_ms;
    if (replay_worker_create(&r->replayers[i], &w, why) != HF_OK)
        return fail(r, EXIT_FAILED, "%s", why[0] ? why : "no memory");
    return EXIT_OK;
}

static enum options_exit threads_start(struct run *r)
{
    uint32_t threads = (uint32_t)r->o->threads;
    enum options_exit e = EXIT_OK;
    r->begin_ns = clock_monotonic_ns(clock_os()) + 20000000; // all threads are there by then
    atomic_store(&r->running, threads);
    if (r->o->replay)
        r->replay = replay_create(&r->trace, threads);
    r->workers = calloc(threads, sizeof *r->workers);
    r->replayers = calloc(threads, sizeof *r->replayers);
    if (!r->workers || !r->replayers || (r->o->replay && !r->replay))
        return fail(r, EXIT_FAILED, "no memory");
    for (uint32_t i = 0; i < threads && e == EXIT_OK; i++)
        e = r->o->replay ? replayer_prepare(r, i) : worker_prepare(r, i);
    for (uint32_t i = 0; i < threads && e == EXIT_OK; i++)
        if (!(r->o->replay ? replay_worker_start(&r->replayers[i], r->begin_ns)
                           : worker_start(&r->workers[i], r->begin_ns)))
            abort(); // others run already
    return e;
}

static struct tally *tally_of(const struct run *r, uint32_t i)
{
    return r->o->replay ? r->replayers[i].tally : r->workers[i].tally;
}

static void progress(struct run *r)
{
    uint64_t now = clock_monotonic_ns(clock_os());
    if (!r->screen.out || now < r->last_shown_ns + 1000000000)
        return;
    struct tally *sum = calloc(1, sizeof *sum);
    for (uint32_t i = 0; sum && i < r->o->threads; i++)
        tally_merge(sum, tally_of(r, i));
    if (sum)
        screen_progress(&r->screen, sum, now);
    free(sum);
    r->last_shown_ns = now;
}

static void threads_wait(struct run *r)
{
    screen_init(&r->screen, r->screen.out, r->begin_ns);
    r->last_shown_ns = r->begin_ns;
    while (atomic_load(&r->running)) {
        link_poll(r->asking, clock_monotonic_ns(clock_os()) + TICK_MS * UINT64_C(1000000), 16);
        progress(r);
    }
    screen_clear(&r->screen);
}

static void threads_gather(struct run *r)
{
    struct result *s = &r->result;
    s->ns = clock_monotonic_ns(clock_os()) - r->begin_ns;
    for (uint32_t i = 0; i < r->o->threads; i++) {
        struct book *book = &r->workers[i].book;
        if (r->o->replay) {
            replay_worker_join(&r->replayers[i]);
            result_merge_replay(&s->replay, &r->replayers[i].counts);
            result_merge_sender(&s->sender, sender_counts(r->replayers[i].sender));
            book = &r->replayers[i].book;
        } else {
            const struct worker *w = &r->workers[i];
            worker_join(&r->workers[i]);
            result_merge_sender(&s->sender, sender_counts(w->sender));
            if (s->unknown == 0)
                s->unknown_first = w->unknown_first;
            s->unknown += w->unknown;
            r->deadline_ms = w->deadline_ms > r->deadline_ms ? w->deadline_ms : r->deadline_ms;
        }
        tally_merge(&s->tally, tally_of(r, i));
        if (r->o->audit)
            book_merge(&r->book, book);
    }
}

// ------------------------------------------------------------------------------- the end

static void audit(struct run *r)
{
    struct audit *a = &r->result.audit;
    a->book = &r->book;
    a->deadline_ms = r->deadline_ms;
    a->history = r->history;
    r->result.audited = true;
    r->asker.give_up_ms = (uint32_t)r->o->settle_ms;
    screen_text(&r->screen, "audit: waiting for the last hold's deadline");
    audit_run(a);
    screen_clear(&r->screen);
}

static enum options_exit report(struct run *r)
{
    enum options_exit e = result_exit(&r->result);
    if (!r->o->quiet)
        result_table(r->o->json && strcmp(r->o->json, "-") == 0 ? stderr : stdout, &r->result);
    if (r->o->json) {
        bool standard = strcmp(r->o->json, "-") == 0;
        FILE *f = standard ? stdout : fopen(r->o->json, "we");
        if (!f)
            return fail(r, EXIT_FAILED, "%s can't be written", r->o->json);
        result_json(f, &r->result);
        if ((standard ? fflush(f) : fclose(f)) != 0)
            return fail(r, EXIT_FAILED, "%s can't be written", r->o->json);
    }
    return e;
}

// A server without packets is found before the run.
static enum options_exit packets_prepare(struct run *r)
{
    char why[PACKET_CLIENT_WHY] = "";
    if (r->o->way == SENDER_GRPC)
        return EXIT_OK;
    enum packet_control_step step =
        door_check(&r->link, !r->o->packet_eal, r->asker.give_up_ms, why);
    if (step == PACKET_CONTROL_OPENED)
        return EXIT_OK;
    return fail(r, step == PACKET_CONTROL_REFUSED ? EXIT_FORBIDDEN : EXIT_UNREACHED,
                "a session for packets: %s", why);
}

// Looked at before the run, and not made: a run that comes to nothing leaves no result.
static enum options_exit json_check(struct run *r)
{
    const char *path = r->o->json;
    char folder[4096];
    struct stat is;
    if (!path || strcmp(path, "-") == 0)
        return EXIT_OK;
    bool there = stat(path, &is) == 0;
    snprintf(folder, sizeof folder, "%s", path);
    if (there ? S_ISDIR(is.st_mode) || access(path, W_OK) != 0
              : !path[0] || access(dirname(folder), W_OK | X_OK) != 0)
        return fail(r, EXIT_USAGE, "--json: %s can't be written", path);
    return EXIT_OK;
}

static enum options_exit run_all(struct run *r)
{
    enum options_exit e = json_check(r);
    if (e == EXIT_OK)
        e = link_prepare(r);
    if (e == EXIT_OK)
        e = packets_prepare(r);
    if (e == EXIT_OK)
        e = cells_prepare(r);
    if (e != EXIT_OK)
        return e;
    if (r->o->audit && !book_init(&r->book, r->cells.count))
        return fail(r, EXIT_FAILED, "no memory for the book");
    if (r->o->history && !(r->history = history_create(r->o->history, &r->cells, r->result.seed)))
        return fail(r, EXIT_USAGE, "--history: %s can't be written", r->o->history);
    e = threads_start(r);
    if (e != EXIT_OK)
        return e;
    threads_wait(r);
    threads_gather(r);
    if (r->o->audit)
        audit(r);
    e = report(r);
    if (r->history && !history_close(r->history))
        e = fail(r, EXIT_FAILED, "--history: %s could not be written whole", r->o->history);
    r->history = NULL;
    return e;
}

enum options_exit run(const struct options *o, const _Atomic int *stop)
{
    struct run *r = calloc(1, sizeof *r);
    if (!r)
        return EXIT_FAILED;
    r->o = o;
    r->stop = stop;
    r->result.options = o;
    r->result.seed = o->seed ? o->seed : clock_wall_ms(clock_os());
    r->screen.out = !o->quiet && isatty(STDERR_FILENO) ? stderr : NULL;
    cells_init(&r->cells);
    enum options_exit e = run_all(r);
    for (uint32_t i = 0; i < o->threads && r->workers && r->replayers; i++) {
        worker_destroy(&r->workers[i]);
        replay_worker_destroy(&r->replayers[i]);
    }
    if (r->replay)
        replay_destroy(r->replay);
    if (r->asking)
        link_destroy(r->asking);
    if (r->history)
        (void)history_close(r->history);
    book_fini(&r->book);
    cells_fini(&r->cells);
    trace_free(&r->trace);
    free(r->workers);
    free(r->replayers);
    free(r->ca);
    free(r->cert);
    free(r->cert_key);
    free(r->key);
    free(r);
    return e;
}
