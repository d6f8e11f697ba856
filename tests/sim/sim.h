// The simulator: the real engine over the fake disk and clock, in one thread, from one seed.
//
// A run has a safety phase (crashes, errors, a full disk, damage; nothing may be lost, done twice
// or oversold) and a liveness phase (no more faults: everything must come to its end). Every
// choice is drawn from the seed, so a seed replays to the byte.
#ifndef HOLDFAST_TESTS_SIM_SIM_H
#define HOLDFAST_TESTS_SIM_SIM_H

#include "base/prng.h"
#include "flush/flush.h"
#include "model/auditor.h"
#include "sim/fake_odoo.h"
#include "sim/fake_storage.h"

#define SIM_WORKERS_MAX 4
#define SIM_BATCH_MAX   64
#define SIM_HISTORY     512
#define SIM_ARENA_LINES 4096
#define SIM_CACHED      128 // slots or blocks that a thread of the engine may keep in hand

// What a seed decides once.
struct sim_plan {
    uint32_t actions;      // of the safety phase
    uint32_t cells;        // made at first
    uint32_t lines_wide;   // most lines of a wide order
    uint32_t wide_in_100;  // how many takes are wide
    uint32_t hot_in_100;   // how many lines go to cell 0
    uint32_t stock;        // on hand at first, most
    uint32_t ttl_ms;       // most of a hold, as a rule
    uint32_t batch;        // most requests of a batch
    uint32_t workers;
    uint32_t writer_in_100, timers_in_100, background_in_100, admin_in_100;
    uint32_t retry_in_100; // exact or altered repeats of old requests
    uint32_t step_ms;      // most that time moves between two actions
    bool crashes, errors, full_disk, damage, clock_jumps, kills, latency;
    uint32_t life_ios;     // a crash comes within so many I/Os
    bool odoo;             // what is sold is posted
    uint32_t flush_in_100, mishap_in_1000;
    bool years;            // long times pass while nothing runs
    bool packets;          // requests come by packets, too
    uint32_t packets_in_100, packet_workers;
};

// What stories may have beside the engine: neither, an Odoo as the seed draws it, packets as well.
enum sim_parts { SIM_PARTS_ALL, SIM_PARTS_ODOO, SIM_PARTS_NONE };

struct sim_odoo {
    struct sandbox *sandbox;
    struct fake_odoo http;
    struct flush_options options;
    struct flush *flush; // NULL: not open
    struct prng prng;    // its own, so that stories without it stay what they are
};

struct sim_moved {
    struct fake_storage *backup; // owned; NULL: none was taken
    struct prng prng;            // its own
};

struct sim_request { // a request that stays
    struct core_request r;
    struct core_line *lines; // owned
    struct core_text text;
    char reference[16], buyer[16], reason[HF_REASON_BYTES_MAX + 1];
    uint8_t trace[CORE_TRACE_BYTES];
};

struct sim_stats {
    uint64_t actions, requests, lives, crashes, kills, stops, opens_failed, recovery_crashes;
    uint64_t clock_refusals, damages, damages_refused, damages_harmless, damages_tail;
    uint64_t no_space_opens, recalls, recalls_failed, admin, checks, journal_records_checked;
    uint64_t checkpoints, compared, archived_lsn;
    uint64_t odoo_calls, odoo_posted, odoo_mishaps, odoo_acks, odoo_dead, odoo_agreed, years;
    uint64_t moved, originals;
    uint64_t packet_frames, packet_replies, packet_dropped, packet_replayed, packet_damaged;
    uint64_t packet_busy, packet_resent, packet_other_door, packet_sessions, packet_told;
    uint64_t packet_drops[32]; // by enum ingest_drop
};

struct sim_packets;

struct sim {
    uint64_t seed;
    bool verbose;
    struct prng prng;  // workload
    struct prng fault; // faults
    struct sim_plan plan;
    struct fake_clock clock;
    struct fake_storage *fs;
    struct core_options options;
    struct core *core; // NULL: not open
    struct core_worker *workers[SIM_WORKERS_MAX];
    struct auditor audit;
    bool did_something;    // the last step
    bool stopped;          // the engine has said so
    uint64_t errors_known; // injected errors up to the last open
    bool exact;            // one crash at one I/O, no other faults
    bool calm;             // liveness: no faults, nothing may be refused for long
    struct sim_odoo odoo;
    struct sim_moved moved;
    struct sim_packets *packets; // NULL: none in this story
    struct sim_request history[SIM_HISTORY];
    uint64_t history_count;
    // The batch in hand.
    struct core_request requests[SIM_BATCH_MAX];
    struct core_answer answers[SIM_BATCH_MAX];
    struct sim_request kept[SIM_BATCH_MAX];
    struct core_line_answer line_answers[SIM_ARENA_LINES];
    uint32_t line_answer_count;
    struct sim_stats stats;
};

// Derives plan and options from the seed.
void sim_plan_make(struct sim *s, enum sim_parts parts);

// A whole run: false on a violation (s->audit.violation says what). crash_at: 0, or the one I/O
// at which power fails, with no other faults.
bool sim_run(struct sim *s, uint64_t seed, uint64_t crash_at, enum sim_parts parts);
void sim_fini(struct sim *s);

// ------------------------------------------------------------------------------- parts

uint64_t sim_now(struct sim *s);
bool sim_ok(const struct sim *s); // no violation yet
void sim_log(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

// The client side: one batch, drawn from the seed, executed and audited.
bool sim_batch(struct sim *s);
// These requests, executed and audited; recalls what asks for it and tries those again.
bool sim_execute(struct sim *s, uint32_t count);
// A request for the present batch, owned by kept[n].
struct core_request *sim_request_new(struct sim *s, uint32_t n, enum core_verb verb,
                                     uint32_t lines);
void sim_request_free(struct sim_request *r);
struct hf_uuid sim_id(struct sim *s);
bool sim_admin(struct sim *s);
bool sim_cells_make(struct sim *s, uint32_t count);
// Odoo posts something that was sold.
bool sim_acknowledge(struct sim *s, bool all);

// The flusher and its Odoo; only with plan.odoo, but for sim_odoo_fini.
void sim_odoo_init(struct sim *s);
void sim_odoo_fini(struct sim *s);
enum hf_status sim_odoo_open(struct sim *s, char why[200]);
void sim_odoo_close(struct sim *s);
enum hf_status sim_odoo_step(struct sim *s); // and what it acknowledged, audited
void sim_odoo_mishap(struct sim *s);
void sim_odoo_calm(struct sim *s);
// Posts everything, and holds Odoo's stock against the engine's.
bool sim_odoo_settle(struct sim *s);
bool sim_odoo_idle(const struct sim *s);
// Operators ask for what was given up once more: *count of them.
bool sim_odoo_dead_retry(struct sim *s, uint32_t *count);

// Folders that are restored or copied (sim_moved.c).
void sim_moved_backup(struct sim *s); // perhaps; the engine is closed
bool sim_moved_trial(struct sim *s);  // at the very end; closes the engine
void sim_moved_fini(struct sim *s);

// Packets (sim_packets.h); only with plan.packets, but for init, close and fini.
void sim_packets_plan(struct sim *s);
void sim_packets_init(struct sim *s);
void sim_packets_fini(struct sim *s);
bool sim_packets_open(struct sim *s); // sessions, ports, queues: they live as long as the engine
void sim_packets_close(struct sim *s);
// A request of the batch in hand goes by packet. False: it has no such form, or there is no room.
bool sim_packets_add(struct sim *s, const struct sim_request *k);
void sim_packets_send(struct sim *s); // the last frame begun by sim_packets_add
bool sim_packets_act(struct sim *s);  // shops, the wire, queues
// The other door has answered.
bool sim_packets_told(struct sim *s, const struct core_request *r, const struct core_answer *a,
                      uint32_t count);
// Nothing is lost any more: some rounds of it all. How many frames have no answer yet.
bool sim_packets_settle(struct sim *s);
uint32_t sim_packets_unanswered(const struct sim *s);

// The engine's life.
bool sim_open(struct sim *s);
void sim_close(struct sim *s);
// Holds a step's status against the faults that were injected.
bool sim_status(struct sim *s, enum hf_status status, const char *what);
bool sim_writer(struct sim *s, bool quiet);
bool sim_timers(struct sim *s, uint32_t budget);
bool sim_background(struct sim *s, uint32_t which, uint32_t budget);
bool sim_flush(struct sim *s);
// Everything that is due happens, until nothing is left to do.
bool sim_pump(struct sim *s, uint32_t rounds);
// Damages a copy of the closed disk and opens it.
bool sim_damage_trial(struct sim *s);
bool sim_liveness(struct sim *s);
// Every record in the folder says what the auditor knows.
bool sim_journal_audit(struct sim *s);

#endif
