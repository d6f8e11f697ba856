// What the flusher's tests share.
#ifndef HOLDFAST_TESTS_UNIT_FLUSH_TESTS_H
#define HOLDFAST_TESTS_UNIT_FLUSH_TESTS_H

#include "flush_world.h"

#include "flush/flush_internal.h"

#include <inttypes.h>
#include <jansson.h>

static inline int set_up(void **state)
{
    struct flush_world *fw = malloc(sizeof *fw);
    fworld_init(fw, 1);
    *state = fw;
    return 0;
}

static inline int tear_down(void **state)
{
    fworld_fini(*state);
    free(*state);
    return 0;
}

static inline struct flush_metrics metrics(struct flush_world *fw)
{
    struct flush_metrics m;
    flush_metrics(fw->f, &m);
    return m;
}

static inline void fault(struct flush_world *fw, const char *text)
{
    char body[256];
    struct sandbox_answer a;
    snprintf(body, sizeof body, "{\"faults\":[%s]}", text);
    struct sandbox_request r = {
        .method = "POST", .path = "/sandbox/faults", .body = body, .body_bytes = strlen(body)};
    sandbox_handle(fw->sandbox, &r, &a);
    assert_int_equal(a.status, 200);
    free(a.body);
}

static inline void catalogue(struct flush_world *fw, const char *body)
{
    struct sandbox_answer a;
    struct sandbox_request r = {
        .method = "POST", .path = "/sandbox/catalogue", .body = body, .body_bytes = strlen(body)};
    sandbox_handle(fw->sandbox, &r, &a);
    assert_int_equal(a.status, 200);
    free(a.body);
}

static inline void with_action(struct flush_world *fw)
{
    fworld_close(fw);
    fake_storage_restart(fw->w.disk);
    fw->options.action_id = 13000000;
    fworld_open(fw);
}

// Somebody else's call, that must succeed: its answer, the caller's to free.
static inline struct sandbox_answer others_ask(struct flush_world *fw, const char *path,
                                               const char *body)
{
    struct sandbox_answer a;
    struct sandbox_request r = {.method = "POST",
                                .path = path,
                                .authorization = "Bearer sandbox",
                                .database = "odoo",
                                .content_type = "application/json",
                                .body = body,
                                .body_bytes = strlen(body)};
    sandbox_handle(fw->sandbox, &r, &a);
    assert_int_equal(a.status, 200);
    return a;
}

static inline json_t *read_back(struct flush_world *fw, const char *model, const char *body)
{
    char path[96];
    snprintf(path, sizeof path, "/json/2/%s/search_read", model);
    struct sandbox_answer a = others_ask(fw, path, body);
    json_t *rows = json_loadb(a.body, a.body_bytes, 0, NULL);
    free(a.body);
    return rows;
}

static inline void reopen(struct flush_world *fw)
{
    fworld_close(fw);
    fake_storage_restart(fw->w.disk);
    fworld_open(fw);
}

static inline void others_call(struct flush_world *fw, const char *path, const char *body)
{
    free(others_ask(fw, path, body).body);
}

static inline void faults_clear(struct flush_world *fw)
{
    struct sandbox_answer a;
    struct sandbox_request r = {.method = "DELETE", .path = "/sandbox/faults"};
    sandbox_handle(fw->sandbox, &r, &a);
    free(a.body);
}

// Odoo's cause is mended: the letter goes out, and both sides are equal.
static inline void letter_retried(struct flush_world *fw, uint64_t id)
{
    faults_clear(fw);
    assert_int_equal(flush_dead_retry(fw->f, id, core_now(fw->w.core)), HF_OK);
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
