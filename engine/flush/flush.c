// Set-up, the step that ties the parts together, and the metrics.
#include "flush/flush_internal.h"

#include "base/atomics.h"
#include "base/hash.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES(prefix, TABLE)                                                                       \
    static const char *const prefix##_names[] = {TABLE(NAME_OF)};                                  \
    const char *flush_##prefix##_name(enum flush_##prefix v)                                       \
    {                                                                                              \
        return (unsigned)v < sizeof prefix##_names / sizeof *prefix##_names ? prefix##_names[v]    \
                                                                            : "unknown";           \
    }
#define HELPS(prefix, TABLE)                                                                       \
    static const char *const prefix##_helps[] = {TABLE(HELP_OF)};                                  \
    const char *flush_##prefix##_help(enum flush_##prefix v)                                       \
    {                                                                                              \
        return (unsigned)v < sizeof prefix##_helps / sizeof *prefix##_helps ? prefix##_helps[v]    \
                                                                            : "unknown";           \
    }
#define NAME_OF(name, help) #name,
#define HELP_OF(name, help) help,
NAMES(kind, FLUSH_KIND_TABLE)
NAMES(cause, FLUSH_CAUSE_TABLE)
HELPS(cause, FLUSH_CAUSE_TABLE)
NAMES(pause, FLUSH_PAUSE_TABLE)
HELPS(pause, FLUSH_PAUSE_TABLE)

void flush_options_default(struct flush_options *o)
{
    *o = (struct flush_options){.window_ms = 1000,
                                .window_lines = 16384,
                                .batch_lines = 100,
                                .open_lines_max = 65536,
                                .dead_max = 65536,
                                .retry_ms = 1000,
                                .retry_max_ms = 60000,
                                .attempts_max = 8,
                                .contact_ms = 60000,
                                .timeout_ms = 120000,
                                .history_days = 400,
                                .settle_ms = 180000};
}

// ------------------------------------------------------------------------------- small parts

void flush_count(uint64_t *metric, uint64_t by)
{
    hf_store_relaxed(metric, hf_load_relaxed(metric) + by); // one thread writes
}

enum hf_status flush_fail(struct flush *f, enum hf_status why, const char *what)
{
    if (f->failed == HF_OK) {
        f->failed = why;
        hf_log(HF_LOG_ERROR, "flush_failed", "status=%s why=\"%s\" read_lsn=%llu",
               hf_status_name(why), what, (unsigned long long)f->read_lsn);
    }
    return f->failed;
}

// Doubles from retry_ms up to retry_max_ms; half of it is by chance, so that several flushers, or
// several failures, don't come back at once.
uint64_t flush_backoff(struct flush *f, uint32_t failures)
{
    uint64_t wait = f->options.retry_ms;
    for (uint32_t i = 0; i < failures && wait < f->options.retry_max_ms; i++)
        wait *= 2;
    if (wait > f->options.retry_max_ms)
        wait = f->options.retry_max_ms;
    f->random += UINT64_C(0x9e3779b97f4a7c15);
    return wait / 2 + hf_mix64(f->random) % (wait / 2 + 1);
}

void flush_hold(struct flush *f, enum flush_pause why, uint64_t now_ms, const char *words)
{
    if (f->looking)
        return;
    if (why != f->pause)
        hf_log(HF_LOG_ERROR, "flush_paused", "why=%s help=\"%s\" odoo=\"%s\"",
               flush_pause_name(why), flush_pause_help(why), words);
    // What a person has to mend is tried at the slowest pace.
    bool passes = why == FLUSH_PAUSE_ODOO_AWAY || why == FLUSH_PAUSE_DISK_ERROR;
    f->pause_until_ms =
        now_ms + (passes ? flush_backoff(f, f->failures++) : f->options.retry_max_ms);
    f->pause = why;
    f->contacted = f->unmet = false;
}

void flush_key_set(struct flush *f, const char *key)
{
    odoo_key_set(&f->odoo, key);
    if (f->pause == FLUSH_PAUSE_KEY || f->pause == FLUSH_PAUSE_RIGHTS)
        f->pause_until_ms = 0;
}

// ------------------------------------------------------------------------------- set-up

static bool word_valid(const char *text, size_t max, const char *allowed)
{
    size_t n = text ? strnlen(text, max + 1) : 0;
    return n > 0 && n <= max && strspn(text, allowed) == n;
}

static bool header_valid(const char *text, size_t max)
{
    size_t n = text ? strnlen(text, max + 1) : 0;
    for (size_t i = 0; i < n && i <= max; i++)
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 127)
            return false;
    return n > 0 && n <= max;
}

static const char *options_wrong(const struct flush_options *o)
{
    if (!o->core || !o->storage || !o->http)
        return "core, storage and http are needed";
    if (!word_valid(o->engine, FLUSH_ENGINE_BYTES_MAX, "abcdefghijklmnopqrstuvwxyz0123456789-"))
        return "engine must be 1 to 32 of a-z, 0-9 and '-'";
    if (!header_valid(o->database, ODOO_DATABASE_BYTES_MAX))
        return "database must be 1 to 63 characters without spaces";
    if (!header_valid(o->key, ODOO_KEY_BYTES_MAX))
        return "key must be 1 to 255 characters without spaces";
    if (o->login && *o->login && !header_valid(o->login, ODOO_LOGIN_BYTES_MAX))
        return "login must be at most 127 characters without spaces";
    if (hf_uuid_is_nil(o->fresh_id))
        return "fresh_id is needed";
    if (o->location_count > FLUSH_LOCATIONS_MAX || (o->location_count && !o->locations))
        return "at most 256 locations";
    if (o->window_lines < 2 * HF_LINES_MAX || o->window_lines > UINT32_C(1) << 24)
        return "window_lines must be 2,048 .. 2^24";
    if (o->batch_lines == 0 || o->batch_lines > HF_LINES_MAX)
        return "batch_lines must be 1 .. 1,024";
    if (o->posters > FLUSH_POSTERS_MAX)
        return "posters must be at most 16";
    if (o->open_lines_max < o->window_lines)
        return "open_lines_max must not be less than window_lines";
    if (o->dead_max == 0 || o->retry_ms == 0 || o->retry_max_ms < o->retry_ms ||
        o->attempts_max == 0)
        return "dead_max, retry_ms, retry_max_ms and attempts_max must fit together";
    return NULL;
}

static const char *places_fill(struct flush *f)
{
    const struct flush_options *o = &f->options;
    for (uint32_t i = 0; i < o->location_count; i++) {
        const struct flush_location *l = &o->locations[i];
        struct flush_place *p = &f->places[f->place_count++];
        if (!l->name || !*l->name || strlen(l->name) > HF_LOCATION_BYTES_MAX || !l->warehouse ||
            !*l->warehouse || strlen(l->warehouse) > FLUSH_WAREHOUSE_BYTES_MAX)
            return "a location needs a name and a warehouse's code";
        snprintf(p->name, sizeof p->name, "%s", l->name);
        snprintf(p->warehouse, sizeof p->warehouse, "%s", l->warehouse);
        p->location_option = l->location_id;
        p->mode = l->mode;
        p->zone = l->zone ? zone_create(l->zone) : NULL;
        if (l->zone && !p->zone)
            return "a location's time zone is not known: wants a name such as Europe/Berlin";
        for (uint32_t k = 0; k < i; k++) {
            const struct flush_place *q = &f->places[k];
            if (strcmp(q->name, p->name) == 0)
                return "a location is named twice";
            if (strcmp(q->warehouse, p->warehouse) == 0 && q->location_option == p->location_option)
                return "two locations stand for one warehouse";
        }
    }
    return NULL;
}

static const char *hours_fill(struct flush *f)
{
    const char *wrong = flush_hours_parse(f->options.closed ? f->options.closed : "", &f->hours);
    f->options.closed = NULL;
    if (wrong || !f->hours.zone[0])
        return wrong;
    f->hours_zone = zone_create(f->hours.zone);
    return f->hours_zone ? NULL : "closed hours: their time zone is not known";
}

static bool hours_closed(const struct flush *f, uint64_t ms)
{
    const struct flush_hours *h = &f->hours;
    uint32_t now =
        f->hours_zone ? zone_minute(f->hours_zone, ms) : (uint32_t)(ms / 60000 % (24 * 60));
    bool closed = false;
    for (uint32_t i = 0; i < h->count; i++)
        closed |= h->from[i] < h->to[i] ? now >= h->from[i] && now < h->to[i]
                                        : now >= h->from[i] || now < h->to[i];
    return closed;
}

static bool memory_take(struct flush *f)
{
    f->batches = calloc(FLUSH_BATCHES_MAX, sizeof *f->batches);
    f->dead = calloc(f->options.dead_max, sizeof *f->dead);
    f->retrying = calloc(f->options.dead_max, sizeof *f->retrying);
    return f->batches && f->dead && f->retrying && window_init(&f->window, f->options.window_lines);
}

static enum hf_status state_begin(struct flush *f, char why[200])
{
    enum hf_status s = state_load(f, why);
    if (s == HF_NOT_FOUND) {
        f->incarnation = f->options.fresh_id;
        f->next_batch = f->next_dead = 1;
        f->must_save = true;
        s = HF_OK;
    } else {
        f->begun = true;
    }
    f->read_lsn = f->taken_lsn;
    if (s == HF_OK)
        s = moved_load(f, why);
    f->guard_from = f->foreign_upto;
    if (s == HF_OK && !pace_init(f))
        s = HF_NO_MEMORY;
    if (s == HF_OK)
        core_outbox_taken(f->options.core, f->taken_lsn);
    return s;
}

enum hf_status flush_open(const struct flush_options *o, struct flush **out, char why[200])
{
    *out = NULL;
    why[0] = '\0';
    const char *wrong = options_wrong(o);
    struct flush *f = wrong ? NULL : calloc(1, sizeof *f);
    if (!f) {
        snprintf(why, 200, "%s", wrong ? wrong : "no memory");
        return wrong ? HF_INVALID : HF_NO_MEMORY;
    }
    f->options = *o;
    f->random = o->seed;
    f->strange_round = 1;
    snprintf(f->engine, sizeof f->engine, "%s", o->engine);
    wrong = places_fill(f);
    wrong = wrong ? wrong : hours_fill(f);
    bool ready = odoo_init(&f->odoo, o->http, o->database, o->key, o->timeout_ms);
    odoo_login_set(&f->odoo, o->login ? o->login : "");
    f->options.locations = NULL; // the caller's texts are not needed any more
    f->options.engine = f->options.database = f->options.key = f->options.login = NULL;
    enum hf_status s = wrong ? HF_INVALID : ready && memory_take(f) ? HF_OK : HF_NO_MEMORY;
    if (s != HF_OK)
        snprintf(why, 200, "%s", wrong ? wrong : "no memory");
    else
        s = state_begin(f, why);
    history_init(&f->history, o->storage, journal_engine_id(core_journal(o->core)));
    if (s == HF_OK)
        s = discards_load(f, why);
    if (s != HF_OK) {
        flush_close(f);
        return s;
    }
    hf_log(HF_LOG_INFO, "flush_open", "taken_lsn=%llu next_batch=%llu open=%u dead_letters=%u",
           (unsigned long long)f->taken_lsn, (unsigned long long)f->next_batch, f->batch_count,
           f->dead_count);
    *out = f;
    return HF_OK;
}

void flush_close(struct flush *f)
{
    outbox_close(f);
    for (uint32_t i = 0; i < f->batch_count; i++)
        free(f->batches[i].lines);
    window_fini(&f->window);
    free(f->batches);
    free(f->dead);
    free(f->retrying);
    free(f->discards);
    pace_fini(f);
    moved_fini(f);
    history_fini(&f->history);
    for (uint32_t i = 0; i < f->place_count; i++)
        zone_destroy(f->places[i].zone);
    zone_destroy(f->hours_zone);
    odoo_fini(&f->odoo);
    free(f);
}

// ------------------------------------------------------------------------------- the step

static enum hf_status post_one(struct flush *f, struct core_worker *w, struct flush_batch *b,
                               uint64_t now_ms)
{
    if (!batch_calls_odoo(b))
        return post_acknowledge(f, w, b, now_ms);
    if (!f->contacted)
        return contact_make(f, now_ms) ? HF_OK : HF_AGAIN;
    return pace_call(f, b, now_ms);
}

static enum hf_status step(struct flush *f, struct core_worker *w, uint64_t now_ms)
{
    bool settling = f->moved.phase == FLUSH_SETTLING;
    enum hf_status read = settling ? HF_AGAIN : outbox_step(f, now_ms);
    if (read != HF_OK && read != HF_AGAIN)
        return read;
    enum hf_status brought = pace_collect(f, now_ms);
    if (brought != HF_AGAIN)
        return brought;
    bool held = now_ms < f->pause_until_ms, wait;
    f->closed = hours_closed(f, now_ms);
    if (now_ms >= f->contact_at_ms + f->options.contact_ms)
        f->contacted = false;
    // Memory is ahead of the disk: nothing else before that is mended.
    if (f->must_save && !(held && f->pause == FLUSH_PAUSE_DISK_FULL)) {
        enum hf_status s = state_save(f, now_ms);
        return s == HF_AGAIN ? read : s;
    }
    if (f->must_save)
        return read;
    enum hf_status letters = settling ? HF_AGAIN : moved_step(f, w, now_ms);
    if (letters == HF_AGAIN && !settling)
        letters = deadletter_step(f, w, now_ms);
    if (letters != HF_AGAIN)
        return letters;
    if (pace_divide(f))
        return f->failed; // to be saved first
    struct flush_batch *b = pace_next(f, now_ms, held, &wait);
    enum hf_status s = b                           ? post_one(f, w, b, now_ms)
                       : held || wait || f->closed ? HF_AGAIN
                       : settling                  ? moved_learn(f, now_ms)
                                                   : window_close(f, now_ms);
    if (s == HF_AGAIN && !b && f->stale && read == HF_AGAIN && f->failed == HF_OK)
        s = state_save(f, now_ms); // quiet: a start has less to look up
    return s == HF_AGAIN ? read : s;
}

// What a batch met says nothing of others' moves, which are read meanwhile. But not while contact
// itself has failed, Odoo does not answer, or the binding is not durable.
static bool held_contact(struct flush *f, uint64_t now_ms)
{
    bool binding = hf_uuid_is_nil(f->bound) || f->must_save;
    return !f->unmet && !binding && f->pause != FLUSH_PAUSE_ODOO_AWAY && contact_look(f, now_ms);
}

bool flush_contact(struct flush *f, uint64_t now_ms)
{
    if (f->failed != HF_OK)
        return false;
    if (now_ms < f->pause_until_ms)
        return held_contact(f, now_ms);
    if (!f->contacted && !contact_make(f, now_ms))
        return false;
    return !f->must_save || state_save(f, now_ms) == HF_OK; // the binding, before it is relied on
}

static void metrics_publish(struct flush *f)
{
    struct flush_metrics *m = &f->metrics;
    uint64_t movements = 0, oldest = 0;
    bool full = f->pause == FLUSH_PAUSE_NONE && f->dead_full;
    hf_store_relaxed(&m->calling, f->calling);
    hf_store_relaxed(&m->pause, (uint64_t)(full ? FLUSH_PAUSE_DEAD_LETTERS : f->pause));
    if (f->failed != HF_OK)
        return; // what is in memory may be half of it: the last figures stay
    for (uint32_t i = 0; i < f->batch_count; i++)
        for (uint32_t k = 0; k < f->batches[i].line_count; k++) {
            const struct flush_line *l = &f->batches[i].lines[k];
            movements += l->movements;
            if (oldest == 0 || l->since_ms < oldest)
                oldest = l->since_ms;
        }
    for (uint32_t i = 0; i < f->window.count; i++)
        if (f->window.lines[i].quantity && (oldest == 0 || f->window.lines[i].since_ms < oldest))
            oldest = f->window.lines[i].since_ms;
    hf_store_relaxed(&m->read_lsn, f->read_lsn);
    hf_store_relaxed(&m->taken_lsn, f->taken_lsn);
    hf_store_relaxed(&m->window_lines, f->window.count);
    hf_store_relaxed(&m->window_movements, f->window.movements);
    hf_store_relaxed(&m->open_batches, f->batch_count);
    hf_store_relaxed(&m->open_movements, movements);
    hf_store_relaxed(&m->oldest_ms, oldest);
    hf_store_relaxed(&m->dead_letters, f->dead_count);
    hf_store_relaxed(&m->discards, f->discard_count);
    hf_store_relaxed(&m->discards_open, f->discards_open);
    enum flush_pause told = f->pause;
    if (told == FLUSH_PAUSE_NONE && f->dead_full)
        told = FLUSH_PAUSE_DEAD_LETTERS;
    else if (told == FLUSH_PAUSE_NONE && f->batches_full)
        told = FLUSH_PAUSE_BATCHES_FULL;
    else if (told == FLUSH_PAUSE_NONE && f->moved.phase == FLUSH_SETTLING)
        told = FLUSH_PAUSE_MOVED;
    else if (told == FLUSH_PAUSE_NONE && f->closed)
        told = FLUSH_PAUSE_CLOSED;
    hf_store_relaxed(&m->pause, (uint64_t)told);
}

static enum hf_status step_or_recover(struct flush *f, struct core_worker *w, uint64_t now_ms)
{
    if (f->failed != HF_OK)
        return flush_recovers(f) ? recover_step(f, now_ms) : f->failed;
    enum hf_status s = step(f, w, now_ms);
    if (!flush_recovers(f))
        return s;
    recover_announce(f, now_ms);
    return HF_AGAIN;
}

enum hf_status flush_step(struct flush *f, struct core_worker *w, uint64_t now_ms)
{
    enum hf_status s = core_status(f->options.core);
    if (s == HF_OK)
        s = step_or_recover(f, w, now_ms);
    metrics_publish(f);
    return s;
}

uint32_t flush_wait_ms(const struct flush *f, uint64_t now_ms, uint32_t max_ms)
{
    uint64_t at = now_ms + max_ms, close = f->window.opened_ms + f->options.window_ms;
    if (close < f->close_at_ms)
        close = f->close_at_ms;
    if (f->window.movements && close < at)
        at = close;
    for (uint32_t i = 0; i < f->batch_count; i++) {
        const struct flush_batch *b = &f->batches[i];
        // What is due and not worked on waits for a poster, which rings, or for others.
        uint64_t next = b->retry_at_ms > now_ms ? b->retry_at_ms : at;
        if (b->step == FLUSH_STEP_ACK_WAIT)
            next = now_ms + 1;
        if (next < at)
            at = next;
    }
    if (f->pause != FLUSH_PAUSE_NONE && at < f->pause_until_ms)
        at = f->pause_until_ms < now_ms + max_ms ? f->pause_until_ms : now_ms + max_ms;
    return at > now_ms ? (uint32_t)(at - now_ms) : 1;
}

void flush_metrics(const struct flush *f, struct flush_metrics *out)
{
    const uint64_t *from = (const uint64_t *)&f->metrics;
    uint64_t *to = (uint64_t *)out;
    for (size_t i = 0; i < sizeof *out / sizeof *to; i++)
        to[i] = hf_load_relaxed(&from[i]);
}
