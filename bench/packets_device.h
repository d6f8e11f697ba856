// Ports of DPDK whose frames never end, in one thread with the queue.
//
// A ring's other end is a neighbour: it takes the answers out of one ring, counts them, makes new
// orders in the same buffers and puts those into the other. A capture is read again and again by
// its driver, which copies one frame into buffers of its own; what is sent is let go. Such frames
// are all the same, so each gets its sequence, ids and handles when it is received, in the burst
// itself: whoever receives, the loop or macswap, pays for that.
#ifndef HOLDFAST_BENCH_PACKETS_DEVICE_H
#define HOLDFAST_BENCH_PACKETS_DEVICE_H

#include "base/status.h"
#include "feed.h"

enum packets_kind { PACKETS_RING, PACKETS_CAPTURE };

struct packets_device;

// EAL is started with the first one, without huge pages or root. What fails is printed.
enum hf_status packets_device_create(enum packets_kind kind, struct feed *f, uint32_t outstanding,
                                     uint32_t burst, struct packets_device **out) HF_CHECKED;
void packets_device_destroy(struct packets_device *r);
struct ingest_port *packets_device_port(struct packets_device *r);
struct feed_result packets_device_result(const struct packets_device *r);
// One burst of the least that can be done: receive, swap addresses, send. Returns frames.
uint32_t packets_device_macswap(struct packets_device *r);
// Frames a second of testpmd's macswap, in a process of its own, over a device of the same kind,
// for about so long; its captures' frames stay as they are. 0: it is not installed, or did not say.
double packets_device_testpmd(const struct packets_device *r, double seconds);

#endif
