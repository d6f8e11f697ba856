// What was posted, for as long as the archive reaches: each booked batch with its lines and Odoo's
// document, a file a day, posted-<YYYYMMDD>.hfp (docs/flush-format.md).
//
// Written by the flusher before the batch leaves its state; an entry may be there twice after a
// power loss, never missing. Readers: any thread, several at once, also beside the writer.
#ifndef HOLDFAST_FLUSH_HISTORY_H
#define HOLDFAST_FLUSH_HISTORY_H

#include "base/status.h"
#include "base/uuid.h"
#include "sys/storage.h"

#include <assert.h>
#include <stdint.h>

struct flush_line; // flush_internal.h

struct history_entry { // as it is on the disk
    uint32_t crc;      // of what follows, lines included
    uint32_t lines;
    uint64_t number, hash;
    struct hf_uuid incarnation, op_id; // op_id: of the acknowledgement; nil: it needed none
    uint64_t posted_ms;                // engine time
    uint32_t company, type, source, destination;
    uint32_t picking;  // Odoo's document
    uint32_t attempts; // that failed before
    uint8_t kind, back, zero[6];
};
static_assert(sizeof(struct history_entry) == 96, "entry");

struct history {
    struct storage *storage; // borrowed
    struct hf_uuid engine_id;
    int file; // -1: none is open
    uint64_t day, at;
};

#define HISTORY_DAY_MS (UINT64_C(24) * 3600 * 1000)

void history_init(struct history *h, struct storage *s, struct hf_uuid engine_id);
void history_fini(struct history *h);
// Fills crc. Durable when HF_OK. HF_NO_SPACE: later; HF_IO, HF_DAMAGED.
enum hf_status history_append(struct history *h, struct history_entry *e,
                              const struct flush_line *lines) HF_CHECKED;
// Writes the file that was last written to anew, as far as it is whole, and puts it in the place
// of the old one: after an error nobody knows what of that is on the disk.
enum hf_status history_renew(struct history *h) HF_CHECKED;
// Removes files of days before `first_day` (days since 1970). The writer's thread.
enum hf_status history_expire(struct history *h, uint64_t first_day);

typedef enum hf_status (*history_visit)(void *ctx, const struct history_entry *e,
                                        const struct flush_line *lines);
// Every entry of the days first..last, in order of posting. What visit answers other than HF_OK
// ends it, and is the answer. HF_DAMAGED, HF_IO, HF_NO_MEMORY.
enum hf_status history_walk(struct storage *s, struct hf_uuid engine_id, uint64_t first_day,
                            uint64_t last_day, history_visit visit, void *ctx);

#endif
