// What the files of engine/flush share. See post.c for how a batch is posted exactly once.
#ifndef HOLDFAST_FLUSH_INTERNAL_H
#define HOLDFAST_FLUSH_INTERNAL_H

#include "core/record.h"
#include "flush/fate.h"
#include "flush/flush.h"
#include "flush/history.h"
#include "flush/moved.h"
#include "flush/odoo.h"
#include "sys/park.h"
#include "sys/zone.h"

#define FLUSH_STATE_NAME    "flush.hfs"
#define FLUSH_STATE_KIND    "HFFLUSH"
#define FLUSH_STATE_VERSION 1

#define FLUSH_SHARD 0

#define FLUSH_LEARNED_MAX (UINT32_C(1) << 22) // lines of Odoo's documents, after a move
#define GUARD_MS          300000              // more than Odoo's longest transaction

// A window that would become more batches is read again in parts of so many lines; so there is room
// for it as soon as half of the batches are done, whatever is in it.
#define FLUSH_WINDOW_BATCHES (FLUSH_BATCHES_MAX / 2)
static_assert(FLUSH_WINDOW_BATCHES >= HF_LINES_MAX, "a part takes the widest record");

// A netted movement. The layout is the file's.
struct flush_line {
    uint32_t handle;
    uint32_t movements;
    int64_t quantity; // signed
    uint64_t first_lsn, last_lsn;
    uint64_t since_ms;     // engine time of the oldest movement
    uint32_t product, uom; // Odoo's; 0: not looked up
    uint8_t kind, scale;
    uint16_t day; // accounting day, since 1970 in the company's time zone; 0: today's, as it comes
    uint8_t sealed; // until it is in a batch: nothing is netted with it any more
    uint8_t zero[3];
};
static_assert(sizeof(struct flush_line) == 56, "line");

enum flush_batch_state { FLUSH_FORMED = 1, FLUSH_POSTED = 2 };

// What a batch is waiting for next. Not durable: after a start it is LOOKUP or ACK_FIND.
enum flush_batch_step {
    FLUSH_STEP_SEND,
    FLUSH_STEP_LOOKUP,
    FLUSH_STEP_MOVES,
    FLUSH_STEP_VALIDATE,
    FLUSH_STEP_DATE,
    FLUSH_STEP_CANCEL,
    FLUSH_STEP_BURN,
    FLUSH_STEP_ACK_FIND,
    FLUSH_STEP_ACK,
    FLUSH_STEP_ACK_WAIT,
};

enum flush_refusal { FLUSH_NOT_REFUSED, FLUSH_REFUSED_MADE, FLUSH_REFUSED_VALIDATED };

struct flush_batch {
    uint64_t number;
    uint64_t hash; // of what is sent
    uint32_t company, type, source, destination;
    struct flush_line *lines; // owned
    uint32_t line_count;
    enum flush_batch_state state;
    enum flush_kind kind;
    bool back;             // against the kind's direction
    struct hf_uuid op_id;  // POSTED: of the acknowledgement
    enum flush_cause doom; // it will not be posted under this name
    bool split;            // when doomed: halves go on
    // From here on memory only:
    enum flush_batch_step step;
    uint32_t picking;  // Odoo's id, when known
    uint32_t dated;    // times that its date was set
    bool calling;      // a poster has it
    bool unsent;       // made by this process, and never sent
    bool alone;        // its lines are never netted with others
    uint64_t behind;   // an earlier batch with one of its products; 0: none
    uint32_t attempts; // failures while Odoo answered
    uint32_t waits;    // failures in a row
    uint64_t retry_at_ms;
    uint64_t ticket;            // of the acknowledgement
    enum flush_refusal refusal; // Odoo said no; the look-up decides what that means
    bool two_calls;             // the server action cannot take it
    bool straight;              // its document was made by this process, and nothing failed since
    bool booked;                // MOVES: it is done in Odoo, at booked_ms
    uint64_t booked_ms;         // 0: not understood
    uint32_t strange;           // times that Odoo did not know something of it
    uint64_t strange_round;     // the last of them
    char why[FLUSH_WHY_BYTES];
};

// Between the flusher's thread and a poster's: EMPTY -> READY -> TAKEN -> DONE -> EMPTY. Who has
// moved it to the next state owns the rest.
enum flush_call_state { FLUSH_CALL_EMPTY, FLUSH_CALL_READY, FLUSH_CALL_TAKEN, FLUSH_CALL_DONE };
struct flush_call {
    uint32_t state; // atomic
    uint64_t batch; // its number
    uint32_t lines;
    const char *model, *method;
    json_t *args;
    char key_header[ODOO_KEY_BYTES_MAX + 30];
    struct odoo_answer answer;
};

// Products that a batch which is not booked yet has, so that no two batches of one are under way.
struct flush_claim {
    uint32_t product, round;
    uint64_t batch;
};

struct flush_dead {
    struct flush_line line;
    uint64_t id, batch, dead_ms;
    uint8_t cause;
    uint8_t retry; // 1: it is wanted
    uint8_t zero[6];
    char why[FLUSH_WHY_BYTES];
};
static_assert(sizeof(struct flush_dead) == 208, "dead letter");
static_assert(FLUSH_WHY_BYTES == ODOO_WORDS_BYTES, "Odoo's words are kept whole");

enum flush_discard_state { FLUSH_DISCARD_INTENT, FLUSH_DISCARD_APPENDED, FLUSH_DISCARD_BOOKED };

struct flush_discard {
    struct hf_uuid request_id, op_id;
    struct flush_line line;
    uint64_t letter, batch, dead_ms, time_ms;
    uint64_t after_lsn; // its record is past it
    uint64_t ticket;    // APPENDED
    uint8_t cause, state;
    uint8_t fresh; // made, or looked up, by this process
    uint8_t zero[5];
    char why[FLUSH_WHY_BYTES], actor[FLUSH_ACTOR_BYTES], reason[FLUSH_REASON_BYTES];
};
static_assert(sizeof(struct flush_discard) == 472, "discard");

struct flush_window {
    struct flush_line *lines;
    uint32_t count, max;
    uint32_t most;   // lines that it may have now, <= max
    uint32_t *table; // handle and kind -> index + 1
    uint32_t mask;
    bool full; // a record was refused: close before reading on
    uint64_t opened_ms;
    uint64_t movements;
};

struct flush_place { // a location of Holdfast and what it means in Odoo
    char name[HF_LOCATION_BYTES_MAX + 1], warehouse[FLUSH_WAREHOUSE_BYTES_MAX + 1];
    uint32_t location_option;
    uint32_t location, company, type_out, type_in, type_internal;
    uint32_t customer, supplier, inventory, scrap;
    uint32_t sold; // mode stage
    enum flush_mode mode;
    struct zone *zone; // NULL: UTC
};

struct flush {
    struct flush_options options;
    char engine[FLUSH_ENGINE_BYTES_MAX + 1];
    struct odoo odoo;
    struct flush_call calls[FLUSH_POSTERS_MAX];
    uint32_t calling;      // handed out
    uint32_t width;        // calls that may be out at once, in sixteenths; see pace.c
    uint64_t credit_at_ms; // line credit: as of, and how many thousandths of a line
    int64_t credit;
    struct flush_claim *claims; // a table by product
    uint32_t claims_mask, claims_round;
    bool claims_stale;
    struct park posters; // where they wait
    struct flush_place places[FLUSH_LOCATIONS_MAX];
    uint32_t place_count;
    struct flush_hours hours;
    struct zone *hours_zone; // NULL: UTC
    bool closed;             // now
    // Durable:
    struct hf_uuid incarnation, bound; // bound: the database, nil before first contact
    char database[48];                 // its UUID as Odoo writes it, since contact
    uint64_t taken_lsn, next_batch, next_dead;
    uint64_t born_lsn;           // records up to it are older than the incarnation
    uint32_t foreign_upto;       // Odoo's documents up to this id are known, whosever they are
    struct flush_moved moved;    // a file of its own
    struct flush_batch *batches; // FLUSH_BATCHES_MAX, by number
    uint32_t batch_count;
    struct flush_dead *dead;
    uint32_t dead_count;
    bool *retrying;                 // beside dead: it is in the window
    struct flush_discard *discards; // FLUSH_DISCARDS_MAX at most; a file of their own
    uint32_t discard_count, discard_room, discards_open;
    bool discards_stale;
    uint64_t discards_at_ms; // the next not before
    struct history history;
    // Not durable:
    struct flush_window window;
    struct journal_reader *reader;
    uint64_t read_lsn;
    bool must_save; // memory is ahead of the disk: nothing may be sent or acknowledged
    bool stale;     // the disk names batches that are done: harmless, to be saved some time
    uint64_t saved_taken;
    uint64_t moved_at_ms; // the next change not before
    bool contacted;
    bool guarded;                              // this process has looked for others
    uint32_t guard_id, guard_from, guard_next; // Odoo's ids: newest of ours; nobody was before
    uint64_t guard_ms;
    uint64_t contact_at_ms;
    uint32_t failures; // calls failed in a row
    enum flush_pause pause;
    uint64_t pause_until_ms;
    bool unmet;             // it is held by contact itself
    bool looking;           // contact_look: nothing that it meets holds the flusher
    uint64_t strange_round; // between two bookings; so many batches were strange in it
    uint32_t strangers;
    bool dead_full;       // something waits for room among the dead letters
    bool batches_full;    // a window waits for room among the batches
    uint64_t close_at_ms; // the window not before
    uint64_t random;
    bool begun;                   // the state was loaded or written once
    uint64_t appended_lsn;        // of the last acknowledgement that this process made
    enum hf_status failed;        // HF_IO and HF_NO_MEMORY: until it has begun anew; else final
    struct flush_metrics metrics; // atomics
};

// ------------------------------------------------------------------- flush.c
enum hf_status flush_fail(struct flush *f, enum hf_status why, const char *what);
// Nothing is called until a while has passed; told in the log when the reason is another.
void flush_hold(struct flush *f, enum flush_pause why, uint64_t now_ms, const char *words);
uint64_t flush_backoff(struct flush *f, uint32_t failures);
void flush_count(uint64_t *metric, uint64_t by);

// ------------------------------------------------------------------- window.c
bool window_init(struct flush_window *w, uint32_t lines_max);
void window_fini(struct flush_window *w);
void window_clear(struct flush_window *w);
// Whether a record of `lines` lines that move `total` in all is sure to fit.
bool window_fits(const struct flush_window *w, uint32_t lines, int64_t total);
void window_add(struct flush_window *w, const struct flush_line *l);
// The line of this cell, kind and day ends here: Odoo has what comes next already.
void window_seal(struct flush_window *w, const struct flush_line *l);
// As a line of its own, sealed: nothing is ever netted with it.
void window_add_alone(struct flush_window *w, const struct flush_line *l);

// ------------------------------------------------------------------- outbox.c
// Reads on, from the archive or the journal. HF_AGAIN: nothing more, or the window is full.
enum hf_status outbox_step(struct flush *f, uint64_t now_ms);
// Whether the journal or the archive holds this acknowledgement, past what was taken.
enum hf_status outbox_find(struct flush *f, struct hf_uuid op_id, bool *found);
void outbox_close(struct flush *f);
// The same past another LSN.
enum hf_status outbox_find_after(struct flush *f, struct hf_uuid op_id, uint64_t after,
                                 bool *found);
struct hf_uuid flush_op_id(const struct flush *f, uint64_t batch, uint64_t now_ms);
struct hf_uuid flush_discard_op_id(const struct flush *f, uint64_t letter, uint64_t now_ms);
// Of the observer's acknowledgements, in mode external; whatever the incarnation.
struct hf_uuid flush_settle_op_id(struct core *c, uint64_t serial, uint64_t now_ms);
// Of a change after a move, in the new incarnation.
struct hf_uuid flush_moved_op_id(const struct flush *f, uint32_t serial, uint64_t now_ms);
// What Odoo must hear of a record's line. False: nothing.
bool outbox_movement(const struct core_record_line *l, const struct core_record_parts *p,
                     struct flush_line *out);

// ------------------------------------------------------------------- batch.c
// "HF/<engine>/<incarnation>/<shard>/<batch>"
void batch_name(const struct flush *f, uint64_t number, char name[FLUSH_NAME_BYTES]);
// The folder's line, its copies and restores included: of other folders' LSNs nothing follows.
uint32_t batch_line_of(const struct flush *f);
void batch_origin(const struct flush *f, const struct flush_batch *b,
                  char origin[FLUSH_NAME_BYTES]);
uint64_t batch_hash(const struct flush_batch *b);
// Closes the window: batches and dead letters, to be saved. HF_AGAIN: not now.
enum hf_status window_close(struct flush *f, uint64_t now_ms);
void batch_remove(struct flush *f, struct flush_batch *b);
// Ends a batch that was never sent; the lines of which apart[i] holds and the others go on in two
// new ones. False: no room.
bool batch_divide(struct flush *f, struct flush_batch *b, const bool *apart);
// Ends a doomed batch: halves, or dead letters. False: no room.
bool batch_give_up(struct flush *f, struct flush_batch *b, uint64_t now_ms);

// ------------------------------------------------------------------- state.c
enum hf_status state_load(struct flush *f, char why[200]);
enum hf_status state_save(struct flush *f, uint64_t now_ms);

// ------------------------------------------------------------------- history.c
// A batch that Odoo has booked. False: not written now; the flusher is held, or has failed.
bool history_note(struct flush *f, const struct flush_batch *b, struct hf_uuid op_id,
                  uint64_t now_ms);

// ------------------------------------------------------------------- deadletter.c
enum hf_status discards_load(struct flush *f, char why[200]);
// Takes what is to be retried into the window; brings discards on. HF_AGAIN: nothing to do.
enum hf_status deadletter_step(struct flush *f, struct core_worker *w, uint64_t now_ms);

enum hf_status discards_save(struct flush *f, uint64_t now_ms);

// ------------------------------------------------------------------- recover.c
// Whether its failure is one that it recovers from by beginning anew.
bool flush_recovers(const struct flush *f);
// It has just failed so: held until the first try.
void recover_announce(struct flush *f, uint64_t now_ms);
// Begins anew, when it is time. HF_OK: done; HF_AGAIN: not yet; else final.
enum hf_status recover_step(struct flush *f, uint64_t now_ms);

// ------------------------------------------------------------------- moved.c, learn.c
enum hf_status moved_load(struct flush *f, char why[200]);
enum hf_status moved_save(struct flush *f, uint64_t now_ms); // HF_AGAIN: no room now
void moved_fini(struct flush *f);
// Whether it is one of the changes that follow from a move.
bool moved_appends(const struct flush *f, struct hf_uuid op_id);
// Whether Odoo has this movement from the folder's former life.
bool moved_covers(const struct flush *f, const struct flush_line *l);
// The line among `count` sorted ones, `stride` apart, that has it; UINT32_MAX: none.
uint32_t moved_find(const struct flush_posted *posted, size_t stride, uint32_t count,
                    const struct flush_line *l);
// SETTLING, when no batch is open: reads Odoo. HF_AGAIN: not now.
enum hf_status moved_learn(struct flush *f, uint64_t now_ms);
// The new incarnation, in memory; to be saved.
void moved_turn(struct flush *f);
// LEARNED: makes the changes. HF_AGAIN: nothing to do.
enum hf_status moved_step(struct flush *f, struct core_worker *w, uint64_t now_ms);
// Whether nobody else posts as this engine, and the folder is no older than its documents. False:
// the flusher is held.
bool guard_check(struct flush *f, uint64_t now_ms);

// ------------------------------------------------------------------- contact.c
// A call of the flusher's own thread, counted.
void odoo_call(struct flush *f, const char *model, const char *method, json_t *args,
               struct odoo_answer *a);
// Holds the flusher, as the class asks. For calls that are not a batch's posting.
void odoo_failed(struct flush *f, const struct odoo_answer *a, uint64_t now_ms);
// The database, the warehouses and the locations. False: the flusher is held, or something failed.
bool contact_make(struct flush *f, uint64_t now_ms);
// Whether Odoo is the bound database and nobody else posts, and no more. Changes no hold.
bool contact_look(struct flush *f, uint64_t now_ms);
// Products of the lines: ids, units; a cause for those that cannot be posted (causes[i]); REFUSED:
// Odoo would round the quantity. False: the flusher is held.
bool products_find(struct flush *f, struct flush_line *lines, uint32_t count,
                   enum flush_cause *causes, uint64_t now_ms);
const struct flush_place *place_of(const struct flush *f, uint32_t handle);
// The accounting day of a moment there; NULL: no place, UTC.
uint16_t place_day(const struct flush_place *p, uint64_t ms);

// ------------------------------------------------------------------- post.c
// What a batch that has to call Odoo asks for next.
void post_request(struct flush *f, struct flush_batch *b, uint64_t now_ms, struct flush_call *c);
// What came of it; takes the answer's result. The batch may be gone then.
enum hf_status post_answer(struct flush *f, struct flush_batch *b, struct odoo_answer *a,
                           uint64_t now_ms);
// Of a batch that Odoo has booked.
enum hf_status post_acknowledge(struct flush *f, struct core_worker *w, struct flush_batch *b,
                                uint64_t now_ms);

// ------------------------------------------------------------------- pace.c
bool pace_init(struct flush *f);
void pace_fini(struct flush *f);
// The batch to work on: due, and Odoo may be called for it. *wait: there is one that will be, so
// that the window goes on netting meanwhile.
struct flush_batch *pace_next(struct flush *f, uint64_t now_ms, bool held, bool *wait);
// Divides a batch that was never sent and waits for one that keeps failing, for some of its
// products only: the others' lines become a batch of their own. True: it did, to be saved.
bool pace_divide(struct flush *f);
// Failing, or on a day that Odoo does not let it leave, or waiting for such a one.
bool pace_stuck(const struct flush *f, const struct flush_batch *b);
// Makes the batch's call, or hands it to a poster.
enum hf_status pace_call(struct flush *f, struct flush_batch *b, uint64_t now_ms);
// Answers that posters have brought. HF_AGAIN: none.
enum hf_status pace_collect(struct flush *f, uint64_t now_ms);
static inline bool batch_calls_odoo(const struct flush_batch *b)
{
    return b->step < FLUSH_STEP_ACK_FIND;
}

#endif
