// What the files of the inbound side share.
#ifndef HOLDFAST_FLUSH_INBOUND_INTERNAL_H
#define HOLDFAST_FLUSH_INBOUND_INTERNAL_H

#include "flush/inbound.h"

struct inbound_line { // a done move line, and what was applied of it. The layout is the file's
    uint32_t id;
    uint32_t from, to; // cells; MIRROR_NONE: none
    uint32_t zero;
    uint64_t write_ms;    // Odoo's
    int64_t taken, given; // of `from`, to `to`
    uint64_t ref;         // mode external: hash of the order's reference; 0: none
    int64_t settled;      // of `taken`: what was committed under it
};
static_assert(sizeof(struct inbound_line) == 56, "line");

struct inbound_kept { // a line that moved more than was committed under its reference, so far
    uint32_t line, zero;
    char reference[HF_REFERENCE_BYTES_MAX + 8];
};
static_assert(sizeof(struct inbound_kept) == 80, "kept");
#define INBOUND_KEPT_MAX 16384

#define INBOUND_SETTLES (UINT32_C(1) << 31)
struct inbound_intent { // a change of on hand that is to be made once
    struct hf_uuid op_id;
    uint32_t handle;
    uint32_t line; // INBOUND_SETTLES: on hand and committed fall by delta
    int64_t delta;
};
static_assert(sizeof(struct inbound_intent) == 32, "intent");

struct inbound {
    struct inbound_options options;
    char engine[FLUSH_ENGINE_BYTES_MAX + 1];
    // Durable:
    uint64_t watermark_ms;      // Odoo's write_date
    uint64_t known_ms;          // lines done before it are not remembered
    struct inbound_line *lines; // by id
    uint32_t line_count, line_room;
    struct inbound_intent *intents;
    uint32_t intent_count, intent_room;
    struct inbound_kept *kept; // INBOUND_KEPT_MAX, oldest first; NULL: none yet
    uint32_t kept_count;
    // Not durable:
    uint32_t intents_done; // of them, appended
    bool baseline;         // nothing was ever written down
    bool found;            // intents of an earlier process were looked up
    bool again;            // the file failed: what is in memory counts for nothing
    uint64_t ticket;       // of the last
    uint64_t read_ms;      // locations and products were read
    int64_t *demand;       // by handle
    double *demand_fraction;
    uint32_t demand_cells;
    uint64_t seen_ms;           // largest write_date of a poll
    bool more;                  // of a poll: it did not read to the end
    struct inbound_line *fresh; // of a poll
    uint32_t fresh_count, fresh_room;
    struct settle *settle;      // NULL: no location is external
    struct core_worker *worker; // of the poll
    uint32_t kept_at;           // where the next poll goes on among the kept
    enum hf_status failed;
    struct inbound_metrics metrics; // atomics
};

// ------------------------------------------------------------------- settle.c
// Of a poll: what lines have settled, summed up. False: no memory.
bool settle_begin(struct inbound *in);
void settle_fini(struct inbound *in);
bool settle_external(const struct inbound *in, uint32_t location); // Odoo's location
uint64_t settle_ref(const char *reference);                        // 0: none
// What is committed under a reference in a cell, and was not taken back.
int64_t settle_sold(struct inbound *in, uint64_t ref, const char *reference, uint32_t handle);
// Of an open move: what of it is not an order's that was sold here.
int64_t settle_demand(struct inbound *in, const char *reference, uint32_t handle, int64_t quantity);
// l->settled is what was sold; becomes what the line settles of it. Whole, it is kept no longer.
void settle_line(struct inbound *in, struct inbound_line *l, const struct inbound_line *old);
// A line's reference, to be looked up again.
void settle_keep(struct inbound *in, uint32_t line, const char *reference);
void settle_drop(struct inbound *in, uint32_t line);

enum hf_status inbound_load(struct inbound *in, char why[200]);
// HF_AGAIN: no room on the disk now.
enum hf_status inbound_save(struct inbound *in, uint64_t now_ms);
struct inbound_line *inbound_find(struct inbound *in, uint32_t id); // NULL: not remembered

#endif
