// rpc/descriptor.h on the set that the build made.
#include "rpc/descriptor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const char *streams(const char *path)
{
    bool client, server;
    if (!descriptor_method(path, &client, &server))
        return "none";
    return client ? server ? "both" : "client" : server ? "server" : "unary";
}

static void methods_tell_which_sides_stream(void **state)
{
    (void)state;
    assert_string_equal(streams("/holdfast.v1.ReservationService/Reserve"), "unary");
    assert_string_equal(streams("/holdfast.v1.ReservationService/ReserveStream"), "both");
    assert_string_equal(streams("/holdfast.v1.StockReadService/WatchStock"), "server");
    assert_string_equal(streams("/holdfast.v1.StockAdminService/ImportStock"), "unary");
    assert_string_equal(streams("/grpc.health.v1.Health/Watch"), "server");
    assert_string_equal(streams("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
                        "both");
    assert_string_equal(streams("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
                        "both");
}

static void other_paths_are_no_methods(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "",
        "/",
        "//",
        "holdfast.v1.ReservationService/Reserve",
        "/holdfast.v1.ReservationService",
        "/holdfast.v1.ReservationService/",
        "/holdfast.v1.ReservationService/reserve",
        "/holdfast.v1.ReservationService/Reserve/",
        "/ReservationService/Reserve",
        "/holdfast.v1.StockReadService/Reserve",
        "/holdfast.v1.ReserveRequest/reservation_id",
        "/.ReservationService/Reserve",
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        assert_string_equal(streams(paths[i]), "none");
}

static void every_service_is_listed_once(void **state)
{
    (void)state;
    static const char *const wanted[] = {
        "holdfast.v1.ReservationService",
        "holdfast.v1.StockReadService",
        "holdfast.v1.StockAdminService",
        "holdfast.v1.PacketService",
        "holdfast.v1.ErpService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    };
    enum { WANTED = sizeof wanted / sizeof *wanted };
    unsigned seen[WANTED] = {0};
    char name[DESCRIPTOR_NAME_BYTES];
    uint32_t count = 0;
    for (; descriptor_service(count, name); count++)
        for (unsigned i = 0; i < WANTED; i++)
            seen[i] += strcmp(name, wanted[i]) == 0;
    assert_int_equal(count, WANTED);
    for (unsigned i = 0; i < WANTED; i++)
        assert_int_equal(seen[i], 1);
}

static void symbols_lead_to_their_file(void **state)
{
    (void)state;
    static const struct {
        const char *symbol, *file;
    } rows[] = {
        {"holdfast.v1.ReservationService", "holdfast/v1/reservation.proto"},
        {"holdfast.v1.ReservationService.Commit", "holdfast/v1/reservation.proto"},
        {"holdfast.v1.Line", "holdfast/v1/common.proto"},
        {"holdfast.v1.Line.quantity", "holdfast/v1/common.proto"},
        {"holdfast.v1.StreamOperation.operation", "holdfast/v1/reservation.proto"},
        {"holdfast.v1.Outcome", "holdfast/v1/common.proto"},
        {"holdfast.v1.OUTCOME_DONE", "holdfast/v1/common.proto"},
        {"grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto"},
        {"grpc.health.v1.HealthCheckResponse.SERVING", "grpc/health/v1/health.proto"},
        {"grpc.reflection.v1.ServiceResponse", "grpc/reflection/v1/reflection.proto"},
        {"grpc.reflection.v1alpha.ServiceResponse", "grpc/reflection/v1alpha/reflection.proto"},
        {"holdfast.v1.Outcome.OUTCOME_DONE", NULL}, // values are named beside their enum
        {"holdfast.v1", NULL},
        {"holdfast.v1.", NULL},
        {"holdfast.v1.Lin", NULL},
        {"holdfast.v1.Line.", NULL},
        {"holdfast.v1.Line.quantity.more", NULL},
        {".holdfast.v1.Line", NULL},
        {"Line", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct descriptor_file by_symbol, by_name;
        bool found = descriptor_file_of(rows[i].symbol, &by_symbol);
        if (found != (rows[i].file != NULL))
            fail_msg("%s: found %d", rows[i].symbol, found);
        if (!found)
            continue;
        assert_true(descriptor_file_named(rows[i].file, &by_name));
        assert_ptr_equal(by_symbol.bytes, by_name.bytes);
        assert_int_equal(by_symbol.byte_count, by_name.byte_count);
    }
}

static void imports_are_found(void **state)
{
    (void)state;
    struct descriptor_file file, import, common;
    assert_true(descriptor_file_named("holdfast/v1/common.proto", &common));
    assert_true(descriptor_file_named("holdfast/v1/stock_admin.proto", &file));
    assert_true(descriptor_import(&file, 0, &import));
    assert_ptr_equal(import.bytes, common.bytes);
    assert_false(descriptor_import(&file, 1, &import));
    assert_false(descriptor_import(&common, 0, &import));
    assert_false(descriptor_file_named("holdfast/v1/common", &file));
    assert_false(descriptor_file_named("", &file));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods_tell_which_sides_stream),
        cmocka_unit_test(other_paths_are_no_methods),
        cmocka_unit_test(every_service_is_listed_once),
        cmocka_unit_test(symbols_lead_to_their_file),
        cmocka_unit_test(imports_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
