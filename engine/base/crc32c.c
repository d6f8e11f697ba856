// Long input runs as three independent streams of LANE bytes, because the crc32 instruction has a
// latency of three cycles and a throughput of one. The streams are joined by multiplying with
// x^(8*LANE) modulo the polynomial, done by a table of 4 x 256 made at first use of the library.
#include "base/crc32c.h"

#include <pthread.h>
#include <stdbool.h>

#define POLY 0x82f63b78u // reflected
#define LANE 1024

static uint32_t byte_table[256];
static uint32_t shift_table[4][256]; // multiply by x^(8*LANE)
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static uint32_t crc_bytes_soft(uint32_t c, const unsigned char *p, size_t n)
{
    while (n--)
        c = byte_table[(c ^ *p++) & 0xff] ^ (c >> 8);
    return c;
}

static void tables_init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = (c & 1) ? (c >> 1) ^ POLY : c >> 1;
        byte_table[i] = c;
    }
    static const unsigned char zeros[LANE];
    uint32_t basis[32]; // image of each single bit after LANE zero bytes
    for (int bit = 0; bit < 32; bit++)
        basis[bit] = crc_bytes_soft(1u << bit, zeros, LANE);
    for (int b = 0; b < 4; b++)
        for (uint32_t v = 0; v < 256; v++) {
            uint32_t sum = 0;
            for (int bit = 0; bit < 8; bit++)
                if (v & (1u << bit))
                    sum ^= basis[8 * b + bit];
            shift_table[b][v] = sum;
        }
}

static uint32_t shift_lane(uint32_t c)
{
    return shift_table[0][c & 0xff] ^ shift_table[1][(c >> 8) & 0xff] ^
           shift_table[2][(c >> 16) & 0xff] ^ shift_table[3][c >> 24];
}

#if defined(__SSE4_2__)
static inline uint64_t step8(uint64_t c, const unsigned char *p)
{
    uint64_t w;
    memcpy(&w, p, 8);
    return _mm_crc32_u64(c, w);
}
static inline uint32_t step1(uint32_t c, unsigned char b)
{
    return _mm_crc32_u8(c, b);
}
#define HAVE_STEP 1
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
static inline uint64_t step8(uint64_t c, const unsigned char *p)
{
    uint64_t w;
    memcpy(&w, p, 8);
    return __crc32cd((uint32_t)c, w);
}
static inline uint32_t step1(uint32_t c, unsigned char b)
{
    return __crc32cb(c, b);
}
#define HAVE_STEP 1
#endif

uint32_t hf_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    pthread_once(&tables_once, tables_init);
    const unsigned char *p = data;
    uint64_t c = (uint32_t)~crc;
#ifdef HAVE_STEP
    while (bytes >= 3 * LANE) {
        uint64_t a = c, b = 0, d = 0;
        for (size_t i = 0; i < LANE; i += 8) {
            a = step8(a, p + i);
            b = step8(b, p + LANE + i);
            d = step8(d, p + 2 * LANE + i);
        }
        c = shift_lane(shift_lane((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)d;
        p += 3 * LANE;
        bytes -= 3 * LANE;
    }
    for (; bytes >= 8; p += 8, bytes -= 8)
        c = step8(c, p);
    for (; bytes; p++, bytes--)
        c = step1((uint32_t)c, *p);
#else
    c = crc_bytes_soft((uint32_t)c, p, bytes);
#endif
    return ~(uint32_t)c;
}
