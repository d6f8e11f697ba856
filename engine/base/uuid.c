#include "base/uuid.h"

static const char hex[] = "0123456789abcdef";

void hf_uuid_format(struct hf_uuid id, char text[HF_UUID_TEXT_BYTES])
{
    int at = 0;
    for (int nibble = 0; nibble < 32; nibble++) {
        uint64_t half = nibble < 16 ? id.hi : id.lo;
        if (nibble == 8 || nibble == 12 || nibble == 16 || nibble == 20)
            text[at++] = '-';
        text[at++] = hex[(half >> (60 - 4 * (nibble & 15))) & 0xf];
    }
    text[at] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hf_uuid_parse(const char *text, struct hf_uuid *id)
{
    uint64_t half[2] = {0, 0};
    int nibble = 0;
    for (int at = 0; at < 36; at++) {
        if (at == 8 || at == 13 || at == 18 || at == 23) {
            if (text[at] != '-')
                return false;
            continue;
        }
        int v = hex_value(text[at]);
        if (v < 0)
            return false;
        half[nibble / 16] = (half[nibble / 16] << 4) | (uint64_t)v;
        nibble++;
    }
    if (text[36] != '\0')
        return false;
    id->hi = half[0];
    id->lo = half[1];
    return true;
}
