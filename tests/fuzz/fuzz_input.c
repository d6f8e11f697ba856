#include "fuzz/fuzz.h"

#include "base/status.h"

#include <stdlib.h>

uint64_t fuzz_number(struct fuzz_input *in, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)fuzz_byte(in) << (8 * i);
    return value;
}

const uint8_t *fuzz_take(struct fuzz_input *in, size_t bytes, size_t *got)
{
    const uint8_t *at = in->at;
    *got = bytes < fuzz_left(in) ? bytes : fuzz_left(in);
    in->at += *got;
    return at;
}

char *fuzz_text(const void *data, size_t bytes)
{
    char *text = malloc(bytes + 1);
    HF_ASSERT(text);
    memcpy(text, data, bytes);
    text[bytes] = 0;
    return text;
}
