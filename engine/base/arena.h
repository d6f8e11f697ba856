// Memory outside the sealed kind, told apart by purpose: one jemalloc arena each, so that growth
// has a name. A thread is bound to an arena once, and everything that it allocates from then on is
// counted there, whichever library asks. What a decision touches is none of this: see memory.h.
//
// Works where the program is linked with jemalloc. Elsewhere (a sanitizer brings its own allocator)
// the calls do nothing, and a reading says that it is none.
#ifndef HOLDFAST_BASE_ARENA_H
#define HOLDFAST_BASE_ARENA_H

#include <stdbool.h>
#include <stdint.h>

#define HF_ARENA_TABLE(X)                                                                          \
    X(OTHER, "other", "threads that named no purpose")                                             \
    X(SETUP, "setup", "made at the start: workers, journal buffers, file lists")                   \
    X(KEEPER, "keeper", "segments, checkpoints and archive files under way")                       \
    X(GRPC, "grpc", "calls, messages and connections")                                             \
    X(HTTP, "http", "the admin server")                                                            \
    X(FLUSH, "flush", "batches on their way to the ERP")
enum hf_arena {
#define X(id, name, help) HF_ARENA_##id,
    HF_ARENA_TABLE(X)
#undef X
        HF_ARENA_COUNT
};

// Static text, any thread. Unknown codes yield "unknown".
const char *hf_arena_name(enum hf_arena a);
const char *hf_arena_help(enum hf_arena a);

// Binds the calling thread; returns what it was bound to. A change back and forth is exact: what
// the thread has cached goes back first. OTHER only undoes an earlier binding. Any thread; makes
// the arena at its first use, inside jemalloc, so it may block. An arena that can't be had leaves
// the thread as it was.
enum hf_arena hf_arena_use(enum hf_arena a);

struct hf_arena_reading {
    bool measured;            // false: no jemalloc here, or the arena was never used
    uint64_t allocated_bytes; // asked for and not freed, rounded up to size classes
    uint64_t resident_bytes;  // of the machine's memory; OTHER: the allocator's own as well
};
// Any thread; takes the allocator's locks for a moment: for metrics, not for hot paths. Readings
// of several arenas are of one moment each.
struct hf_arena_reading hf_arena_read(enum hf_arena a);

#endif
