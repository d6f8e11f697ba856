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

static inline json_t *read_back(struct flush_world *fw, const char *model, const char *body)
{
    char path[96];
    struct sandbox_answer a;
    snprintf(path, sizeof path, "/json/2/%s/search_read", model);
    struct sandbox_request r = {.method = "POST",
                                .path = path,
                                .authorization = "Bearer sandbox",
                                .database = "odoo",
                                .content_type = "application/json",
                                .body = body,
                                .body_bytes = strlen(body)};
    sandbox_handle(fw->sandbox, &r, &a);
    assert_int_equal(a.status, 200);
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

// A call of somebody else's, that must succeed.
static inline void others_call(struct flush_world *fw, const char *path, const char *body)
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
    free(a.body);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
