#include "daemon/observer.h"

#include "base/atomics.h"
#include "base/log.h"
#include "flush/short.h"
#include "sys/clock.h"
#include "sys/http.h"
#include "sys/park.h"
#include "sys/storage.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_MS 200
#define POLLS   20
#define LOOK_MS 10000 // for short cells, where nothing is polled

struct observer {
    struct flush_observer base;
    const struct config *config;
    struct core *core;
    struct poster *poster;
    struct storage *storage;
    struct http *http;
    char *locations_text;
    struct flush_location locations[FLUSH_LOCATIONS_MAX];
    char *key;
    struct mirror mirror;
    bool mirrored; // it is there
    struct inbound *inbound;
    pthread_t thread;
    bool started;
    uint32_t stopping, reload, wanted; // atomic; wanted: runs.wanted, for who waits
    struct park park;
    pthread_mutex_t lock; // of what follows
    struct reconcile_report report;
    struct observe_runs runs;
    uint64_t short_cells, released;
    struct observe_wish wish;
    struct import_result import;
};

static enum hf_status fail(char why[200], enum hf_status s, const char *option, const char *text)
{
    snprintf(why, 200, "%s: %s", option, text);
    return s;
}

// ------------------------------------------------------------------------------- for others

static uint64_t reconcile_want(struct flush_observer *base, const struct observe_wish *wish)
{
    struct observer *o = (struct observer *)base;
    pthread_mutex_lock(&o->lock);
    if (wish->import) // else what was wished before stands
        o->wish = *wish;
    uint64_t run = observe_runs_wish(&o->runs);
    hf_store_seq(&o->wanted, 1u);
    pthread_mutex_unlock(&o->lock);
    park_wake(&o->park);
    return run;
}

static uint32_t report_tell(struct flush_observer *base, struct observe_state *state, uint32_t from,
                            struct reconcile_row *rows, uint32_t max)
{
    struct observer *o = (struct observer *)base;
    uint32_t n = 0;
    pthread_mutex_lock(&o->lock);
    const struct reconcile_report *r = &o->report;
    *state = (struct observe_state){.run = o->runs.told,
                                    .running = o->runs.under_way || o->runs.wanted,
                                    .failed = o->runs.failed,
                                    .started_ms = r->started_ms,
                                    .finished_ms = r->finished_ms,
                                    .cells = r->count,
                                    .differing = r->differing,
                                    .moving = r->moving,
                                    .odd = r->odd,
                                    .import = o->import,
                                    .short_cells = o->short_cells,
                                    .released = o->released};
    for (; n < max && from + n < r->count; n++)
        rows[n] = r->rows[from + n];
    pthread_mutex_unlock(&o->lock);
    return n;
}

struct flush_observer *observer_ops(struct observer *o)
{
    return &o->base;
}

void observer_metrics(struct observer *o, struct inbound_metrics *in, struct observe_state *last)
{
    *in = (struct inbound_metrics){0};
    if (o->inbound)
        inbound_metrics(o->inbound, in);
    report_tell(&o->base, last, 0, NULL, 0);
}

// ------------------------------------------------------------------------------- the thread

struct between {
    struct observer *o;
    struct core_worker *w;
};

// Others' moves, so that they are no differences. Without them the comparison goes on all the same.
static enum hf_status moves_bring_in(void *ctx)
{
    struct between *k = ctx;
    enum hf_status s = HF_AGAIN;
    for (int i = 0; s == HF_AGAIN && i < POLLS; i++) {
        s = inbound_poll(k->o->inbound, k->w, core_now(k->o->core));
        if (s == HF_AGAIN) // what was applied becomes durable
            (void)core_wait(k->o->core, journal_appended(core_journal(k->o->core)), IDLE_MS);
    }
    return s;
}

static enum hf_status cells_import(struct observer *o, struct core_worker *w,
                                   const struct observe_wish *wish)
{
    if (!wish->import)
        return HF_OK;
    const struct import_options options = {
        .core = o->core, .mirror = &o->mirror, .dry_run = wish->dry_run, .scale = wish->scale};
    struct import_result r;
    enum hf_status s = mirror_read(&o->mirror);
    if (s == HF_OK)
        s = import_cells(&options, w, &r);
    pthread_mutex_lock(&o->lock);
    if (s == HF_OK)
        o->import = r;
    pthread_mutex_unlock(&o->lock);
    return s;
}

static void reconcile(struct observer *o, struct core_worker *w)
{
    struct between between = {o, w};
    const struct reconcile_options options = {.core = o->core,
                                              .mirror = &o->mirror,
                                              .desk = poster_desk(o->poster),
                                              .between = o->config->odoo_inbound_ms ? moves_bring_in
                                                                                    : NULL,
                                              .ctx = &between};
    struct reconcile_report r = {0}, old;
    pthread_mutex_lock(&o->lock);
    struct observe_wish wish = o->wish;
    o->wish = (struct observe_wish){0};
    observe_runs_begin(&o->runs);
    hf_store_seq(&o->wanted, 0u);
    pthread_mutex_unlock(&o->lock);
    enum hf_status s = cells_import(o, w, &wish);
    if (s == HF_OK)
        s = reconcile_run(&options, &r);
    pthread_mutex_lock(&o->lock);
    observe_runs_end(&o->runs, s == HF_OK);
    old = o->report;
    if (s == HF_OK)
        o->report = r;
    pthread_mutex_unlock(&o->lock);
    if (s == HF_OK) {
        reconcile_report_free(&old);
        hf_log(r.differing ? HF_LOG_WARN : HF_LOG_INFO, "reconciled",
               "cells=%u differing=%u moving=%u", r.count, r.differing, r.moving);
    } else {
        hf_log(HF_LOG_WARN, "reconcile_failed", "status=%s odoo=\"%s\"", hf_status_name(s),
               o->mirror.words);
    }
}

static void key_reload(struct observer *o)
{
    char why[200], *key;
    if (poster_key_read(o->config->odoo_key_file, &key, why) != HF_OK)
        return; // the poster tells
    odoo_key_set(&o->mirror.odoo, key);
    explicit_bzero(o->key, strlen(o->key));
    free(o->key);
    o->key = key;
}

static void rest(struct observer *o, uint32_t ms)
{
    uint32_t key = park_prepare(&o->park);
    if (hf_load_acquire(&o->stopping) || hf_load_acquire(&o->wanted))
        park_cancel(&o->park);
    else
        park_wait(&o->park, key, ms);
}

static void look_for_short(struct observer *o, struct short_watch *s, struct core_worker *w)
{
    if (short_look(s, w) != HF_OK)
        return;
    pthread_mutex_lock(&o->lock);
    o->short_cells = s->cells;
    o->released = s->released;
    pthread_mutex_unlock(&o->lock);
}

static void *observer_run(void *ctx)
{
    struct observer *o = ctx;
    const struct config *c = o->config;
    struct core_worker *w = core_worker_create(o->core);
    uint64_t now_ms = core_now(o->core), poll_ms = 0, next_ms = now_ms + c->odoo_reconcile_ms;
    uint64_t every_ms = c->odoo_inbound_ms ? c->odoo_inbound_ms : LOOK_MS;
    struct short_watch watch = {.core = o->core,
                                .policy = c->odoo_short_release ? SHORT_RELEASE : SHORT_KEEP};
    bool polls = c->odoo_inbound_ms > 0;
    pthread_setname_np(pthread_self(), "hf-observer");
    while (w && !hf_load_acquire(&o->stopping)) {
        now_ms = core_now(o->core);
        if (hf_exchange(&o->reload, 0u))
            key_reload(o);
        if (now_ms >= poll_ms) {
            enum hf_status s = polls ? inbound_poll(o->inbound, w, now_ms) : HF_OK;
            polls = polls && (s == HF_OK || s == HF_AGAIN); // else it has told why
            look_for_short(o, &watch, w);
            poll_ms = now_ms + every_ms;
        }
        if (hf_load_acquire(&o->wanted) || (c->odoo_reconcile_ms && now_ms >= next_ms)) {
            reconcile(o, w);
            next_ms = core_now(o->core) + c->odoo_reconcile_ms;
        }
        rest(o, IDLE_MS);
    }
    short_fini(&watch);
    if (w)
        core_worker_destroy(w);
    return NULL;
}

// ------------------------------------------------------------------------------- set-up

static enum hf_status mirror_make(struct observer *o, char why[200])
{
    const struct config *c = o->config;
    struct flush_options options = {.database = c->odoo_database,
                                    .key = o->key,
                                    .login = c->odoo_login,
                                    .locations = o->locations,
                                    .timeout_ms = (uint32_t)c->odoo_timeout_ms};
    o->locations_text = strdup(c->odoo_locations);
    if (!o->locations_text)
        return HF_NO_MEMORY;
    const char *wrong =
        flush_locations_parse(o->locations_text, o->locations, &options.location_count);
    if (wrong)
        return fail(why, HF_INVALID, "odoo_locations", wrong);
    enum hf_status s = mirror_init(&o->mirror, o->core, o->http, &options);
    o->mirrored = s == HF_OK;
    return s;
}

static enum hf_status inbound_make(struct observer *o, char why[200])
{
    struct inbound_options options;
    inbound_options_default(&options);
    options.core = o->core;
    options.storage = o->storage;
    options.desk = poster_desk(o->poster);
    options.mirror = &o->mirror;
    options.engine = o->config->odoo_engine;
    return inbound_open(&options, clock_wall_ms(clock_os()), &o->inbound, why);
}

static enum hf_status observer_fill(struct observer *o, char why[200])
{
    const struct config *c = o->config;
    struct http_os_options http = {.origin = c->odoo_url,
                                   .ca_file = c->odoo_ca_file[0] ? c->odoo_ca_file : NULL};
    enum hf_status s = poster_key_read(c->odoo_key_file, &o->key, why);
    if (s == HF_OK && (s = storage_os_create(c->data_folder, false, &o->storage)) != HF_OK)
        fail(why, s, "data_folder", hf_status_help(s));
    if (s == HF_OK && (s = http_os_create(&http, &o->http)) != HF_OK)
        fail(why, s, "odoo_url", hf_status_help(s));
    if (s == HF_OK)
        s = mirror_make(o, why);
    if (s == HF_OK)
        s = inbound_make(o, why);
    if (s == HF_OK) {
        o->started = pthread_create(&o->thread, NULL, observer_run, o) == 0;
        s = o->started ? HF_OK : fail(why, HF_NO_MEMORY, "odoo_url", "no thread for the observer");
    }
    return s;
}

enum hf_status observer_create(const struct config *c, struct core *core, struct poster *poster,
                               struct observer **out, char why[200])
{
    struct observer *o = calloc(1, sizeof *o);
    if (!o)
        return fail(why, HF_NO_MEMORY, "odoo_url", "no memory");
    o->base = (struct flush_observer){reconcile_want, report_tell};
    o->config = c;
    o->core = core;
    o->poster = poster;
    pthread_mutex_init(&o->lock, NULL);
    enum hf_status s = observer_fill(o, why);
    if (s != HF_OK) {
        observer_destroy(o);
        return s;
    }
    *out = o;
    return HF_OK;
}

void observer_destroy(struct observer *o)
{
    if (!o)
        return;
    hf_store_seq(&o->stopping, 1u);
    park_wake(&o->park);
    if (o->started)
        pthread_join(o->thread, NULL);
    if (o->inbound)
        inbound_close(o->inbound);
    if (o->mirrored)
        mirror_fini(&o->mirror);
    reconcile_report_free(&o->report);
    http_destroy(o->http);
    if (o->storage)
        storage_destroy(o->storage);
    if (o->key)
        explicit_bzero(o->key, strlen(o->key));
    free(o->key);
    free(o->locations_text);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

void observer_reload(struct observer *o)
{
    hf_store_seq(&o->reload, 1u);
    park_wake(&o->park);
}
