#include "sim/fake_odoo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fake_odoo *fake_of(struct http *h)
{
    return (struct fake_odoo *)h;
}

static void do_call(struct fake_odoo *o, const char *path, const char *body, size_t bytes,
                    struct sandbox_answer *a)
{
    char bearer[80];
    snprintf(bearer, sizeof bearer, "Bearer %s", o->key);
    struct sandbox_request r = {.method = body ? "POST" : "GET",
                                .path = path,
                                .authorization = bearer,
                                .database = o->database,
                                .content_type = "application/json",
                                .body = body,
                                .body_bytes = bytes,
                                .now_ms = clock_wall_ms(&o->clock->base)};
    sandbox_handle(o->sandbox, &r, a);
}

void fake_odoo_settle(struct fake_odoo *o)
{
    struct sandbox_answer a;
    if (!o->late_waits)
        return;
    o->late_waits = false;
    do_call(o, o->late_path, o->late_body, strlen(o->late_body), &a);
    free(a.body);
    free(o->late_body);
    o->late_body = NULL;
}

static void headers_read(struct fake_odoo *o, const struct http_request *r)
{
    o->key[0] = o->database[0] = '\0';
    for (int i = 0; i < HTTP_HEADERS_MAX && r->headers[i]; i++) {
        if (strncmp(r->headers[i], "Authorization: Bearer ", 22) == 0)
            snprintf(o->key, sizeof o->key, "%s", r->headers[i] + 22);
        if (strncmp(r->headers[i], "X-Odoo-Database: ", 17) == 0)
            snprintf(o->database, sizeof o->database, "%s", r->headers[i] + 17);
    }
}

static enum http_outcome no_answer(struct http_answer *a, enum http_outcome o)
{
    a->body[0] = '\0';
    snprintf(a->why, sizeof a->why, "%s", o == HTTP_NOT_SENT ? "connection refused" : "no answer");
    return o;
}

static enum http_outcome deliver(struct sandbox_answer *s, struct http_answer *a)
{
    if (s->delivery == SANDBOX_CLOSE)
        return no_answer(a, HTTP_UNKNOWN);
    a->status = s->status;
    snprintf(a->content_type, sizeof a->content_type, "%s", s->content_type);
    if (s->body_bytes >= a->body_capacity)
        return no_answer(a, HTTP_TOO_BIG);
    memcpy(a->body, s->body, s->body_bytes);
    a->body[s->body_bytes] = '\0';
    a->body_bytes = s->body_bytes;
    return HTTP_ANSWERED;
}

static enum http_outcome fake_call(struct http *h, const struct http_request *r,
                                   struct http_answer *a)
{
    struct fake_odoo *o = fake_of(h);
    struct sandbox_answer s;
    a->body_bytes = 0;
    a->status = 0;
    a->content_type[0] = a->why[0] = '\0';
    if (o->away || (o->disk && o->disk->crashed))
        return no_answer(a, HTTP_NOT_SENT);
    o->calls++;
    headers_read(o, r);
    snprintf(o->last_body, sizeof o->last_body, "%.*s", (int)r->body_bytes, (const char *)r->body);
    if (o->late_waits && o->calls > o->late_due)
        fake_odoo_settle(o);
    if (o->calls == o->late_at) {
        o->late_waits = true;
        o->late_due = o->calls + o->late_by;
        snprintf(o->late_path, sizeof o->late_path, "%s", r->path);
        o->late_body = strndup(r->body, r->body_bytes);
        return no_answer(a, HTTP_UNKNOWN);
    }
    bool crash = o->calls == o->crash_at;
    if (crash && !o->crash_after) {
        fake_storage_crash(o->disk);
        return no_answer(a, HTTP_UNKNOWN);
    }
    do_call(o, r->path, r->body, r->body_bytes, &s);
    if (crash)
        fake_storage_crash(o->disk);
    enum http_outcome outcome = crash ? no_answer(a, HTTP_UNKNOWN) : deliver(&s, a);
    free(s.body);
    return outcome;
}

static void fake_destroy(struct http *h)
{
    (void)h;
}

void fake_odoo_init(struct fake_odoo *o, struct sandbox *s, struct fake_storage *disk,
                    struct fake_clock *clock)
{
    static const struct http_ops ops = {fake_call, fake_destroy};
    *o = (struct fake_odoo){.base = {&ops}, .sandbox = s, .disk = disk, .clock = clock};
}

void fake_odoo_fini(struct fake_odoo *o)
{
    free(o->late_body);
}
