// odoo tell-again: what was found, for people and programs, and the calls that tell it.
#ifndef HOLDFAST_CTL_AGAIN_SHOW_H
#define HOLDFAST_CTL_AGAIN_SHOW_H

#include "ctl/again.h"

// The cells that differ, or all with --all, and the orders to be told, as tables.
void again_show(const struct ctl *c, const struct again_book *b, const struct again_plan *p);
// Tells the plan's orders, unless it is a dry run; the state file goes when all are told. `b` NULL:
// a plan that goes on. How the command ends.
enum ctl_exit again_tell(struct ctl *c, const struct again_book *b, const struct again_plan *p,
                         const char *path);

#endif
