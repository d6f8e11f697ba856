// Where each movement is: waiting, in a batch on its way, booked in Odoo, dead, discarded.
//
// A line of a batch or of a dead letter tells the LSNs of the first and the last record behind it,
// and no two lines of one cell, kind and accounting day overlap, unless it is the same line sent
// again; those of two days may, around midnight. So a movement is found by cell, kind, LSN and
// time.
//
// Made in the flusher's thread, a copy; then any one thread's, as long as the flusher lives.
#ifndef HOLDFAST_FLUSH_FATE_H
#define HOLDFAST_FLUSH_FATE_H

#include "flush/flush.h"

#define FLUSH_NAME_BYTES 128

#define FLUSH_WHERE_TABLE(X)                                                                       \
    X(WAITING, "in no batch yet")                                                                  \
    X(IN_FLIGHT, "in a batch that is being posted")                                                \
    X(BOOKED, "booked in Odoo, not acknowledged in the engine yet")                                \
    X(ACKNOWLEDGED, "booked in Odoo and acknowledged")                                             \
    X(DEAD, "a dead letter")                                                                       \
    X(DISCARDED, "discarded by an operator: Odoo is not told")                                     \
    X(NETTED, "came and went before it was posted, or posted before this was written down")
enum flush_where {
#define X(name, help) FLUSH_##name,
    FLUSH_WHERE_TABLE(X)
#undef X
        FLUSH_WHERE_COUNT
};
const char *flush_where_name(enum flush_where w); // static text; "unknown" otherwise

struct flush_span { // a line, and what it is part of
    uint32_t handle;
    uint8_t kind, back;
    uint8_t where;    // enum flush_where
    uint16_t day;     // accounting day; 0: not known
    bool unsettled;   // DISCARDED: its acknowledgement is not durable yet
    int64_t quantity; // signed
    uint64_t first_lsn, last_lsn, since_ms;
    uint32_t movements;
    uint32_t picking;  // Odoo's document; 0: not known
    uint32_t attempts; // that failed
    uint32_t company, source, destination;
    uint64_t batch;                    // its number; 0: none
    uint64_t letter;                   // of DEAD, DISCARDED
    uint64_t time_ms;                  // posted, died or discarded; 0
    struct hf_uuid incarnation, op_id; // of the batch; of the acknowledgement
};

struct flush_fates;

// The flusher's thread. HF_NO_MEMORY.
enum hf_status flush_fates_create(const struct flush *f, struct flush_fates **out) HF_CHECKED;
void flush_fates_destroy(struct flush_fates *k);

uint64_t flush_fates_taken(const struct flush_fates *k); // later movements are WAITING
struct flush_history_filter {
    const uint32_t *handles; // ascending; NULL: all
    uint32_t handle_count;
    uint64_t batch;     // 0: all
    uint32_t max;       // lines in all
    uint32_t kinds;     // bits of enum flush_kind; 0: all
    uint64_t before_ms; // only lines with a movement made before it; 0: all
};
// Adds what was posted on one day (days since 1970), of what the filter lets through. Blocking.
// HF_FULL: more than max; HF_NO_MEMORY, HF_IO, HF_DAMAGED.
enum hf_status flush_fates_day(struct flush_fates *k, uint64_t day,
                               const struct flush_history_filter *filter);
// NULL: WAITING when lsn > taken, else NETTED as far as the days that were added reach.
const struct flush_span *flush_fates_find(struct flush_fates *k, uint32_t handle,
                                          enum flush_kind kind, uint64_t lsn, uint64_t time_ms);
// Whether a movement of that time, in the span, is of the line's accounting day.
bool flush_fates_of_day(const struct flush_fates *k, const struct flush_span *s, uint64_t time_ms);
// All lines, those of open batches, dead letters and discards first, as long as no find was made.
const struct flush_span *flush_fates_spans(const struct flush_fates *k, uint32_t *count);
// "HF/<engine>/<incarnation>/<shard>/<batch>", Odoo's name of a batch.
void flush_fates_name(const struct flush_fates *k, const struct flush_span *s,
                      char name[FLUSH_NAME_BYTES]);
// The number out of such a name, or out of decimal digits. 0: neither.
uint64_t flush_batch_number(const char *text);

// Open batches, as they stand. Returns how many there are; fills up to max.
struct flush_open_batch {
    uint64_t number, retry_at_ms, since_ms;
    enum flush_kind kind;
    bool back, posted;
    uint32_t lines, movements, attempts, picking;
    const char *step; // what comes next, static
    char name[FLUSH_NAME_BYTES], why[FLUSH_WHY_BYTES];
};
uint32_t flush_open_batches(const struct flush *f, struct flush_open_batch *out, uint32_t max);

// What Odoo must hear of a record's line. False: nothing.
struct core_record_line;
struct core_record_parts;
bool flush_movement_of(const struct core_record_line *l, const struct core_record_parts *p,
                       enum flush_kind *kind, int64_t *quantity);

#endif
