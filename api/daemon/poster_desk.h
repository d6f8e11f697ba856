// The desk of a flusher that runs in a thread of its own.
#ifndef HOLDFAST_API_POSTER_DESK_H
#define HOLDFAST_API_POSTER_DESK_H

#include "flush/desk.h"
#include "sys/park.h"

#include <pthread.h>

struct poster_asked; // one that waits

struct poster_desk {
    struct flush_desk base;
    struct flush *flush; // borrowed
    struct park *bell;   // wakes the flusher's thread
    struct park done;    // wakes those that wait
    pthread_mutex_t lock;
    struct poster_asked *first, **last; // under lock
    bool closed;                        // under lock
    uint32_t asked;                     // atomic: how many wait
};

void poster_desk_open(struct poster_desk *d, struct flush *f, struct park *bell);
// The flusher's thread, between two steps: does what was asked.
void poster_desk_serve(struct poster_desk *d, struct core_worker *w, uint64_t now_ms);
bool poster_desk_asked(const struct poster_desk *d); // any thread
// The flusher's thread has done its last step: whoever asks is told so.
void poster_desk_close(struct poster_desk *d);

#endif
