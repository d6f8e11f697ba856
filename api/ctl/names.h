// States and kinds as people say them, and ids as they type them.
#ifndef HOLDFAST_CTL_NAMES_H
#define HOLDFAST_CTL_NAMES_H

#include "ctl/ctl.h"

#include "holdfast/v1/common.pb-c.h"
#include "holdfast/v1/reservation.pb-c.h"

const char *state_name(Holdfast__V1__ReservationState state); // static
const char *kind_name(Holdfast__V1__ReservationKind kind);    // static
bool state_parse(const char *text, Holdfast__V1__ReservationState *state);
// Canonical form of a UUID. False: told.
bool read_id(struct ctl *c, const char *text, char id[HF_UUID_TEXT_BYTES]);

#endif
