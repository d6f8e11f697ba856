// Holds every answer of the engine against the oracle.
//
// Decisions that took effect are kept as events by LSN. What a crash undid is not guessed: the
// recovery says up to which LSN the journal survived, that must be no less than was ever seen
// durable and no more than was given out, and the oracle is rebuilt from exactly that prefix; then
// every cell and every reservation must agree with it. Within a batch the requests are concurrent:
// what took effect is applied in LSN order and must fit there; a refusal must be explained by some
// order of the batch.
//
// The first violation is kept as text; every function answers false from then on.
#ifndef HOLDFAST_TESTS_MODEL_AUDITOR_H
#define HOLDFAST_TESTS_MODEL_AUDITOR_H

#include "model/oracle.h"

struct auditor_counts {
    uint64_t answers[CORE_VERB_COUNT][CORE_OUTCOME_COUNT];
    uint64_t repeats[CORE_VERB_COUNT];
    uint64_t events[ORACLE_EVENT_KINDS];
    uint64_t cells_checked, reservations_checked, undone, restarts, expiries_found;
};

struct auditor {
    struct oracle oracle;
    struct oracle_times times;
    struct oracle_event *events; // in LSN order
    uint32_t event_count, event_room;
    uint32_t batch_first; // events from here on are not applied to the cells yet
    uint64_t durable;     // highest durable LSN that was seen
    uint64_t durable_before; // the same before the last group
    uint64_t last_lsn;    // highest LSN that was seen in an answer
    uint64_t expired;     // the engine's own count, when last looked
    uint64_t grace_ms;
    bool archive;      // what has left the journal can be recalled
    bool durable_mode; // answers wait for the disk
    bool trace;        // print every event
    uint64_t hash;     // running, over all answers
    __int128 *up, *down; // per cell: what the batch gave back and took
    uint32_t up_room;
    struct auditor_counts counts;
    char violation[600]; // empty: none
};

void auditor_init(struct auditor *a, const struct core_options *o);
void auditor_fini(struct auditor *a);
// Keeps the first; printf-like. Returns false.
bool auditor_violate(struct auditor *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Reads floor, window and durability; to be called around everything else.
bool auditor_look(struct auditor *a, struct core *c, uint64_t now_ms);
// Holds that the engine ended by itself: to be called after steps and readings that may do so.
bool auditor_expiries(struct auditor *a, struct core *c, struct core_worker *w, uint64_t now_ms);
// Sorts what is new by LSN and applies it to the cells; after auditor_expiries.
bool auditor_settle(struct auditor *a);
// After core_execute; line_answers are given wherever lines are.
bool auditor_batch(struct auditor *a, struct core *c, struct core_worker *w, uint64_t now_ms,
                   const struct core_request *requests, const struct core_answer *answers,
                   uint32_t count);

bool auditor_cell_made(struct auditor *a, uint64_t now_ms, const char *sku, const char *location,
                       uint8_t scale, const struct core_admin_answer *out);
bool auditor_channel_made(struct auditor *a, uint64_t now_ms, const char *name,
                          const struct core_admin_answer *out);
bool auditor_changed(struct auditor *a, uint64_t now_ms, const struct core_change *change,
                     const struct core_admin_answer *out);
bool auditor_acknowledged(struct auditor *a, uint64_t now_ms, struct hf_uuid op_id,
                          const struct core_line *lines, uint32_t count,
                          const struct core_admin_answer *out);
bool auditor_recalled(struct auditor *a, struct hf_uuid id, enum hf_status status);
// Holds one reservation's reading against the oracle; ends it there when it was due.
bool auditor_get(struct auditor *a, struct core *c, struct core_worker *w, uint64_t now_ms,
                 struct hf_uuid id);

// The engine came back with everything up to `lsn`. Rebuilds; then all cells and all
// reservations that must still be known are compared.
bool auditor_restarted(struct auditor *a, struct core *c, struct core_worker *w, uint64_t lsn);
bool auditor_check_cells(struct auditor *a, struct core *c);
bool auditor_check_all(struct auditor *a, struct core *c, struct core_worker *w, uint64_t now_ms);
// The same from a listing, which touches nothing here; now_ms is engine time, just before.
bool auditor_check_list(struct auditor *a, struct core_worker *w, uint64_t now_ms);
// Sums over all live holds against what the cells say is held.
bool auditor_check_held(struct auditor *a);

#endif
