// How far a command is, on a terminal: a bar that is drawn over itself. Nothing elsewhere, and
// nothing with --json.
#ifndef HOLDFAST_CTL_PROGRESS_H
#define HOLDFAST_CTL_PROGRESS_H

#include "ctl/ctl.h"

struct progress {
    const struct ctl *c;
    const char *what; // "rows"
    size_t begin;     // where this run began
    uint64_t begin_ns, told_ns;
};

void progress_begin(struct progress *p, const struct ctl *c, const char *what, size_t begin);
// `all` 0: nobody knows how many there will be. At most ten times a second but for the last.
void progress_tell(struct progress *p, size_t at, size_t all, bool last);
// Before a line on `err`: takes the bar away.
void progress_hide(const struct ctl *c);

#endif
