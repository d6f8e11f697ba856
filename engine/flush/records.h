// Records that were journaled, wherever they are now.
#ifndef HOLDFAST_FLUSH_RECORDS_H
#define HOLDFAST_FLUSH_RECORDS_H

#include "core/core.h"

// Visits the durable records with after < lsn <= upto, in order, out of the archive and then the
// journal. Any thread; blocking. What visit answers other than HF_OK ends it, and is the answer.
// HF_NOT_FOUND: some have expired; HF_BUSY: segments moved too fast, ask again; HF_DAMAGED, HF_IO,
// HF_NO_MEMORY.
enum hf_status records_walk(struct core *c, uint64_t after, uint64_t upto, journal_visit visit,
                            void *ctx);

// Every durable record of a reservation, in order; also those of operations on it. As above.
enum hf_status records_of(struct core *c, struct hf_uuid id, journal_visit visit, void *ctx);

// Which of `count` ids, ascending (hi, lo), a durable record has: found[i]. The journal is walked
// once for all of them. As above.
enum hf_status records_among(struct core *c, const struct hf_uuid *ids, uint32_t count,
                             bool *found);

// One record by its LSN, into `room` (HF_RECORD_BYTES_MAX). HF_NOT_FOUND: expired, or not durable
// yet; else as above.
enum hf_status records_one(struct core *c, uint64_t lsn, struct journal_record *room);

// The first record that was decided at or after `time_ms`, by bisection: decisions of several
// threads stand in the journal within a few milliseconds of their order, so a reader begins a
// little before. *lsn is one past the last when there is none. As above.
enum hf_status records_at(struct core *c, uint64_t time_ms, uint64_t *lsn);

#endif
