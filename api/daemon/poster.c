#include "daemon/poster.h"

#include "daemon/poster_desk.h"

#include "base/atomics.h"
#include "base/log.h"
#include "flush/odoo.h"
#include "sys/clock.h"
#include "sys/http.h"
#include "sys/park.h"
#include "sys/storage.h"
#include "sys/text_file.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define IDLE_MS     100 // movements are looked for so often while there are none
#define KEY_FILE_KI 4
#define POSTER_MS   1000 // a poster looks whether it is to end, though nobody rang

// Makes calls for the flusher, so that several are under way.
struct caller {
    struct poster *poster;
    struct http *http;
    struct flush_poster *flush;
    pthread_t thread;
    bool started;
};

struct poster {
    const struct config *config;
    struct core *core;
    struct storage *storage;
    struct http *http;
    struct flush *flush;
    char *locations_text; // the option, cut into names
    struct flush_location locations[FLUSH_LOCATIONS_MAX];
    uint32_t location_count;
    char *key;
    pthread_t thread;
    bool started;
    uint32_t stopping, reload, status; // atomic; enum hf_status
    struct park park;
    struct poster_desk desk;
    struct caller callers[FLUSH_POSTERS_MAX];
};

static enum hf_status fail(char why[200], enum hf_status s, const char *option, const char *text)
{
    snprintf(why, 200, "%s: %s", option, text);
    return s;
}

enum hf_status poster_key_read(const char *path, char **key, char why[200])
{
    const char *text;
    size_t bytes;
    enum hf_status s = text_file_read(path, KEY_FILE_KI * 1024, key, &bytes, &text);
    if (s != HF_OK)
        return fail(why, s, "odoo_key_file", text);
    (*key)[strcspn(*key, "\r\n")] = 0;
    if ((*key)[0] != 0 && strlen(*key) <= ODOO_KEY_BYTES_MAX)
        return HF_OK;
    free(*key);
    *key = NULL;
    return fail(why, HF_INVALID, "odoo_key_file", "its first line is empty or too long");
}

// "main=WH,berlin=WH2:stage": Holdfast's location, the code of Odoo's warehouse, the mode.
static enum hf_status locations_read(struct poster *p, char why[200])
{
    p->locations_text = strdup(p->config->odoo_locations);
    if (!p->locations_text)
        return HF_NO_MEMORY;
    const char *wrong = flush_locations_parse(p->locations_text, p->locations, &p->location_count);
    return wrong ? fail(why, HF_INVALID, "odoo_locations", wrong) : HF_OK;
}

static enum hf_status flusher_open(struct poster *p, char why[200])
{
    const struct config *c = p->config;
    struct flush_options o;
    uint64_t random[3];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return fail(why, HF_IO, "odoo_url", "no random numbers for a new state");
    flush_options_default(&o);
    o.core = p->core;
    o.storage = p->storage;
    o.http = p->http;
    o.engine = c->odoo_engine;
    o.database = c->odoo_database;
    o.key = p->key;
    o.login = c->odoo_login;
    o.locations = p->locations;
    o.location_count = p->location_count;
    o.action_id = (uint32_t)c->odoo_action_id;
    o.fresh_id = hf_uuid_v7(clock_wall_ms(clock_os()), random[0], random[1]);
    o.seed = random[2];
    o.window_ms = (uint32_t)c->odoo_window_ms;
    o.batch_lines = (uint32_t)c->odoo_batch_lines;
    o.retry_max_ms = (uint32_t)c->odoo_retry_max_ms;
    o.timeout_ms = (uint32_t)c->odoo_timeout_ms;
    o.posters = (uint32_t)c->odoo_posters;
    o.lines_per_s = (uint32_t)c->odoo_lines_per_s;
    o.settle_ms = (uint32_t)c->odoo_settle_ms;
    o.closed = c->odoo_closed;
    o.bell = &p->park;
    return flush_open(&o, &p->flush, why);
}

// ------------------------------------------------------------------------------- the thread

static void key_reload(struct poster *p)
{
    char why[200], *key;
    if (poster_key_read(p->config->odoo_key_file, &key, why) != HF_OK) {
        hf_log(HF_LOG_ERROR, "odoo_key", "note=\"the key in force stays\" why=\"%s\"", why);
        return;
    }
    flush_key_set(p->flush, key);
    free(p->key);
    p->key = key;
    hf_log(HF_LOG_INFO, "odoo_key", "note=\"read again\"");
}

static void rest(struct poster *p, uint32_t ms)
{
    uint32_t key = park_prepare(&p->park);
    if (hf_load_acquire(&p->stopping) || poster_desk_asked(&p->desk) ||
        flush_answer_waits(p->flush))
        park_cancel(&p->park);
    else
        park_wait(&p->park, key, ms);
}

static void *poster_run(void *ctx)
{
    struct poster *p = ctx;
    struct core_worker *w = core_worker_create(p->core);
    enum hf_status s = w ? HF_OK : HF_NO_MEMORY;
    pthread_setname_np(pthread_self(), "hf-flusher");
    while (!hf_load_acquire(&p->stopping) && (s == HF_OK || s == HF_AGAIN)) {
        uint64_t now_ms = core_now(p->core);
        if (hf_exchange(&p->reload, 0u))
            key_reload(p);
        poster_desk_serve(&p->desk, w, now_ms);
        s = flush_step(p->flush, w, now_ms);
        if (s == HF_AGAIN)
            rest(p, flush_wait_ms(p->flush, now_ms, IDLE_MS));
    }
    if (s != HF_OK && s != HF_AGAIN) {
        hf_log(HF_LOG_ERROR, "flusher_ended",
               "status=%s note=\"nothing is posted until the next start\"", hf_status_name(s));
        hf_store_release(&p->status, (uint32_t)s);
    }
    poster_desk_close(&p->desk);
    if (w)
        core_worker_destroy(w);
    return NULL;
}

// ------------------------------------------------------------------------------- set-up

static void *caller_run(void *ctx)
{
    struct caller *c = ctx;
    pthread_setname_np(pthread_self(), "hf-poster");
    while (!hf_load_acquire(&c->poster->stopping))
        flush_poster_step(c->flush, POSTER_MS);
    return NULL;
}

static enum hf_status callers_start(struct poster *p, const struct http_os_options *http,
                                    char why[200])
{
    for (uint32_t i = 0; i < (uint32_t)p->config->odoo_posters; i++) {
        struct caller *c = &p->callers[i];
        c->poster = p;
        enum hf_status s = http_os_create(http, &c->http);
        if (s != HF_OK)
            return fail(why, s, "odoo_url", hf_status_help(s));
        c->flush = flush_poster_create(p->flush, c->http);
        c->started = c->flush && pthread_create(&c->thread, NULL, caller_run, c) == 0;
        if (!c->started)
            return fail(why, HF_NO_MEMORY, "odoo_posters", "no memory or thread for a poster");
    }
    return HF_OK;
}

static void callers_end(struct poster *p)
{
    if (p->flush)
        flush_posters_wake(p->flush);
    for (uint32_t i = 0; i < FLUSH_POSTERS_MAX; i++) {
        struct caller *c = &p->callers[i];
        if (c->started)
            pthread_join(c->thread, NULL);
        flush_poster_destroy(c->flush);
        http_destroy(c->http);
    }
}

static enum hf_status poster_fill(struct poster *p, char why[200])
{
    const struct config *c = p->config;
    struct http_os_options http = {.origin = c->odoo_url,
                                   .ca_file = c->odoo_ca_file[0] ? c->odoo_ca_file : NULL};
    enum hf_status s = poster_key_read(c->odoo_key_file, &p->key, why);
    if (s == HF_OK)
        s = locations_read(p, why);
    if (s == HF_OK && (s = storage_os_create(c->data_folder, false, &p->storage)) != HF_OK)
        fail(why, s, "data_folder", hf_status_help(s));
    if (s == HF_OK && (s = http_os_create(&http, &p->http)) != HF_OK)
        fail(why, s, "odoo_url", hf_status_help(s));
    if (s == HF_OK)
        s = flusher_open(p, why);
    if (s == HF_OK)
        s = callers_start(p, &http, why);
    if (s == HF_OK) {
        poster_desk_open(&p->desk, p->flush, &p->park);
        p->started = pthread_create(&p->thread, NULL, poster_run, p) == 0;
        s = p->started ? HF_OK : fail(why, HF_NO_MEMORY, "odoo_url", "no thread for the flusher");
    }
    return s;
}

enum hf_status poster_create(const struct config *c, struct core *core, struct poster **out,
                             char why[200])
{
    struct poster *p = calloc(1, sizeof *p);
    if (!p)
        return fail(why, HF_NO_MEMORY, "odoo_url", "no memory");
    p->config = c;
    p->core = core;
    enum hf_status s = poster_fill(p, why);
    if (s != HF_OK) {
        poster_destroy(p);
        return s;
    }
    *out = p;
    return HF_OK;
}

void poster_destroy(struct poster *p)
{
    if (!p)
        return;
    hf_store_seq(&p->stopping, 1u);
    park_wake(&p->park);
    if (p->started)
        pthread_join(p->thread, NULL);
    callers_end(p);
    if (p->flush)
        flush_close(p->flush);
    http_destroy(p->http);
    if (p->storage)
        storage_destroy(p->storage);
    if (p->key)
        explicit_bzero(p->key, strlen(p->key));
    free(p->key);
    free(p->locations_text);
    free(p);
}

void poster_reload(struct poster *p)
{
    hf_store_seq(&p->reload, 1u);
    park_wake(&p->park);
}

enum hf_status poster_status(const struct poster *p)
{
    return (enum hf_status)hf_load_acquire(&p->status);
}

struct flush_desk *poster_desk(struct poster *p)
{
    return &p->desk.base;
}

void poster_metrics(const struct poster *p, struct flush_metrics *out)
{
    flush_metrics(p->flush, out);
}
