// ReserveStream: batches of operations on one stream, or several streams after each other.
//
//   byte 0: the world; then for each message as fuzz_service.h says
#include "fuzz/fuzz_service.h"

#include "base/status.h"
#include "service/service.h"
#include "base/prng.h"

#include <stdio.h>

#define MESSAGES_MAX 12
#define PATH         "/holdfast.v1.ReservationService/ReserveStream"

static const struct rpc_method *stream_method;

void fuzz_set_up(void)
{
    uint32_t count;
    const struct rpc_method *m = service_methods(&count);
    fuzz_service_set_up();
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(m[i].path, PATH) == 0)
            stream_method = &m[i];
    HF_ASSERT(stream_method);
}

void fuzz_seeds(void)
{
    for (uint32_t n = 0; n < 48; n++) {
        struct prng p = {n + 1000};
        uint8_t bytes[600];
        char name[32];
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)prng_next(&p);
        bytes[0] = 0;
        bytes[1] = n % 2 ? STEP_SETTLE : 0;
        bytes[2] = n % 3 ? 0x1f : 0xff; // four operations, or too many
        snprintf(name, sizeof name, "random-%02u", n);
        fuzz_seed(name, bytes, 80 + n * 10);
    }
}

void fuzz_one(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, data + bytes};
    struct fuzz_service *f = fuzz_service_open(&in);
    for (int i = 0; i < MESSAGES_MAX && fuzz_left(&in) > 0; i++)
        fuzz_service_step(f, stream_method, &in);
    fuzz_service_close(f);
}
