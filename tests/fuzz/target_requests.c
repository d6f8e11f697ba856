// Requests of every method through the whole handler, up to sixteen after each other.
//
//   byte 0: the world; then for each: byte 0: method; the rest as fuzz_service.h says
#include "fuzz/fuzz_service.h"

#include "service/service.h"
#include "base/prng.h"

#include <stdio.h>

#define STEPS_MAX 16

void fuzz_set_up(void)
{
    fuzz_service_set_up();
}

void fuzz_seeds(void)
{
    uint32_t count;
    (void)service_methods(&count);
    for (uint32_t m = 0; m < 3 * count; m++) {
        struct prng p = {m};
        uint8_t bytes[400];
        char name[32];
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)prng_next(&p);
        // A hold or an order first, then the method.
        bytes[0] = 0;
        bytes[1] = (uint8_t)(m % 2), bytes[2] = STEP_REPEAT;
        bytes[2 + 60] = (uint8_t)(m % count), bytes[3 + 60] = STEP_SETTLE;
        snprintf(name, sizeof name, "random-%02u", m);
        fuzz_seed(name, bytes, m < count ? 120 : sizeof bytes);
    }
}

void fuzz_one(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, data + bytes};
    struct fuzz_service *f = fuzz_service_open(&in);
    uint32_t count;
    const struct rpc_method *methods = service_methods(&count);
    for (int i = 0; i < STEPS_MAX && fuzz_left(&in) > 0; i++)
        fuzz_service_step(f, &methods[fuzz_byte(&in) % count], &in);
    fuzz_service_close(f);
}
