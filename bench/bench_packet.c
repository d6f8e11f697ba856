// The packet format: tags and the checks of a frame.
#include "feed.h"
#include "harness.h"
#include "suites.h"

#include "packet/tag.h"

#include <stddef.h>

#define BATCH 64

static uint8_t frame[PACKET_BYTES_MAX];

static void tag(struct bench_state *s)
{
    const uint8_t key[PACKET_KEY_BYTES] = {1, 2, 3};
    size_t bytes = (size_t)bench_arg(s);
    while (bench_next(s, BATCH))
        for (int i = 0; i < BATCH; i++) {
            frame[8] = (uint8_t)i;
            bench_use(packet_tag_make(frame, bytes, key));
        }
    bench_bytes(s, bench_iterations(s) * bytes);
}

static void read_frame(struct bench_state *s)
{
    struct feed f;
    struct packet_header h;
    feed_init(&f,
              &(struct feed_options){.items = (uint32_t)bench_arg(s), .cells = 1, .session = 1});
    feed_make(&f, frame);
    while (bench_next(s, BATCH))
        for (int i = 0; i < BATCH; i++) {
            frame[24] = (uint8_t)i;
            bench_use(packet_read(frame, f.bytes, PACKET_REQUEST, &h));
        }
    bench_items(s, bench_iterations(s) * f.options.items);
}

void bench_packet_register(void)
{
    static const int64_t bytes[] = {72, 296, 1424};
    static const int64_t items[] = {1, 8, 32};
    bench_register("packet/tag", tag, &(struct bench_options){bytes, 3, 1});
    bench_register("packet/read", read_frame, &(struct bench_options){items, 3, 1});
}
