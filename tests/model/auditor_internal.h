#ifndef HOLDFAST_TESTS_MODEL_AUDITOR_INTERNAL_H
#define HOLDFAST_TESTS_MODEL_AUDITOR_INTERNAL_H

#include "model/auditor.h"

// A new event at the end of the list, its reservation's part applied; the cells wait for
// auditor_settle.
bool auditor_event(struct auditor *a, struct oracle_event e);
// The hold ended by its deadline.
bool auditor_expire(struct auditor *a, struct oracle_reservation *r, uint64_t lsn,
                    uint64_t time_ms, uint16_t version);
bool auditor_knows_durable(const struct auditor *a, uint64_t ticket, uint64_t lsn);

const char *auditor_id(struct hf_uuid id); // text, for messages

#endif
