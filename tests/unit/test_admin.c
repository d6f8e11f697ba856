#include "admin/admin.h"
#include "admin/collect.h"

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

// ------------------------------------------------------------------------------- the text

static char *text_of(struct metrics *m)
{
    assert_false(m->failed);
    m->text = realloc(m->text, m->bytes + 1);
    m->text[m->bytes] = 0;
    return m->text;
}

static void families_values_and_labels_are_written_as_the_format_says(void **state)
{
    (void)state;
    struct metrics m = {0};
    metrics_family(&m, METRICS_COUNTER, "a_total", "what\nand \\ \"why\"");
    metrics_value(&m, "a_total", NULL, METRICS_PLAIN, UINT64_MAX);
    metrics_value(&m, "a_total",
                  (struct metrics_label[]){{"one", "x\\y\"z\n"}, {"two", ""}, {NULL, NULL}},
                  METRICS_PLAIN, 0);
    metrics_value(&m, "a_seconds", NULL, METRICS_NS, 1500000001);
    metrics_value(&m, "a_seconds", NULL, METRICS_MS, 90061);
    assert_string_equal(text_of(&m), "# HELP a_total what\\nand \\\\ \"why\"\n"
                                     "# TYPE a_total counter\n"
                                     "a_total 18446744073709551615\n"
                                     "a_total{one=\"x\\\\y\\\"z\\n\",two=\"\"} 0\n"
                                     "a_seconds 1.500000001\n"
                                     "a_seconds 90.061\n");
    free(m.text);
}

static void a_histogram_is_cumulative_and_ends_with_all(void **state)
{
    (void)state;
    struct hf_histogram h;
    struct metrics m = {0};
    hf_histogram_clear(&h);
    hf_histogram_record(&h, 20000);
    hf_histogram_record_many(&h, 2000000, 2);
    hf_histogram_record(&h, UINT64_C(20000000000));
    metrics_histogram(&m, "x_seconds", (struct metrics_label[]){{"s", "t"}, {NULL, NULL}}, &h);
    char *text = text_of(&m);
    assert_non_null(strstr(text, "x_seconds_bucket{s=\"t\",le=\"0.00001\"} 0\n"));
    assert_non_null(strstr(text, "x_seconds_bucket{s=\"t\",le=\"0.000025\"} 1\n"));
    assert_non_null(strstr(text, "x_seconds_bucket{s=\"t\",le=\"0.001\"} 1\n"));
    assert_non_null(strstr(text, "x_seconds_bucket{s=\"t\",le=\"0.0025\"} 3\n"));
    assert_non_null(strstr(text, "x_seconds_bucket{s=\"t\",le=\"10\"} 3\n"));
    assert_non_null(strstr(text, "x_seconds_bucket{s=\"t\",le=\"+Inf\"} 4\n"));
    assert_non_null(strstr(text, "x_seconds_sum{s=\"t\"} 20.004020000\n"));
    assert_non_null(strstr(text, "x_seconds_count{s=\"t\"} 4\n"));
    free(m.text);
}

static void the_text_has_a_bound(void **state)
{
    (void)state;
    struct metrics m = {0};
    for (int i = 0; i < 500000 && !m.failed; i++)
        metrics_value(&m, "a_total", NULL, METRICS_PLAIN, 1);
    assert_true(m.failed);
    assert_true(m.bytes <= METRICS_BYTES_MAX);
    free(m.text);
}

static const char *channel_name(void *ctx, uint16_t channel)
{
    (void)ctx;
    return channel == 7 ? "web" : NULL;
}

static bool has(const char *text, const char *line)
{
    return strstr(text, line) != NULL;
}

static void collectors_tell_what_they_are_given(void **state)
{
    (void)state;
    struct metrics m = {0};
    struct core_metrics core = {.refused = 31, .ids_used = 12, .floor_ms = 400, .window_ms = 60000};
    struct collect_journal journal = {.metrics = {.syncs = 5, .sync_ns_total = 2500000},
                                      .space = {.usable_bytes = 4096, .pressure = true},
                                      .durable_lsn = 77};
    struct rpc_metrics rpc = {.calls = 8, .codes = {[RPC_ABORTED] = 9}};
    static struct hf_histogram latency[RPC_STAGE_COUNT];
    static struct service_metrics service;
    struct collect_stock stock = {.cells = 3, .has_short = true, .short_cells = 2};
    hf_histogram_record(&latency[RPC_STAGE_DURABLE], 40000);
    service.decisions[CORE_ORDER][CORE_OUT_REFUSED] = 21;
    service.by_channel[7][0] = 22;
    service.by_channel[8][0] = 23; // of no known channel: not told
    collect_core(&m, &core, 1400);
    collect_journal(&m, &journal);
    collect_rpc(&m, &rpc, latency);
    collect_service(&m, &service, channel_name, NULL);
    collect_stock(&m, &stock);
    collect_process(&m, 1500);
    const char *text = text_of(&m);
    assert_true(has(text, "\nholdfast_core_refused_total 31\n"));
    assert_true(has(text, "\nholdfast_used_ids 12\n"));
    assert_true(has(text, "\nholdfast_id_window_seconds 60.000\n"));
    assert_true(has(text, "\nholdfast_id_floor_age_seconds 1.000\n"));
    assert_true(has(text, "\nholdfast_journal_sync_seconds_total 0.002500000\n"));
    assert_true(has(text, "\nholdfast_journal_pressure_active 1\n"));
    assert_true(has(text, "\nholdfast_journal_durable_lsn 77\n"));
    assert_true(has(text, "\nholdfast_rpc_calls_total 8\n"));
    assert_true(has(text, "\nholdfast_rpc_answered_total{code=\"ABORTED\"} 9\n"));
    assert_true(has(text, "\nholdfast_rpc_stage_seconds_count{stage=\"DURABLE\"} 1\n"));
    assert_true(has(text, "\nholdfast_decisions_total{verb=\"ORDER\",outcome=\"REFUSED\"} 21\n"));
    assert_true(
        has(text, "\nholdfast_channel_decisions_total{channel=\"web\",outcome=\"DONE\"} 22\n"));
    assert_false(has(text, " 23\n"));
    assert_true(has(text, "\nholdfast_short_stock_cells 2\n"));
    assert_true(has(text, "\nholdfast_uptime_seconds 1.500\n"));
    assert_false(has(text, "\nprocess_resident_memory_bytes 0\n"));
    assert_false(has(text, "\nprocess_open_fds 0\n"));
    free(m.text);
}

static void cells_that_nobody_watches_are_not_told_to_be_in_order(void **state)
{
    (void)state;
    struct metrics m = {0};
    collect_stock(&m, &(struct collect_stock){.cells = 3, .watchers_max = 9});
    const char *text = text_of(&m);
    assert_true(has(text, "holdfast_stock_cells 3"));
    assert_true(has(text, "holdfast_max_watchers 9"));
    assert_false(has(text, "short"));
    free(m.text);
}

// ------------------------------------------------------------------------------- over HTTP

struct server {
    struct admin_server *admin;
    bool good;
    char reply[20000];
};
static struct server server;

static void one_metric(void *ctx, struct metrics *m)
{
    (void)ctx;
    metrics_family(m, METRICS_GAUGE, "x_seconds", "some");
    metrics_value(m, "x_seconds", NULL, METRICS_MS, 5);
}

static bool state_of(void *ctx, char why[200])
{
    struct server *s = ctx;
    if (!s->good)
        snprintf(why, 200, "the reason");
    return s->good;
}

static struct admin_server_options options(void)
{
    return (struct admin_server_options){.host = "127.0.0.1",
                                         .connections_max = 4,
                                         .timeout_s = 1,
                                         .version = "{\"version\":\"1\"}\n",
                                         .collect = one_metric,
                                         .healthy = state_of,
                                         .ready = state_of,
                                         .ctx = &server};
}

static int server_start(void **state)
{
    (void)state;
    char why[200];
    struct admin_server_options o = options();
    server.good = true;
    return admin_server_create(&o, &server.admin, why) == HF_OK ? 0 : -1;
}

static int server_stop(void **state)
{
    (void)state;
    admin_server_destroy(server.admin);
    return 0;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

// Until the other side closes, at most 5 s.
static const char *read_all(int fd)
{
    size_t n = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (n < sizeof server.reply - 1 && poll(&p, 1, 5000) == 1) {
        ssize_t got = read(fd, server.reply + n, sizeof server.reply - 1 - n);
        if (got <= 0) {
            server.reply[n] = 0;
            close(fd);
            return server.reply;
        }
        n += (size_t)got;
    }
    fail_msg("the connection stays open");
    return NULL;
}

static const char *ask(const char *request)
{
    char text[600];
    int fd = connect_to(admin_server_port(server.admin));
    int n =
        snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", request);
    assert_int_equal(write(fd, text, (size_t)n), n);
    return read_all(fd);
}

static void assert_reply(const char *reply, const char *status, const char *part)
{
    if (!strstr(reply, status) || !strstr(reply, part))
        fail_msg("%s", reply);
}

static void pages(void **state)
{
    (void)state;
    assert_reply(ask("GET /metrics"), "HTTP/1.1 200", "\r\n\r\n# HELP x_seconds some\n");
    assert_reply(server.reply, "Content-Type: text/plain; version=0.0.4", "x_seconds 0.005\n");
    assert_reply(ask("GET /healthz"), "HTTP/1.1 200", "ok\n");
    assert_reply(ask("GET /readyz?verbose=1"), "HTTP/1.1 200", "ok\n");
    assert_reply(ask("GET /version"), "application/json", "{\"version\":\"1\"}");
    server.good = false;
    assert_reply(ask("GET /healthz"), "HTTP/1.1 503", "the reason\n");
    assert_reply(ask("GET /readyz"), "HTTP/1.1 503", "the reason\n");
    server.good = true;
}

static void what_is_no_page(void **state)
{
    (void)state;
    assert_reply(ask("GET /"), "HTTP/1.1 404", "/metrics");
    assert_reply(ask("GET /metrics/"), "HTTP/1.1 404", "/metrics");
    assert_reply(ask("GET /../metrics"), "HTTP/1.1 404", "/metrics");
    assert_reply(ask("POST /metrics"), "HTTP/1.1 405", "Allow: GET, HEAD");
    assert_reply(ask("DELETE /healthz"), "HTTP/1.1 405", "GET or HEAD");
    assert_reply(ask("HEAD /healthz"), "HTTP/1.1 200", "Content-Length: 3");
    assert_null(strstr(server.reply, "ok\n"));
}

static void a_silent_connection_is_closed(void **state)
{
    (void)state;
    int fd = connect_to(admin_server_port(server.admin));
    assert_int_equal(write(fd, "GET /met", 8), 8);
    read_all(fd);
}

static void silent_connections_up_to_the_limit_pass(void **state)
{
    (void)state;
    int fds[8];
    for (int i = 0; i < 8; i++)
        fds[i] = connect_to(admin_server_port(server.admin));
    for (int i = 0; i < 8; i++)
        read_all(fds[i]);
    assert_reply(ask("GET /healthz"), "HTTP/1.1 200", "ok\n");
}

// Found: idle connections up to the limit kept a health check waiting until they timed out.
static void idle_connections_keep_no_health_check_waiting(void **state)
{
    (void)state;
    char why[200];
    struct server patient = {.good = true};
    struct admin_server_options o = options();
    o.timeout_s = 120;
    o.ctx = &patient;
    assert_int_equal(admin_server_create(&o, &patient.admin, why), HF_OK);
    uint16_t port = admin_server_port(patient.admin);
    int fds[40];
    for (int i = 0; i < 40; i++) {
        fds[i] = connect_to(port);
        assert_int_equal(write(fds[i], "GET /me", i % 8), i % 8);
    }
    for (int i = 0; i < 3; i++) {
        static const char request[] =
            "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        int fd = connect_to(port);
        assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
        assert_reply(read_all(fd), "HTTP/1.1 200", "ok\n");
    }
    for (int i = 0; i < 36; i++) // the oldest have gone
        read_all(fds[i]);
    for (int i = 36; i < 40; i++)
        close(fds[i]);
    admin_server_destroy(patient.admin);
}

static void headers_without_end_are_refused(void **state)
{
    (void)state;
    int fd = connect_to(admin_server_port(server.admin));
    static char line[] =
        "X-Fill: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n";
    assert_int_equal(write(fd, "GET /metrics HTTP/1.1\r\n", 23), 23);
    for (int i = 0; i < 1000; i++)
        if (send(fd, line, sizeof line - 1, MSG_NOSIGNAL) < 0)
            break;
    assert_null(strstr(read_all(fd), "HTTP/1.1 200"));
}

static void an_address_in_use_or_of_elsewhere_is_told(void **state)
{
    (void)state;
    char why[200] = "";
    struct admin_server *a;
    struct admin_server_options o = options();
    o.port = admin_server_port(server.admin);
    assert_int_equal(admin_server_create(&o, &a, why), HF_EXISTS);
    assert_true(why[0] != 0);
    o.port = 0;
    o.host = "192.0.2.1"; // reserved for documentation
    assert_int_equal(admin_server_create(&o, &a, why), HF_INVALID);
    o.host = "no such host";
    assert_int_equal(admin_server_create(&o, &a, why), HF_INVALID);
}

int main(void)
{
    const struct CMUnitTest text[] = {
        cmocka_unit_test(families_values_and_labels_are_written_as_the_format_says),
        cmocka_unit_test(a_histogram_is_cumulative_and_ends_with_all),
        cmocka_unit_test(the_text_has_a_bound),
        cmocka_unit_test(collectors_tell_what_they_are_given),
        cmocka_unit_test(cells_that_nobody_watches_are_not_told_to_be_in_order),
    };
    const struct CMUnitTest http[] = {
        cmocka_unit_test(pages),
        cmocka_unit_test(what_is_no_page),
        cmocka_unit_test(a_silent_connection_is_closed),
        cmocka_unit_test(silent_connections_up_to_the_limit_pass),
        cmocka_unit_test(idle_connections_keep_no_health_check_waiting),
        cmocka_unit_test(headers_without_end_are_refused),
        cmocka_unit_test(an_address_in_use_or_of_elsewhere_is_told),
    };
    return cmocka_run_group_tests(text, NULL, NULL) +
           cmocka_run_group_tests(http, server_start, server_stop);
}
