// The flusher: posts what was sold, cancelled, returned, received and corrected to Odoo, each
// movement exactly once.
//
//   journal or archive -> window (netted) -> batch FORMED -> POSTED -> acknowledged, gone
//                              |                  |
//                              +-> dead letter <--+   (retried: back into a window)
//
// Movements are netted per stock cell and kind while a window is open. A closed window becomes
// batches of fixed content and name, HF/<engine>/<incarnation>/<shard>/<batch>; both are durable
// before the first send, and Odoo takes a name only once. Whatever goes wrong is settled by reading
// the name's state back. What cannot be posted ends as a dead letter, line by line.
//
// One thread owns a flusher and calls flush_step; the calls to Odoo block in it. Metrics are for
// any thread. docs/flush-format.md has the durable state, shared with no one else.
#ifndef HOLDFAST_FLUSH_FLUSH_H
#define HOLDFAST_FLUSH_FLUSH_H

#include "core/core.h"
#include "sys/http.h"
#include "sys/park.h"

#define FLUSH_ENGINE_BYTES_MAX    32
#define FLUSH_WAREHOUSE_BYTES_MAX 16
#define FLUSH_LOCATIONS_MAX       256
#define FLUSH_BATCHES_MAX         4096
#define FLUSH_POSTERS_MAX         16
#define FLUSH_WHY_BYTES           120

// A change of on hand whose reason begins so came from Odoo, and is not told to it again.
#define FLUSH_REASON_INBOUND "odoo:"
// One whose reason begins so is a receipt from a supplier; any other is a correction.
#define FLUSH_REASON_RECEIPT "receipt"

// Positive quantities go the way that is told here, negative ones back.
#define FLUSH_KIND_TABLE(X)                                                                        \
    X(SALE, "stock to customer; less what was cancelled")                                          \
    X(RESTOCK, "customer to stock")                                                                \
    X(SCRAP, "customer to scrap")                                                                  \
    X(RECEIPT, "supplier to stock")                                                                \
    X(CORRECTION, "inventory adjustment to stock")
enum flush_kind {
#define X(name, help) FLUSH_##name,
    FLUSH_KIND_TABLE(X)
#undef X
        FLUSH_KIND_COUNT
};

#define FLUSH_CAUSE_TABLE(X)                                                                       \
    X(NONE, "")                                                                                    \
    X(NO_LOCATION, "no alias leads from this location to Odoo")                                    \
    X(NO_PRODUCT, "Odoo has no product with this default_code")                                    \
    X(AMBIGUOUS, "several products have this default_code")                                        \
    X(TRACKED, "the product is tracked by lot or serial number")                                   \
    X(REFUSED, "Odoo refuses it; see its words")                                                   \
    X(CANCELLED, "its document was cancelled in Odoo")                                             \
    X(MOVED, "its folder was moved before it was posted; it goes out under another name")
enum flush_cause {
#define X(name, help) FLUSH_CAUSE_##name,
    FLUSH_CAUSE_TABLE(X)
#undef X
        FLUSH_CAUSE_COUNT
};

// Why nothing is being posted; DEAD_LETTERS: or not all.
#define FLUSH_PAUSE_TABLE(X)                                                                       \
    X(NONE, "posting")                                                                             \
    X(ODOO_AWAY, "Odoo does not answer, or answers with errors that may pass")                     \
    X(KEY, "the key is refused")                                                                   \
    X(RIGHTS, "the key's user lacks a right")                                                      \
    X(FOREIGN_DATABASE, "another database than the one that was bound at first contact")           \
    X(SCHEMA, "Odoo does not know a field, model, method or action that is used")                  \
    X(CONFIG, "a warehouse or location is not there, two are one, or several companies have it")   \
    X(DEAD_LETTERS, "no room for further dead letters; a window with one waits, and what follows") \
    X(DISK_FULL, "the durable state could not be written: the disk is full, or memory is short")   \
    X(ANOTHER, "another folder posts as this engine: two are running, or this one is older")       \
    X(RESTORED, "Odoo has batches of this folder that it does not know: start with --moved")       \
    X(MOVED, "the folder was moved or restored: what Odoo has is being learned")                   \
    X(CLOSED, "it is one of the closed hours")                                                     \
    X(DISK_ERROR, "a file of the flusher's own fails, or memory is short for it; tried again")     \
    X(BATCHES_FULL, "as many batches are open as there may be; what is sold since waits for them") \
    X(UNPLACED, "Odoo has a line of this folder's that leads to no movement of it; see the log")
enum flush_pause {
#define X(name, help) FLUSH_PAUSE_##name,
    FLUSH_PAUSE_TABLE(X)
#undef X
        FLUSH_PAUSE_COUNT
};

// Static text, any thread. Unknown codes yield "unknown".
const char *flush_kind_name(enum flush_kind k);
const char *flush_cause_name(enum flush_cause c);
const char *flush_cause_help(enum flush_cause c);
const char *flush_pause_name(enum flush_pause p);
const char *flush_pause_help(enum flush_pause p);

// Who deducts what was sold. symbol, name, help
#define FLUSH_MODE_TABLE(X)                                                                        \
    X(SHIP, "ship", "a done transfer to the customer")                                             \
    X(STAGE, "stage",                                                                              \
      "a done transfer to a location for what is sold; Odoo's orders ship from it")                \
    X(EXTERNAL, "external", "an order in Odoo ships; sales are not posted")
enum flush_mode {
#define X(symbol, name, help) FLUSH_MODE_##symbol,
    FLUSH_MODE_TABLE(X)
#undef X
        FLUSH_MODE_COUNT
};
const char *flush_mode_name(enum flush_mode m); // static text

// A location of Holdfast, and what it means in Odoo.
struct flush_location {
    const char *name;      // Holdfast's
    const char *warehouse; // code of Odoo's warehouse: its company and picking types
    uint32_t location_id;  // of Odoo's location; 0: the warehouse's stock location
    enum flush_mode mode;
    const char *zone; // of its company's accounting days, as "Europe/Berlin"; NULL: UTC
};

// "LOCATION=WAREHOUSE[:MODE[:ZONE]],..." into up to FLUSH_LOCATIONS_MAX of `out`, whose texts are
// the text cut in place. NULL, or what is wrong: static text.
const char *flush_locations_parse(char *text, struct flush_location *out, uint32_t *count);

#define FLUSH_HOURS_MAX 8
// "HH:MM-HH:MM[,...][ ZONE]", by the clock of the zone (default UTC); from may be after to: over
// midnight. NULL, or what is wrong: static text. zone: of the text's end, or NULL.
struct flush_hours {
    uint16_t from[FLUSH_HOURS_MAX], to[FLUSH_HOURS_MAX]; // minutes since midnight; to is not in it
    uint32_t count;
    char zone[64]; // empty: UTC
};
const char *flush_hours_parse(const char *text, struct flush_hours *out);

struct flush_options {
    struct core *core;       // borrowed; opened with `outbox`
    struct storage *storage; // borrowed; the data folder
    struct http *http;       // borrowed; the flusher's thread alone uses it
    const char *engine;      // name in Odoo's documents: a-z, 0-9, '-'; fixed for the folder's life
    const char *database;    // of X-Odoo-Database
    const char *key;         // never logged
    const char *login;       // of the key's user: JSON-RPC, for Odoo 18; NULL or empty: JSON-2
    const struct flush_location *locations;
    uint32_t location_count; // <= FLUSH_LOCATIONS_MAX
    uint32_t action_id;      // of the one-call server action; 0: two calls
    uint32_t customer_id, supplier_id, inventory_id, scrap_id; // Odoo's; 0: looked up by usage
    struct hf_uuid fresh_id; // random, from the caller: the incarnation, if the state is new
    uint64_t seed;           // of the jitter
    uint32_t window_ms;      // a window is open at least so long. default 1,000
    uint32_t window_lines;   // and holds at most so many lines, >= 2 * HF_LINES_MAX. default 16,384
    uint32_t batch_lines;    // 1..HF_LINES_MAX. default 100
    uint32_t open_lines_max; // of all open batches, >= window_lines. default 65,536
    uint32_t dead_max;       // dead letters. default 65,536
    uint32_t retry_ms;       // first wait after a failure; doubles. default 1,000
    uint32_t retry_max_ms;   // default 60,000
    uint32_t attempts_max; // failures of a batch while Odoo answers, before it is split. default 8
    uint32_t contact_ms;   // names and ids are looked up again after that. default 60,000
    uint32_t timeout_ms;   // of a call that posts. default 120,000
    const char *closed;    // hours in which no batch is sent, see flush_hours_parse; NULL: none
    uint32_t posters;      // calls under way at once, <= FLUSH_POSTERS_MAX, each in a poster's
                           // thread. 0: one, in the flusher's thread. default 0
    uint32_t lines_per_s;  // posted at most so fast, on average. 0: no bound. default 0
    struct park *bell;     // rung when a poster has an answer; NULL: none. Borrowed
    uint32_t history_days; // what was posted is kept so long. default 400
    uint32_t settle_ms; // after flush_moved_begin nothing is posted for so long: more than Odoo's
                        // longest transaction. default 180,000
};
void flush_options_default(struct flush_options *o);

struct flush;

// This folder was restored from a backup, or comes from elsewhere, and its former life is over:
// what Odoo has booked is learned before anything is posted, and `fresh`, random, is the
// incarnation from then on. Durable when it returns HF_OK. Before flush_open.
enum hf_status flush_moved_begin(struct storage *s, struct core *c, struct hf_uuid fresh,
                                 uint64_t now_ms) HF_CHECKED;

// Loads the durable state, or begins a new one at the journal's first record. Copies the options'
// texts. Blocking, set-up. *why (200 bytes) gets one sentence. HF_INVALID, HF_DAMAGED, HF_TOO_NEW,
// HF_FOREIGN, HF_IO, HF_NO_MEMORY.
enum hf_status flush_open(const struct flush_options *o, struct flush **out,
                          char why[200]) HF_CHECKED;
// Writes nothing: stopping is crashing.
void flush_close(struct flush *f);

// One bounded piece: reads records, or makes one call to Odoo, or acknowledges a batch. HF_OK: did
// something; HF_AGAIN: nothing to do for flush_wait_ms; anything else is final, with a line in the
// log. `w` is a worker of the calling thread.
enum hf_status flush_step(struct flush *f, struct core_worker *w, uint64_t now_ms);
// How long nothing is due, at most `max_ms`.
uint32_t flush_wait_ms(const struct flush *f, uint64_t now_ms, uint32_t max_ms);

// Whether Odoo answers, and is the bound database; binds it at first contact. Calls Odoo unless
// that was done a while ago. A hold that a batch has brought about does not count. The flusher's
// thread.
bool flush_contact(struct flush *f, uint64_t now_ms);

// A thread that makes calls to Odoo for the flusher, one at a time; at most `posters` of them. Each
// has its own http, borrowed. NULL: no memory. Any thread; all are destroyed before flush_close.
struct flush_poster;
struct flush_poster *flush_poster_create(struct flush *f, struct http *http);
void flush_poster_destroy(struct flush_poster *p);
// Makes one call, or waits for one at most wait_ms. The poster's thread; blocking.
void flush_poster_step(struct flush_poster *p, uint32_t wait_ms);
// Whether a poster has brought an answer that no step has taken: not to be slept over. Any thread.
bool flush_answer_waits(struct flush *f);
// Wakes those that wait. Any thread.
void flush_posters_wake(struct flush *f);

// Another key from now on. The flusher's thread.
void flush_key_set(struct flush *f, const char *key);

// ------------------------------------------------------------------------------- dead letters
// All in the flusher's thread; see desk.h for others.

struct flush_dead_letter {
    uint64_t id;
    uint32_t handle;
    enum flush_kind kind;
    enum flush_cause cause;
    int64_t quantity;             // signed, in the cell's smallest unit
    uint32_t movements;           // netted in it
    uint64_t first_lsn, last_lsn; // of the records behind it
    uint64_t since_ms, dead_ms;   // oldest movement; when it was given up. Engine time
    uint64_t batch;               // 0: it was in none
    char why[FLUSH_WHY_BYTES];    // Odoo's words
    bool retrying;
};
// Up to max of those with an id above `after`, ascending. Returns how many.
uint32_t flush_dead_list(const struct flush *f, uint64_t after, struct flush_dead_letter *out,
                         uint32_t max);
// Its movement goes out again in a new batch, under a new name; the wish is durable when it
// returns HF_OK. It stays a dead letter until that batch is. Asked again, it acts once.
// HF_NOT_FOUND; HF_NO_SPACE: the disk is full, or memory short; HF_AGAIN: its files failed and it
// begins anew.
enum hf_status flush_dead_retry(struct flush *f, uint64_t id, uint64_t now_ms);

#define FLUSH_ACTOR_BYTES  48
#define FLUSH_REASON_BYTES 160
#define FLUSH_DISCARDS_MAX 16384
struct flush_discarding {
    uint64_t letter;
    struct hf_uuid request_id; // of the operator's request
    const char *actor, *reason;
};
// Odoo will never be told of it: the cell is treated as if Odoo had been, and Odoo differs by it
// from then on. Durable when it returns HF_OK; what follows is done by the steps. The same request
// again is HF_OK, and acts once. HF_NOT_FOUND; HF_EXISTS: discarded under another id, or the id
// used for another letter; HF_BUSY: it is being retried, or what Odoo has of a folder that was
// moved is being learned; HF_NO_SPACE, HF_AGAIN: as above; HF_FULL: FLUSH_DISCARDS_MAX;
// HF_NO_MEMORY.
enum hf_status flush_dead_discard(struct flush *f, const struct flush_discarding *k,
                                  uint64_t now_ms) HF_CHECKED;

struct flush_discarded {
    struct flush_dead_letter letter;
    struct hf_uuid request_id, op_id; // op_id: of its record in the journal
    uint64_t time_ms;
    bool booked; // that record is durable
    char actor[FLUSH_ACTOR_BYTES], reason[FLUSH_REASON_BYTES];
};
// Oldest first, from the from-th on.
uint32_t flush_discard_list(const struct flush *f, uint32_t from, struct flush_discarded *out,
                            uint32_t max);

// ------------------------------------------------------------------------------- metrics

#define FLUSH_METRIC_TABLE(X)                                                                      \
    X(movements, "movements read from the journal")                                                \
    X(batches_formed, "batches made")                                                              \
    X(batches_posted, "batches that Odoo has booked")                                              \
    X(batches_failed, "batches given up, split or as dead letters")                                \
    X(lines_posted, "lines of posted batches")                                                     \
    X(altered, "documents that somebody had edited in Odoo before they were booked")               \
    X(calls, "calls to Odoo")                                                                      \
    X(calls_failed, "calls without the wanted answer")                                             \
    X(pace_cuts, "times that fewer calls at once were made, because Odoo failed")                  \
    X(state_writes, "times that the durable state was written")                                    \
    X(recoveries, "times that it began anew, after an error of its own files")
struct flush_metrics {
#define X(name, help) uint64_t name;
    FLUSH_METRIC_TABLE(X)
#undef X
    uint64_t read_lsn, taken_lsn; // read into the window; durably taken
    uint64_t window_lines, window_movements;
    uint64_t open_batches, open_movements; // formed and not acknowledged
    uint64_t oldest_ms;                    // engine time of the oldest unposted movement, 0: none
    uint64_t calling;                      // calls that posters have now
    uint64_t dead_letters, discards, discards_open; // open: not in the journal yet
    uint64_t pause;                                 // enum flush_pause
};
void flush_metrics(const struct flush *f, struct flush_metrics *out); // any thread

#endif
