// CRC32C (Castagnoli, reflected, as in iSCSI), by the processor's instruction where there is one.
#ifndef HOLDFAST_BASE_CRC32C_H
#define HOLDFAST_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

// crc is 0 at first, or the result so far: crc32c(crc32c(0, a), b) == crc32c(0, ab).
// Any thread, wait-free. Three interleaved streams for long input.
uint32_t hf_crc32c(uint32_t crc, const void *data, size_t bytes);

#ifdef __SSE4_2__
#include <nmmintrin.h>
// Short records inline: bytes is a multiple of 8.
static inline uint32_t hf_crc32c_words(uint32_t crc, const void *data, size_t bytes)
{
    uint64_t c = (uint32_t)~crc;
    const unsigned char *p = data;
    for (; bytes >= 8; p += 8, bytes -= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        c = _mm_crc32_u64(c, w);
    }
    return ~(uint32_t)c;
}
// One step of the checksum from a register: state is ~crc, the result's complement the new crc.
static inline uint64_t hf_crc32c_step(uint64_t state, uint64_t word)
{
    return _mm_crc32_u64(state, word);
}
static inline uint64_t hf_crc32c_step_half(uint64_t state, uint32_t half)
{
    return _mm_crc32_u32((uint32_t)state, half);
}
#else
static inline uint64_t hf_crc32c_step(uint64_t state, uint64_t word)
{
    return (uint32_t)~hf_crc32c(~(uint32_t)state, &word, sizeof word);
}
static inline uint64_t hf_crc32c_step_half(uint64_t state, uint32_t half)
{
    return (uint32_t)~hf_crc32c(~(uint32_t)state, &half, sizeof half);
}
static inline uint32_t hf_crc32c_words(uint32_t crc, const void *data, size_t bytes)
{
    return hf_crc32c(crc, data, bytes);
}
#endif

#endif
