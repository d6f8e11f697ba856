// The packet path of a sender: operations as items of frames, answers as results.
//
// What packets don't have (extensions, partial releases, cancels, returns, reads of lines,
// adjustments, very wide orders) is not taken, and goes over gRPC. References are left out. The
// packet client asks again by itself; see packet_client/packet_client.h. One thread.
#ifndef HOLDFAST_LOADGEN_DOOR_H
#define HOLDFAST_LOADGEN_DOOR_H

#include "load/cells.h"
#include "load/link.h"
#include "load/op.h"
#include "load/wire.h"
#include "packet_client/packet_client.h"

struct door_options {
    const struct link_options *link; // where sessions come from; borrowed during door_create
    const struct cells *cells;       // borrowed
    const struct wire_options *wire; // borrowed; NULL: over the kernel's UDP
    uint32_t frame_items;
    uint32_t try_ms, again_ms; // see packet_client.h
    uint32_t give_up_ms;       // then it is `settled` as not known
    uint64_t seed;
    // op->result and op->tries are filled, but elsewhere: ask over gRPC, nothing is known.
    void (*settled)(void *ctx, struct op *op, bool known, bool elsewhere);
    void *ctx;
};

struct door;

// HF_INVALID: why says what; HF_NO_MEMORY.
enum hf_status door_create(const struct door_options *o, struct door **out,
                           char why[PACKET_CLIENT_WHY]) HF_CHECKED;
void door_destroy(struct door *d); // what is open is not settled
// Opens a session and closes it, so that a server that takes no packets is found before a run; and,
// with `kernel`, looks whether the kernel has a way to its door. Blocking, at most about `ms`.
enum packet_control_step door_check(const struct link_options *link, bool kernel, uint32_t ms,
                                    char why[PACKET_CLIENT_WHY]);

// Whether packets have this.
bool door_takes(const struct door *d, const struct op *op);
// False: as many are open as may be; try again later.
bool door_submit(struct door *d, struct op *op);
uint32_t door_open(const struct door *d);
// Waits until `until_ns` at most; 0: not at all.
void door_poll(struct door *d, uint64_t until_ns);
const struct packet_client_counts *door_counts(const struct door *d);

#endif
