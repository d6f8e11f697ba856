// holdfastctl journal: looks at a data folder's journal offline. It takes no lock and changes
// nothing, so it may run beside the engine (whose group under way then looks unfinished).
#ifndef HOLDFAST_CTL_JOURNAL_TOOL_H
#define HOLDFAST_CTL_JOURNAL_TOOL_H

#include "ctl/exit.h"
#include "journal/record.h"

#include <stdio.h>

// Prints what a payload means, as further members of a JSON object: `,"lines":[...]`. The journal
// does not know, so its owner hands it in; NULL: the payload in hexadecimal instead.
typedef void (*journal_tool_print)(FILE *out, const struct journal_record *r);

struct journal_tool {
    FILE *out, *err;
    journal_tool_print print_record;
};

// argv[0] is the word `journal`. One thread; blocking.
enum ctl_exit journal_tool_run(const struct journal_tool *t, int argc, char **argv);

#endif
