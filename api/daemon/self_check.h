// Whether the daemon's own listener answers: asked from outside, as a client would.
//
// A connection that is accepted proves nothing, as the kernel accepts on its own. So the check
// waits for the listener's first word: the server's SETTINGS frame, or, under TLS, the handshake.
// Of a unix: address also the file has to be the same as at the start: what another process has put
// in its place is not the daemon's listener, however well it answers.
// It does so from a thread of its own, and has its end told after a number of checks in a row
// failed; the process is then of no use to anybody and better ends.
#ifndef HOLDFAST_API_SELF_CHECK_H
#define HOLDFAST_API_SELF_CHECK_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct self_check;

struct self_check_options {
    const char *address; // as listened on; 0.0.0.0 and [::] are asked at loopback. Borrowed during
                         // self_check_create
    uint16_t port;       // as bound; 0 for unix:
    bool tls;
    uint32_t interval_ms;  // between checks, >= 1
    uint32_t answer_ms;    // an answer may take so long
    uint32_t failures_max; // in a row
    // NULL, or how many connections the listener has refused so far: while it refuses, it lives. In
    // the check's thread.
    uint64_t (*refused)(void);
    // In the check's thread, once; `why` is of the last one. The thread ends after it.
    void (*on_deaf)(void *ctx, const char *why);
    void *ctx;
};

// Starts the thread. HF_INVALID: no such address; HF_NO_MEMORY. Set-up.
enum hf_status self_check_create(const struct self_check_options *o,
                                 struct self_check **out) HF_CHECKED;
void self_check_destroy(struct self_check *c); // waits for a check under way: answer_ms, twice

#endif
