// Short histories of a whole engine, and their judge: is there an order, within what real time
// allows, in which a plain ledger would have given the same answers and the same end?
#ifndef HOLDFAST_TESTS_EXPLORE_CORE_HISTORY_H
#define HOLDFAST_TESTS_EXPLORE_CORE_HISTORY_H

#include "core/core.h"

#include <stdbool.h>
#include <stdint.h>

#define HISTORY_CELLS  3
#define HISTORY_IDS    6
#define HISTORY_OPS    4  // operation ids
#define HISTORY_CALLS  16 // of core_execute and of the timers' step
#define HISTORY_BATCH  4
#define HISTORY_ASKS   14
#define HISTORY_BODIES 2 // a body, and another one under the same id

struct history_ask {
    enum core_verb verb;
    uint32_t id, body; // body: of RESERVE and ORDER. CANCEL asks for the first line of body 0
    uint32_t op;       // EXTEND, CANCEL
    bool retake;       // COMMIT
    uint32_t call;
    struct core_answer answer;
};

struct history_call {
    uint32_t fiber;
    bool timers;
    uint64_t from, to, now_ms;
    uint32_t first, count; // asks
};

struct history_id {
    struct hf_uuid id;
    struct core_line lines[HISTORY_BODIES][HISTORY_CELLS];
    uint32_t line_count[HISTORY_BODIES];
    uint32_t ttl_ms; // of RESERVE
};

// What the ledger knows of an id.
enum ledger_state {
    LEDGER_NONE,
    LEDGER_HELD,
    LEDGER_COMMITTED,
    LEDGER_RELEASED,
    LEDGER_EXPIRED,
    LEDGER_REJECTED,
    LEDGER_FORGOTTEN,
};
struct ledger_id {
    enum ledger_state state;
    enum core_verb verb;
    uint32_t body;
    uint32_t version;
    uint64_t deadline_ms, ended_ms;
    uint64_t lsn; // of its newest decision; 0: nobody told
    int64_t cancelled;
};
struct ledger {
    int64_t have[HISTORY_CELLS];
    struct ledger_id ids[HISTORY_IDS];
    uint32_t ops[HISTORY_OPS]; // what it did: id << 8 | verb; 0: nothing yet
};

struct history {
    struct history_id ids[HISTORY_IDS];
    struct hf_uuid ops[HISTORY_OPS];
    struct history_call calls[HISTORY_CALLS];
    struct history_ask asks[HISTORY_ASKS];
    uint32_t id_count, call_count, ask_count;
    uint32_t window_ms, skew_ms, extend_ms;
    struct ledger start, end; // end: have, and the states as they were read
    uint64_t end_ms;          // when they were read
};

// False: no order explains it; it has been printed.
bool history_judge(const struct history *h);

#endif
