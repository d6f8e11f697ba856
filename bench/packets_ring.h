// A port over DPDK's rings whose other end is a neighbour in the same thread: it takes the answers
// out of one ring, counts them, makes new orders in the same buffers and puts those into the other.
#ifndef HOLDFAST_BENCH_PACKETS_RING_H
#define HOLDFAST_BENCH_PACKETS_RING_H

#include "base/status.h"
#include "feed.h"

struct packets_ring;

// EAL is started with the first one, without huge pages or root. What fails is printed.
enum hf_status packets_ring_create(struct feed *f, uint32_t outstanding, uint32_t burst,
                                   struct packets_ring **out) HF_CHECKED;
void packets_ring_destroy(struct packets_ring *r);
struct ingest_port *packets_ring_port(struct packets_ring *r);
struct feed_result packets_ring_result(const struct packets_ring *r);
// One burst of the least that can be done: receive, swap addresses, send. Returns frames.
uint32_t packets_ring_macswap(struct packets_ring *r);
// Frames a second of testpmd's macswap, in a process of its own, over a ring of the same kind, for
// about so long. 0: it is not installed, or did not say.
double packets_ring_testpmd(double seconds);

#endif
