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
};
static_assert(sizeof(struct inbound_line) == 40, "line");

struct inbound_intent { // a change of on hand that is to be made once
    struct hf_uuid op_id;
    uint32_t handle, line;
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
    struct inbound_line *fresh; // of a poll
    uint32_t fresh_count, fresh_room;
    enum hf_status failed;
    struct inbound_metrics metrics; // atomics
};

enum hf_status inbound_load(struct inbound *in, char why[200]);
// HF_AGAIN: no room on the disk now.
enum hf_status inbound_save(struct inbound *in, uint64_t now_ms);
struct inbound_line *inbound_find(struct inbound *in, uint32_t id); // NULL: not remembered

#endif
