// What a run found, for people and for programs.
#ifndef HOLDFAST_LOADGEN_RESULT_H
#define HOLDFAST_LOADGEN_RESULT_H

#include "load/audit.h"
#include "load/options.h"
#include "load/replay.h"
#include "load/sender.h"
#include "load/tally.h"

#include <stdio.h>

struct result {
    const struct options *options;
    uint64_t seed, ns; // from the first intended start to the last outcome
    uint64_t cells;
    struct tally tally;
    struct sender_counts sender;
    uint64_t unknown;
    struct hf_uuid unknown_first;
    const struct trace *trace; // NULL: no replay
    struct replay_counts replay;
    bool audited;
    struct audit audit;
};

void result_merge_sender(struct sender_counts *into, const struct sender_counts *from);
void result_merge_replay(struct replay_counts *into, const struct replay_counts *from);
// The exit code that these findings deserve.
enum options_exit result_exit(const struct result *r);
void result_table(FILE *out, const struct result *r);
void result_json(FILE *out, const struct result *r);

// A line that is written over, on a terminal.
struct screen {
    FILE *out; // NULL: nothing is shown
    struct tally before;
    uint64_t before_ns, begin_ns;
};
void screen_init(struct screen *s, FILE *out, uint64_t begin_ns);
// Once a second: rate, outcomes and latencies of the time since the last call.
void screen_progress(struct screen *s, const struct tally *now, uint64_t now_ns);
void screen_text(struct screen *s, const char *text);
void screen_clear(struct screen *s);

#endif
