// The client's reading of failures: details as the trailer grpc-status-details-bin carries them.
// What needs a connection is tested by tests/integration/ctl_against_fake.py.
#include "client/client_internal.h"
#include "google/rpc/status.pb-c.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static uint8_t packed[4096];

static size_t pack_details(size_t count, const char *const types[],
                           const ProtobufCMessage *const messages[])
{
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    Google__Rpc__DetailAny anys[4], *list[4];
    uint8_t values[4][1024];
    for (size_t i = 0; i < count; i++) {
        anys[i] = (Google__Rpc__DetailAny)GOOGLE__RPC__DETAIL_ANY__INIT;
        anys[i].type_url = (char *)types[i];
        anys[i].value.len = protobuf_c_message_pack(messages[i], values[i]);
        anys[i].value.data = values[i];
        list[i] = &anys[i];
    }
    status.n_details = count;
    status.details = list;
    return google__rpc__status__pack(&status, packed);
}

static size_t pack_all(char *field)
{
    Google__Rpc__DetailDuration delay = GOOGLE__RPC__DETAIL_DURATION__INIT;
    delay.seconds = 2;
    delay.nanos = 345999999;
    Google__Rpc__RetryInfo retry = GOOGLE__RPC__RETRY_INFO__INIT;
    retry.retry_delay = &delay;
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    info.reason = (char *)"ID_TOO_OLD";
    Google__Rpc__BadRequest__FieldViolation violation =
        GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
    violation.field = field;
    violation.description = (char *)"must not be 0";
    Google__Rpc__BadRequest__FieldViolation *violations[] = {&violation};
    Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;
    bad.n_field_violations = 1;
    bad.field_violations = violations;
    static const char *const types[] = {
        "type.googleapis.com/google.rpc.RetryInfo", "x/google.rpc.ErrorInfo",
        "type.googleapis.com/google.rpc.BadRequest", "type.googleapis.com/of.somebody.Else"};
    const ProtobufCMessage *const messages[] = {&retry.base, &info.base, &bad.base, &info.base};
    return pack_details(4, types, messages);
}

static void details(void **state)
{
    (void)state;
    struct client_status s = {0};
    client_status_details(&s, packed, pack_all((char *)"lines[3].quantity"));
    assert_int_equal(s.retry_ms, 2345);
    assert_string_equal(s.reason, "ID_TOO_OLD");
    assert_string_equal(s.field, "lines[3].quantity");
    assert_string_equal(s.field_why, "must not be 0");
    char wide[600]; // cut, not overrun
    memset(wide, 'w', sizeof wide - 1);
    wide[sizeof wide - 1] = 0;
    client_status_details(&s, packed, pack_all(wide));
    assert_int_equal(strlen(s.field), sizeof s.field - 1);
}

static void absurd_delays(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        int32_t nanos;
    } rows[] = {{-1, 0}, {0, -1}, {86400, 0}, {INT64_MAX, 0}, {0, 1000000000}};
    static const char *const types[] = {"t/google.rpc.RetryInfo"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Google__Rpc__DetailDuration delay = GOOGLE__RPC__DETAIL_DURATION__INIT;
        delay.seconds = rows[i].seconds;
        delay.nanos = rows[i].nanos;
        Google__Rpc__RetryInfo retry = GOOGLE__RPC__RETRY_INFO__INIT;
        retry.retry_delay = &delay;
        const ProtobufCMessage *const messages[] = {&retry.base};
        struct client_status s = {0};
        client_status_details(&s, packed, pack_details(1, types, messages));
        assert_int_equal(s.retry_ms, 0);
    }
}

// A trailer is whatever a server sends: it is read or left, under the sanitizers too.
static void damaged_details(void **state)
{
    (void)state;
    struct prng r;
    r.state = 5;
    size_t n = pack_all((char *)"lines[3].quantity");
    for (int run = 0; run < 20000; run++) {
        uint8_t *copy = malloc(n); // of its exact size, so that a byte beyond is seen
        memcpy(copy, packed, n);
        size_t bytes = prng_below(&r, n + 1);
        for (int i = 0; i < 3 && bytes > 0; i++)
            copy[prng_below(&r, bytes)] = (uint8_t)prng_below(&r, 256);
        struct client_status s = {0};
        client_status_details(&s, copy, bytes);
        assert_true(strlen(s.field) < sizeof s.field && strlen(s.reason) < sizeof s.reason);
        assert_true(s.retry_ms < 86400000);
        free(copy);
    }
}

static void codes(void **state)
{
    (void)state;
    assert_string_equal(rpc_code_name(8), "RESOURCE_EXHAUSTED");
    assert_string_equal(rpc_code_name(17), "unknown");
    assert_string_equal(rpc_code_name(-1), "unknown");
    unsigned again = 0;
    for (int code = 0; code < 17; code++)
        again |= (unsigned)client_code_again(code) << code;
    assert_int_equal(again, 1 << 8 | 1 << 10 | 1 << 14);
}

static void addresses(void **state)
{
    (void)state;
    assert_true(client_address_local("127.0.0.1:7420"));
    assert_true(client_address_local("[::1]:7420"));
    assert_true(client_address_local("localhost:1"));
    assert_true(client_address_local("unix:/run/holdfast.sock"));
    assert_false(client_address_local("localhost.example:1"));
    assert_false(client_address_local("10.0.0.1:1"));
    assert_false(client_address_local("127.example.com:1"));
}

static void options(void **state)
{
    (void)state;
    const char *good = "-----BEGIN CERTIFICATE-----\n";
    const struct client_options rows[] = {
        {.address = NULL},
        {.address = "nowhere"},
        {.address = "10.0.0.1:1"},
        {.address = "127.0.0.1:1", .api_key = ""},
        {.address = "127.0.0.1:1", .api_key = "a b"},
        {.address = "127.0.0.1:1", .api_key = "a\r\nx: y"},
        {.address = "127.0.0.1:1", .ca_pem = good},
        {.address = "127.0.0.1:1", .tls = true, .cert_pem = good},
        {.address = "127.0.0.1:1", .tls = true, .ca_pem = "no text of that kind"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct client *c = NULL;
        char why[200] = "";
        assert_int_equal(client_create(&rows[i], &c, why), HF_INVALID);
        assert_null(c);
        assert_true(strlen(why) > 10);
    }
    struct client *c = NULL;
    char why[200] = "";
    struct client_options o = {.address = "127.0.0.1:1", .api_key = "hf_0123456789abcdef"};
    assert_int_equal(client_create(&o, &c, why), HF_OK);
    client_destroy(c);
    client_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(details),         cmocka_unit_test(absurd_delays),
        cmocka_unit_test(damaged_details), cmocka_unit_test(codes),
        cmocka_unit_test(addresses),       cmocka_unit_test(options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
