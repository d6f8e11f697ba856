// The network between shops and the packet door: loses, copies, delays, reorders and damages, and
// somebody on it sends again what was recorded.
#include "sim/sim_packets.h"

#include <stdlib.h>
#include <string.h>

static uint8_t *copy_of(const uint8_t *bytes, uint32_t count)
{
    uint8_t *copy = malloc(count ? count : 1);
    HF_ASSERT(copy);
    memcpy(copy, bytes, count);
    return copy;
}

static void record(struct sim *s, const uint8_t *bytes, uint32_t count, uint32_t queue)
{
    struct sim_packets *k = s->packets;
    struct wire_frame *r = &k->recorded[k->recorded_count++ % WIRE_RECORDED];
    free(r->bytes);
    *r = (struct wire_frame){copy_of(bytes, count), count, false, queue};
}

void wire_put(struct sim *s, const uint8_t *bytes, uint32_t count, bool to_shop, uint32_t queue)
{
    struct sim_packets *k = s->packets;
    if (!to_shop)
        record(s, bytes, count, queue);
    uint32_t copies = 1;
    if (!s->calm)
        copies = prng_chance(&k->prng, k->lose_in_100, 100)   ? 0
                 : prng_chance(&k->prng, k->copy_in_100, 100) ? 2
                                                              : 1;
    for (; copies > 0 && k->wire_count < WIRE_MAX; copies--)
        k->wire[k->wire_count++] =
            (struct wire_frame){copy_of(bytes, count), count, to_shop, queue};
}

// Bits flip, the end is missing, or something follows. Without a tag nothing but the network's own
// checksum would see it, so frames of such sessions stay whole.
static void damage(struct sim *s, struct wire_frame *f)
{
    struct prng *p = &s->packets->prng;
    s->stats.packet_damaged++;
    switch (prng_below(p, 4)) {
    case 0:
        f->count = (uint32_t)prng_below(p, f->count + 1);
        break;
    case 1: {
        uint32_t more = (uint32_t)prng_between(p, 1, 40);
        f->bytes = realloc(f->bytes, f->count + more);
        HF_ASSERT(f->bytes);
        memset(f->bytes + f->count, 0x5a, more);
        f->count += more;
        break;
    }
    case 2: // in its header
        f->bytes[prng_below(p, PACKET_HEADER_BYTES)] ^= (uint8_t)(1u << prng_below(p, 8));
        break;
    default:
        for (uint64_t n = prng_between(p, 1, 5); n > 0; n--)
            f->bytes[prng_below(p, f->count)] ^= (uint8_t)(1u << prng_below(p, 8));
    }
}

static bool tagged(const struct wire_frame *f)
{
    struct packet_header h;
    memcpy(&h, f->bytes, sizeof h);
    return h.tag != 0;
}

static bool deliver(struct sim *s, struct wire_frame f)
{
    struct sim_packets *k = s->packets;
    bool fine = true;
    if (f.to_shop) {
        fine = shop_receive(s, f.bytes, f.count);
    } else {
        if (!s->calm && prng_chance(&k->prng, k->damage_in_100, 100) && tagged(&f))
            damage(s, &f);
        port_put(&k->ports[f.queue], f.bytes, f.count);
    }
    free(f.bytes);
    return fine;
}

bool wire_move(struct sim *s, uint32_t count)
{
    struct sim_packets *k = s->packets;
    if (!s->calm && k->recorded_count && prng_chance(&k->prng, k->replay_in_100, 100)) {
        uint64_t have = k->recorded_count < WIRE_RECORDED ? k->recorded_count : WIRE_RECORDED;
        const struct wire_frame *r = &k->recorded[prng_below(&k->prng, have)];
        s->stats.packet_replayed++;
        port_put(&k->ports[r->queue], r->bytes, r->count);
    }
    for (; count > 0 && k->wire_count > 0; count--) {
        uint32_t at = 0;
        if (!s->calm && prng_chance(&k->prng, k->late_in_100, 100))
            at = (uint32_t)prng_below(&k->prng, k->wire_count);
        struct wire_frame f = k->wire[at];
        k->wire_count--;
        memmove(&k->wire[at], &k->wire[at + 1], (k->wire_count - at) * sizeof f);
        if (!deliver(s, f))
            return false;
    }
    return true;
}
