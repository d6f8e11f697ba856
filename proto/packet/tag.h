// The tag of a frame: SipHash-2-4 (libsodium) under the session's key, over the header without its
// tag and over the items. Whoever has no key can neither make one nor change a bit under it; no
// nonce that could be used twice by mistake. docs/adr/0020 tells what else was measured.
#ifndef HOLDFAST_PACKET_TAG_H
#define HOLDFAST_PACKET_TAG_H

#include "packet/packet.h"

#include <sodium/crypto_shorthash.h>

static_assert(crypto_shorthash_KEYBYTES == PACKET_KEY_BYTES, "the key's size is the algorithm's");
static_assert(crypto_shorthash_BYTES == 8, "the tag's size is the algorithm's");

// The tag as it stands in the frame, `bytes` >= PACKET_HEADER_BYTES long, whose tag is 0 during
// the call and afterwards.
static inline uint64_t packet_tag_make(uint8_t *frame, size_t bytes,
                                       const uint8_t key[PACKET_KEY_BYTES])
{
    uint64_t tag = 0;
    memcpy(frame + offsetof(struct packet_header, tag), &tag, sizeof tag);
    crypto_shorthash((unsigned char *)&tag, frame, bytes, key);
    return tag;
}

static inline void packet_seal(uint8_t *frame, size_t bytes, const uint8_t key[PACKET_KEY_BYTES])
{
    uint64_t tag = packet_tag_make(frame, bytes, key);
    memcpy(frame + offsetof(struct packet_header, tag), &tag, sizeof tag);
}

// Is the tag right? It stands in the frame as before.
static inline bool packet_open(uint8_t *frame, size_t bytes, const uint8_t key[PACKET_KEY_BYTES])
{
    uint64_t told, tag;
    memcpy(&told, frame + offsetof(struct packet_header, tag), sizeof told);
    tag = packet_tag_make(frame, bytes, key);
    memcpy(frame + offsetof(struct packet_header, tag), &told, sizeof told);
    return tag == told; // one comparison of a register: no time tells how much of it was right
}

#endif
