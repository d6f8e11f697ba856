// The calling thread's place among the process's others, as the kernel's scheduler sees it. Wishes:
// where the kernel or this process's limits don't grant one, nothing changes and nothing fails.
#ifndef HOLDFAST_SYS_THREAD_H
#define HOLDFAST_SYS_THREAD_H

#include <stdbool.h>

// For a thread that sleeps most of the time and is to run as soon as it is woken: the shortest
// slice that there is, 0.1 ms, so that it need not wait for the end of another's (Linux 6.12;
// earlier ones take no notice).
void thread_prompt(void);

// A thread that stands back while others have work, and beside them when its own becomes urgent.
struct thread_place {
    int beside; // its nice level when it does not stand back
    bool free;  // it may come back: RLIMIT_NICE or CAP_SYS_NICE; else it never stands back
    bool back;
};

// The calling thread's own; it stands beside the others. Where it may not come back this leaves it
// one nice level lower: only trying tells.
void thread_place_init(struct thread_place *p);
// 10 nice levels lower, or not. No system call when it stands there already.
void thread_stand_back(struct thread_place *p, bool back);

#endif
