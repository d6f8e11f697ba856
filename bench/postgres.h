// A PostgreSQL of its own beside the engine: one transaction takes a unit from a SKU's row and
// inserts the hold, told once it is on the disk; 16 clients of PostgreSQL's own benchmark. One
// thread; everything blocks.
#ifndef HOLDFAST_BENCH_POSTGRES_H
#define HOLDFAST_BENCH_POSTGRES_H

#include "base/status.h"

#include <sys/types.h>

#define POSTGRES_ROOT "/usr/lib/postgresql" // Debian's
#define POSTGRES_SKUS 100000                // rows of stock

struct postgres {
    pid_t pid;
    char programs[256]; // their folder
    double version;
    char folder[4200]; // its own: data, scripts, log
    // Who it runs as, when this process is root, as whom it refuses to run.
    uid_t uid;
    gid_t gid;
};

// HF_NOT_FOUND: not installed. parent: on the disk to be measured; when this process is root, every
// user must be able to pass through it. postgres_stop after a failure, too.
enum hf_status postgres_start(struct postgres *p, const char *parent) HF_CHECKED;
// Holds of the first `skus` SKUs, picked uniformly, for about so many seconds, whole ones and one
// at least. *rate in thousands a second. HF_INVALID: it did not insert what it counted.
enum hf_status postgres_reserve(struct postgres *p, uint32_t skus, double seconds,
                                double *rate) HF_CHECKED;
// Ends the server, removes the folder.
void postgres_stop(struct postgres *p);

// The parts, for their test. ---------------------------------------------------------------------

// The newest of root/<version>/bin that has every program. False: none.
bool postgres_find(const char *root, char *programs, size_t bytes, double *version);

struct postgres_run {
    uint64_t transactions;
    double per_s; // without the time of connecting
};
// What pgbench printed. False: it did nothing, or says something else.
bool postgres_parse(const char *printed, struct postgres_run *out);

#endif
