// A data folder that was restored or moved: Odoo may have more than it knows of.
//
//   SETTLING -> LEARNED -> not moved any more
//
// SETTLING: nothing is formed or read. Open batches are brought to their end under their names:
// what Odoo has booked is acknowledged, of the others the name is burned and the lines are parked
// as dead letters. After settle_ms, in which calls of the folder's former life may still commit,
// every document of this engine that the folder does not know is read: the lines that it has, by
// the LSNs of the records behind them.
//
// LEARNED: the new incarnation is in force. Movements up to moved_lsn that Odoo has are not posted
// again; their sales are acknowledged. What Odoo has of records that the folder has lost is taken
// out of on hand, or put there. Each such change is made once: its id is durable before.
#ifndef HOLDFAST_FLUSH_MOVED_H
#define HOLDFAST_FLUSH_MOVED_H

#include "base/status.h"
#include "base/uuid.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

enum flush_moved_phase { FLUSH_NOT_MOVED, FLUSH_SETTLING, FLUSH_LEARNED };

// A line that Odoo has. The layout is the file's.
struct flush_posted {
    uint32_t handle;
    uint8_t kind, zero;
    uint16_t day;
    uint64_t first_lsn, last_lsn;
};
static_assert(sizeof(struct flush_posted) == 24, "posted");

// A change of a cell that is to be made once. The layout is the file's.
struct flush_intent {
    struct hf_uuid op_id;
    uint32_t handle;
    uint32_t acknowledges; // 1: on hand and committed fall by `quantity`; 0: on hand changes by it
    int64_t quantity;
};
static_assert(sizeof(struct flush_intent) == 32, "intent");

// The records that the folder shares with documents of an incarnation.
struct flush_life {
    struct hf_uuid incarnation;
    uint64_t upto_lsn;
};
#define FLUSH_LIVES_MAX 8

struct flush_moved {
    // Durable:
    enum flush_moved_phase phase;
    struct hf_uuid fresh;                     // the incarnation from LEARNED on
    uint64_t moved_lsn;                       // the last record that the folder had
    struct flush_life lives[FLUSH_LIVES_MAX]; // moves that were interrupted by the next
    uint32_t life_count;
    uint64_t moved_ms;           // engine time
    uint64_t settled_lsn;        // acknowledgements up to it are of the former incarnation
    uint32_t foreign_upto;       // Odoo's id of the newest document that was learned
    struct flush_posted *posted; // by cell, kind, day and LSN
    uint32_t posted_count;
    struct flush_intent *intents;
    uint32_t intent_count;
    // Not durable:
    uint32_t intents_done;
    bool looked_up;       // this process has made the intents, or found out which were appended
    uint64_t applied_lsn; // they are all in the journal up to it; 0: not yet
};

#endif
