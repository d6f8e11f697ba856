// engine/sys/http against a server of this process that misbehaves as told, and against
// `openssl s_server` for certificates.
#include "sys/http.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

// A server of one connection at a time. Each connection plays the script's next answers until one
// of them closes.
struct server {
    int listener;
    uint16_t port;
    pthread_t thread;
    const char *const *answers; // NULL ends; "" closes without an answer; "hang" waits
    atomic_int connections, requests;
    char last[8][1024]; // requests as they came; to be looked at after server_stop
};

// Reads one request: head, then as many bytes as it names. False: the client has closed.
static bool request_read(int fd, char *to, size_t room)
{
    size_t have = 0;
    for (;;) {
        ssize_t n = recv(fd, to + have, room - 1 - have, 0);
        if (n <= 0)
            return false;
        have += (size_t)n;
        to[have] = '\0';
        const char *end = strstr(to, "\r\n\r\n"), *length = strcasestr(to, "content-length:");
        size_t body = length ? strtoul(length + 15, NULL, 10) : 0;
        if (end && have >= (size_t)(end + 4 - to) + body)
            return true;
    }
}

static void *server_run(void *ctx)
{
    struct server *s = ctx;
    for (int at = 0; s->answers[at];) {
        int fd = accept(s->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        atomic_fetch_add(&s->connections, 1);
        while (s->answers[at] && request_read(fd, s->last[at], sizeof s->last[at])) {
            atomic_fetch_add(&s->requests, 1);
            const char *a = s->answers[at++];
            if (strcmp(a, "hang") == 0)
                nanosleep(&(struct timespec){0, 700000000}, NULL);
            else if (*a)
                send(fd, a, strlen(a), MSG_NOSIGNAL);
            if (!strstr(a, "keep-alive"))
                break;
        }
        close(fd);
    }
    return NULL;
}

static void server_start(struct server *s, const char *const *answers)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    memset(s, 0, sizeof *s);
    s->answers = answers;
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->listener, 8), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&a, &n), 0);
    s->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, server_run, s), 0);
}

static void server_stop(struct server *s)
{
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
}

static struct http *client(uint16_t port, const char *scheme, const char *ca_file)
{
    char origin[64];
    struct http *h;
    snprintf(origin, sizeof origin, "%s://localhost:%u", scheme, port);
    struct http_os_options o = {.origin = origin, .ca_file = ca_file, .connect_ms = 2000};
    assert_int_equal(http_os_create(&o, &h), HF_OK);
    return h;
}

static enum http_outcome post(struct http *h, const char *body, struct http_answer *a,
                              uint32_t timeout_ms)
{
    static char buffer[128];
    *a = (struct http_answer){.body = buffer, .body_capacity = sizeof buffer};
    struct http_request r = {.path = "/json/2/x/y",
                             .headers = {"Content-Type: application/json", "X-Odoo-Database: d"},
                             .body = body,
                             .body_bytes = strlen(body),
                             .timeout_ms = timeout_ms};
    return http_call(h, &r, a);
}

static void answers_come_whole_and_connections_are_kept(void **state)
{
    (void)state;
    static const char *const script[] = {
        "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Type: application/json\r\n"
        "Content-Length: 4\r\n\r\ntrue",
        "HTTP/1.1 422 No\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", NULL};
    struct server s;
    struct http_answer a;
    server_start(&s, script);
    struct http *h = client(s.port, "http", NULL);
    assert_int_equal(post(h, "{\"ids\":[7]}", &a, 2000), HTTP_ANSWERED);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "true");
    assert_string_equal(a.content_type, "application/json");
    assert_int_equal(post(h, "{}", &a, 2000), HTTP_ANSWERED);
    assert_int_equal(a.status, 422);
    // A redirect is an answer: following it would repeat the post somewhere else.
    assert_int_equal(post(h, "{}", &a, 2000), HTTP_ANSWERED);
    assert_int_equal(a.status, 302);
    http_destroy(h);
    server_stop(&s);
    assert_non_null(strstr(s.last[0], "POST /json/2/x/y HTTP/1.1\r\n"));
    assert_non_null(strstr(s.last[0], "X-Odoo-Database: d\r\n"));
    assert_non_null(strstr(s.last[0], "\r\n\r\n{\"ids\":[7]}"));
    assert_null(strstr(s.last[0], "Expect"));
    assert_int_equal(s.connections, 1);
    assert_int_equal(s.requests, 3);
}

static void failures_tell_whether_the_server_may_have_acted(void **state)
{
    (void)state;
    static const char *const script[] = {
        "", "hang", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n"
        "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "000000000000000000000000",
        NULL};
    struct server s;
    struct http_answer a;
    server_start(&s, script);
    struct http *h = client(s.port, "http", NULL);
    assert_int_equal(post(h, "{}", &a, 2000), HTTP_UNKNOWN); // closed without an answer
    assert_true(a.why[0] != '\0');
    assert_int_equal(post(h, "{}", &a, 300), HTTP_UNKNOWN); // timed out
    assert_int_equal(a.status, 0);
    nanosleep(&(struct timespec){0, 600000000}, NULL);
    assert_int_equal(post(h, "{}", &a, 2000), HTTP_UNKNOWN); // cut in the middle
    assert_int_equal(post(h, "{}", &a, 2000), HTTP_TOO_BIG);
    assert_int_equal(a.status, 200);
    assert_true(a.body_bytes < a.body_capacity);
    assert_int_equal(a.body[a.body_bytes], '\0');
    http_destroy(h);
    server_stop(&s);

    h = client(s.port, "http", NULL); // nobody listens there any more
    assert_int_equal(post(h, "{}", &a, 2000), HTTP_NOT_SENT);
    http_destroy(h);
}

static void an_origin_is_scheme_and_host_only(void **state)
{
    (void)state;
    static const char *const bad[] = {"ftp://x",
                                      "odoo.example",
                                      "https://",
                                      "https://x/path",
                                      "https://user:word@x",
                                      "http://x y",
                                      NULL};
    struct http *h;
    for (int i = 0; bad[i]; i++) {
        struct http_os_options o = {.origin = bad[i]};
        assert_int_equal(http_os_create(&o, &h), HF_INVALID);
    }
}

static bool run(const char *command)
{
    return system(command) == 0;
}

static void certificates_are_verified(void **state)
{
    (void)state;
    char folder[] = "/tmp/holdfast-test-http-XXXXXX", command[600], pem[64], port_text[8];
    struct server s;
    static const char *const none[] = {NULL};
    if (!run("command -v openssl >/dev/null")) {
        printf("SKIPPED: certificates_are_verified needs the openssl command\n");
        skip();
    }
    server_start(&s, none); // a free port
    server_stop(&s);
    assert_non_null(mkdtemp(folder));
    snprintf(pem, sizeof pem, "%s/pem", folder);
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 -addext "
             "subjectAltName=DNS:localhost -keyout %s/key -out %s/pem 2>/dev/null",
             folder, folder);
    assert_true(run(command));
    snprintf(port_text, sizeof port_text, "%u", s.port);
    pid_t child = fork();
    if (child == 0) {
        char key[64];
        snprintf(key, sizeof key, "%s/key", folder);
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
            _exit(9);
        execlp("openssl", "openssl", "s_server", "-accept", port_text, "-cert", pem, "-key", key,
               "-www", (char *)NULL);
        _exit(9);
    }
    struct http_answer a;
    enum http_outcome o = HTTP_NOT_SENT;
    struct http *trusting = client(s.port, "https", pem);
    char *big = malloc(1 << 20);
    struct http_request get = {.path = "/", .timeout_ms = 2000};
    for (int i = 0; i < 50 && o == HTTP_NOT_SENT; i++) {
        nanosleep(&(struct timespec){0, 100000000}, NULL);
        a = (struct http_answer){.body = big, .body_capacity = 1 << 20};
        o = http_call(trusting, &get, &a);
    }
    assert_int_equal(o, HTTP_ANSWERED);
    assert_int_equal(a.status, 200);
    struct http *strict = client(s.port, "https", NULL);
    assert_int_equal(http_call(strict, &get, &a), HTTP_NOT_SENT); // nobody vouches for it
    char origin[64];
    snprintf(origin, sizeof origin, "https://127.0.0.1:%u", s.port);
    struct http_os_options wrong = {.origin = origin, .ca_file = pem};
    struct http *other;
    assert_int_equal(http_os_create(&wrong, &other), HF_OK);
    assert_int_equal(http_call(other, &get, &a), HTTP_NOT_SENT); // a certificate for another name
    http_destroy(other);
    http_destroy(strict);
    http_destroy(trusting);
    free(big);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_true(run(command));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_come_whole_and_connections_are_kept),
        cmocka_unit_test(failures_tell_whether_the_server_may_have_acted),
        cmocka_unit_test(an_origin_is_scheme_and_host_only),
        cmocka_unit_test(certificates_are_verified),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
