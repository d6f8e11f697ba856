// Odoo in this process: http_ops over the stand-in of loadgen/sandbox, with the network's tricks.
//
// Deterministic. A power loss of the fake disk takes the caller with it: nothing is sent any more.
#ifndef HOLDFAST_TESTS_SIM_FAKE_ODOO_H
#define HOLDFAST_TESTS_SIM_FAKE_ODOO_H

#include "sandbox/sandbox.h"
#include "sim/fake_clock.h"
#include "sim/fake_storage.h"
#include "sys/http.h"

struct fake_odoo {
    struct http base; // hand out &fake.base
    struct sandbox *sandbox;
    struct fake_storage *disk; // NULL: none
    struct fake_clock *clock;
    uint64_t calls; // all calls that were sent
    bool away;      // nothing is sent: HTTP_NOT_SENT
    // At this call (counted in `calls`, from 1; 0: never) power fails, before or after it is done.
    uint64_t crash_at;
    bool crash_after;
    // This call gets no answer, and the server does it only after `late_by` further calls.
    uint64_t late_at;
    uint32_t late_by;
    bool late_waits;
    uint64_t late_due;
    char late_path[256], *late_body;
    char key[64], database[64]; // as last sent
    char last_body[4096];       // of the last call, cut
};

// Borrows the sandbox, the disk and the clock.
void fake_odoo_init(struct fake_odoo *o, struct sandbox *s, struct fake_storage *disk,
                    struct fake_clock *clock);
void fake_odoo_fini(struct fake_odoo *o);
// What is still late is done now.
void fake_odoo_settle(struct fake_odoo *o);

#endif
