// Protobuf's wire format: cursors to read a message by hand, and a look at one before it is
// unpacked, for what protobuf-c does not check. All of it any thread, wait-free.
#ifndef HOLDFAST_API_WIRE_H
#define HOLDFAST_API_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_DEPTH_MAX 8

// ------------------------------------------------------------------------------- reading

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

// What is left of a message. Never read beyond `end`.
struct wire_cursor {
    const unsigned char *at, *end;
};

// One field as it stands in the message.
struct wire_item {
    uint32_t number;
    unsigned type;           // WIRE_
    uint64_t value;          // of numbers, as the bits stand there
    struct wire_cursor body; // of WIRE_BYTES
};

bool wire_varint_slow(struct wire_cursor *c, uint64_t *out);
// False: not a varint of at most ten bytes. What does not fit 64 bits is cut off, as protobuf does.
static inline bool wire_varint(struct wire_cursor *c, uint64_t *out)
{
    if (c->at < c->end && *c->at < 0x80) {
        *out = *c->at++;
        return true;
    }
    return wire_varint_slow(c, out);
}

// False, with *c and *out at no good place: what is left does not begin with a field.
bool wire_fixed(struct wire_cursor *c, struct wire_item *out);
static inline bool wire_next(struct wire_cursor *c, struct wire_item *out)
{
    uint64_t key, bytes;
    if (!wire_varint(c, &key) || key >> 32 != 0 || key >> 3 == 0)
        return false;
    out->number = (uint32_t)(key >> 3);
    out->type = key & 7;
    if (out->type == WIRE_VARINT)
        return wire_varint(c, &out->value);
    if (out->type != WIRE_BYTES)
        return wire_fixed(c, out);
    if (!wire_varint(c, &bytes) || bytes > (uint64_t)(c->end - c->at))
        return false;
    out->body.at = c->at;
    c->at += bytes;
    out->body.end = c->at;
    return true;
}

// ------------------------------------------------------------------------------- writing
// Into memory with room for it; fields 1 to 15. Each returns where the next byte goes.

#define WIRE_VARINT_BYTES_MAX 10
static inline unsigned char *wire_put_varint(unsigned char *p, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *p++ = (unsigned char)(value | 0x80);
    *p++ = (unsigned char)value;
    return p;
}

// A number, left out when it is 0, as proto3 does.
static inline unsigned char *wire_put_number(unsigned char *p, unsigned field, uint64_t value)
{
    if (value == 0)
        return p;
    *p++ = (unsigned char)(field << 3 | WIRE_VARINT);
    return wire_put_varint(p, value);
}

// A message begins: returns where its body does, after one byte for its length. When the body is
// there, wire_put_end says how long it is, and moves it away where that takes more than the byte.
#define WIRE_LENGTH_BYTES_MAX 6 // a key and a length of 32 bits
static inline unsigned char *wire_put_begin(unsigned char *p, unsigned field)
{
    p[0] = (unsigned char)(field << 3 | WIRE_BYTES);
    return p + 2;
}
unsigned char *wire_put_long_end(unsigned char *body, unsigned char *end);
static inline unsigned char *wire_put_end(unsigned char *body, unsigned char *end)
{
    if (end - body >= 0x80)
        return wire_put_long_end(body, end);
    body[-1] = (unsigned char)(end - body);
    return end;
}

// ------------------------------------------------------------------------------- looking

// True when `bytes` is a well-formed message of this type, nested no deeper than WIRE_DEPTH_MAX,
// and every string of a known field is valid UTF-8 without NUL. Else *why is one sentence, static,
// and `field` the path of the field, empty when the message itself is broken.
bool wire_check(const ProtobufCMessageDescriptor *d, const unsigned char *bytes, size_t count,
                char *field, size_t field_bytes, const char **why);

// UTF-8 without NUL, overlong forms or surrogates.
bool wire_utf8(const unsigned char *text, size_t bytes);

#endif
