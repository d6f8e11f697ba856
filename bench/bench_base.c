#include "base/crc32c.h"
#include "base/hash.h"
#include "harness.h"
#include "suites.h"

#include <stddef.h>

#define BUFFER_BYTES (64 * 1024)
#define BATCH        64

static unsigned char buffer[BUFFER_BYTES] __attribute__((aligned(64)));

static void fill(void)
{
    for (size_t i = 0; i < BUFFER_BYTES; i++)
        buffer[i] = (unsigned char)hf_mix64(i);
}

static void crc32c_any(struct bench_state *s)
{
    size_t bytes = (size_t)bench_arg(s);
    fill();
    while (bench_next(s, BATCH))
        for (int i = 0; i < BATCH; i++)
            bench_use(hf_crc32c(0, buffer, bytes));
    bench_bytes(s, bench_iterations(s) * bytes);
}

static void crc32c_words(struct bench_state *s)
{
    size_t bytes = (size_t)bench_arg(s);
    fill();
    while (bench_next(s, BATCH))
        for (int i = 0; i < BATCH; i++)
            bench_use(hf_crc32c_words(0, buffer, bytes));
    bench_bytes(s, bench_iterations(s) * bytes);
}

static void hash_any(struct bench_state *s)
{
    size_t bytes = (size_t)bench_arg(s);
    fill();
    while (bench_next(s, BATCH))
        for (uint64_t i = 0; i < BATCH; i++)
            bench_use(hf_hash(buffer, bytes, i));
    bench_bytes(s, bench_iterations(s) * bytes);
}

static void hash_uuid(struct bench_state *s)
{
    struct hf_uuid id = hf_uuid_v7(1, 2, 3);
    while (bench_next(s, BATCH))
        for (int i = 0; i < BATCH; i++) {
            id.lo++;
            bench_use(hf_hash_uuid(&id));
        }
    bench_items(s, bench_iterations(s));
}

void bench_base_register(void)
{
    static const int64_t crc_bytes[] = {64, 64 * 1024};
    static const int64_t record_bytes[] = {64};
    static const int64_t name_bytes[] = {16, 96};
    bench_register("base/crc32c", crc32c_any, &(struct bench_options){crc_bytes, 2, 1});
    bench_register("base/crc32c_words", crc32c_words, &(struct bench_options){record_bytes, 1, 1});
    bench_register("base/hash", hash_any, &(struct bench_options){name_bytes, 2, 1});
    bench_register("base/hash_uuid", hash_uuid, NULL);
}
