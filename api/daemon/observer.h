// Reads Odoo's stock in a thread of its own: others' moves and demand, and reconciliation.
#ifndef HOLDFAST_API_OBSERVER_H
#define HOLDFAST_API_OBSERVER_H

#include "daemon/config.h"
#include "daemon/poster.h"
#include "flush/observe.h"

struct observer;

// Odoo need not be there. Texts of `c`, core and poster are borrowed until observer_destroy; a
// worker to spare. HF_INVALID, HF_NOT_FOUND, HF_IO, HF_DAMAGED, HF_FOREIGN, HF_NO_MEMORY.
enum hf_status observer_create(const struct config *c, struct core *core, struct poster *poster,
                               struct observer **out, char why[200]) HF_CHECKED;
void observer_destroy(struct observer *o); // before the poster; NULL does nothing
void observer_reload(struct observer *o);  // reads the key file again, soon. Any thread
struct flush_observer *observer_ops(struct observer *o);
void observer_metrics(struct observer *o, struct inbound_metrics *in, struct observe_state *last);

#endif
