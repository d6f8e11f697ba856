#include "rpc/wire.h"

#include <stdio.h>
#include <string.h>

bool wire_varint_slow(struct wire_cursor *c, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70 && c->at < c->end; shift += 7) {
        unsigned char b = *c->at++;
        value |= shift < 64 ? (uint64_t)(b & 0x7f) << shift : 0;
        if (!(b & 0x80)) {
            *out = value;
            return true;
        }
    }
    return false;
}

bool wire_fixed(struct wire_cursor *c, struct wire_item *out)
{
    if (out->type != WIRE_FIXED64 && out->type != WIRE_FIXED32)
        return false; // groups are not in proto3
    size_t bytes = out->type == WIRE_FIXED64 ? 8 : 4;
    if ((size_t)(c->end - c->at) < bytes)
        return false;
    out->value = 0;
    for (size_t i = 0; i < bytes; i++)
        out->value |= (uint64_t)c->at[i] << 8 * i;
    c->at += bytes;
    return true;
}

unsigned char *wire_put_long_end(unsigned char *body, unsigned char *end)
{
    unsigned char length[WIRE_VARINT_BYTES_MAX];
    size_t bytes = (size_t)(end - body);
    size_t width = (size_t)(wire_put_varint(length, bytes) - length);
    memmove(body + width - 1, body, bytes);
    memcpy(body - 1, length, width);
    return end + width - 1;
}

// The sequences of Unicode's table 3-7; ASCII eight bytes at a time.
bool wire_utf8(const unsigned char *p, size_t bytes)
{
    const unsigned char *end = p + bytes;
    while (p < end) {
        uint64_t word;
        while (end - p >= 8) {
            memcpy(&word, p, 8);
            // No high bit, and no zero byte.
            if ((word | (word - UINT64_C(0x0101010101010101))) & UINT64_C(0x8080808080808080))
                break;
            p += 8;
        }
        if (p == end)
            return true;
        unsigned char b = *p;
        size_t more = b < 0x80 ? 0 : b < 0xe0 ? 1 : b < 0xf0 ? 2 : 3;
        if (b == 0 || (b >= 0x80 && b < 0xc2) || b > 0xf4 || (size_t)(end - p) <= more)
            return false;
        for (size_t i = 1; i <= more; i++)
            if ((p[i] & 0xc0) != 0x80)
                return false;
        if ((b == 0xe0 && p[1] < 0xa0) || (b == 0xed && p[1] > 0x9f) ||
            (b == 0xf0 && p[1] < 0x90) || (b == 0xf4 && p[1] > 0x8f))
            return false;
        p += more + 1;
    }
    return true;
}

// Which occurrence of a repeated field begins at `at`.
static unsigned occurrence(struct wire_cursor all, uint32_t number, const unsigned char *at)
{
    struct wire_item item;
    unsigned count = 0;
    while (all.at < at && wire_next(&all, &item))
        if (item.number == number && (item.type != WIRE_BYTES || item.body.at < at))
            count++;
    return count ? count - 1 : 0;
}

struct check {
    char *field;
    size_t room;
    const char *why;
};

// Puts a step in front of the path.
static void path_step(struct check *k, const ProtobufCFieldDescriptor *f, unsigned index)
{
    char step[80], rest[160];
    snprintf(rest, sizeof rest, "%s", k->field);
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        snprintf(step, sizeof step, "%s[%u]", f->name, index);
    else
        snprintf(step, sizeof step, "%s", f->name);
    snprintf(k->field, k->room, "%s%s%s", step, rest[0] ? "." : "", rest);
}

static bool check(struct check *k, const ProtobufCMessageDescriptor *d, struct wire_cursor all,
                  unsigned depth)
{
    struct wire_item item;
    for (struct wire_cursor c = all; c.at < c.end;) {
        if (!wire_next(&c, &item)) {
            k->why = "the message is not well-formed";
            return false;
        }
        const ProtobufCFieldDescriptor *f =
            item.type == WIRE_BYTES ? protobuf_c_message_descriptor_get_field(d, item.number)
                                    : NULL;
        bool good = true;
        if (f && f->type == PROTOBUF_C_TYPE_STRING) {
            good = wire_utf8(item.body.at, (size_t)(item.body.end - item.body.at));
            k->why = good ? k->why : "not valid UTF-8, or with a NUL in it";
        } else if (f && f->type == PROTOBUF_C_TYPE_MESSAGE && depth == WIRE_DEPTH_MAX) {
            good = false;
            k->why = "nested too deep";
        } else if (f && f->type == PROTOBUF_C_TYPE_MESSAGE) {
            good = check(k, f->descriptor, item.body, depth + 1);
        }
        if (!good) {
            path_step(k, f, occurrence(all, item.number, item.body.at + 1));
            return false;
        }
    }
    return true;
}

bool wire_check(const ProtobufCMessageDescriptor *d, const unsigned char *bytes, size_t count,
                char *field, size_t field_bytes, const char **why)
{
    struct check k = {field, field_bytes, NULL};
    field[0] = 0;
    *why = NULL;
    if (count == 0) // `bytes` may be NULL, which no offset may be added to
        return true;
    bool good = check(&k, d, (struct wire_cursor){bytes, bytes + count}, 0);
    *why = k.why;
    return good;
}
