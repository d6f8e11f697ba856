// Text of eight characters is handled at once in a 64-bit word, the first character in the lowest
// byte, whatever the machine's order.
#include "base/uuid.h"

#include <string.h>

#define EACH(byte) ((uint64_t)(byte)*UINT64_C(0x0101010101010101))

static const unsigned char dashes[4] = {8, 13, 18, 23};

static uint64_t load(const char *from, unsigned bytes)
{
    uint64_t word = 0;
    memcpy(&word, from, bytes);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static void store(char *to, uint64_t word, unsigned bytes)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    memcpy(to, &word, bytes);
}

// Nibbles, one a byte, to lower-case digits: '0' and, from 10 on, 39 more.
static uint64_t digits(uint64_t nibbles)
{
    uint64_t letter = ((nibbles + EACH(6)) >> 4) & EACH(1);
    return nibbles + EACH('0') + letter * 39;
}

static uint64_t spread(uint32_t value)
{
    uint64_t n = value;
    n = (n | n << 16) & UINT64_C(0x0000ffff0000ffff);
    n = (n | n << 8) & UINT64_C(0x00ff00ff00ff00ff);
    n = (n | n << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return __builtin_bswap64(n); // the highest nibble comes first
}

// Eight digits to their value. *wrong gets a bit that is not 0 when one is no digit: then it is not
// what its own nibble would be written as, or that nibble is above 15.
static uint32_t value_of(uint64_t text, uint64_t *wrong)
{
    uint64_t letter = (text >> 6) & EACH(1);
    uint64_t nibbles = (text & EACH(0x0f)) + letter * 9;
    *wrong |= (digits(nibbles) ^ (text | letter << 5)) | (nibbles & EACH(0xf0));
    uint64_t n = __builtin_bswap64(nibbles);
    n = (n | n >> 4) & UINT64_C(0x00ff00ff00ff00ff);
    n = (n | n >> 8) & UINT64_C(0x0000ffff0000ffff);
    return (uint32_t)(n | n >> 16);
}

void hf_uuid_format(struct hf_uuid id, char text[HF_UUID_TEXT_BYTES])
{
    uint64_t a = digits(spread((uint32_t)(id.hi >> 32))), b = digits(spread((uint32_t)id.hi));
    uint64_t c = digits(spread((uint32_t)(id.lo >> 32))), d = digits(spread((uint32_t)id.lo));
    store(text, a, 8);
    store(text + 9, b, 4);
    store(text + 14, b >> 32, 4);
    store(text + 19, c, 4);
    store(text + 24, c >> 32, 4);
    store(text + 28, d, 8);
    for (unsigned i = 0; i < sizeof dashes; i++)
        text[dashes[i]] = '-';
    text[36] = '\0';
}

bool hf_uuid_parse(const char *text, struct hf_uuid *id)
{
    return strnlen(text, HF_UUID_TEXT_BYTES) == HF_UUID_CHARACTERS && hf_uuid_parse_bytes(text, id);
}

bool hf_uuid_parse_bytes(const char text[HF_UUID_CHARACTERS], struct hf_uuid *id)
{
    uint64_t wrong = 0;
    for (unsigned i = 0; i < sizeof dashes; i++)
        wrong |= (uint64_t)(text[dashes[i]] ^ '-');
    uint64_t a = value_of(load(text, 8), &wrong);
    uint64_t b = value_of(load(text + 9, 4) | load(text + 14, 4) << 32, &wrong);
    uint64_t c = value_of(load(text + 19, 4) | load(text + 24, 4) << 32, &wrong);
    uint64_t d = value_of(load(text + 28, 8), &wrong);
    if (wrong)
        return false;
    id->hi = a << 32 | b;
    id->lo = c << 32 | d;
    return true;
}
