#include "sys/thread.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BACK_LEVELS 10 // a tenth of the weight
#define NICE_MAX    19
#define SLICE_NS    100000

// The kernel's struct sched_attr: its header and the C library's <sched.h> exclude each other.
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t utilization_min, utilization_max;
};

void thread_prompt(void)
{
    struct attributes a = {.size = sizeof a};
    if (syscall(SYS_sched_getattr, 0, &a, (unsigned)sizeof a, 0u) != 0 || a.policy != SCHED_OTHER)
        return;
    a.size = sizeof a;
    a.runtime = SLICE_NS;
    (void)syscall(SYS_sched_setattr, 0, &a, 0u);
}

// 0 is the calling thread, not its process: Linux keeps a nice level a thread.
static bool level_set(int level)
{
    return setpriority(PRIO_PROCESS, 0, level) == 0;
}

void thread_place_init(struct thread_place *p)
{
    errno = 0;
    *p = (struct thread_place){.beside = getpriority(PRIO_PROCESS, 0)};
    if (errno == 0 && p->beside < NICE_MAX && level_set(p->beside + 1))
        p->free = level_set(p->beside);
}

void thread_stand_back(struct thread_place *p, bool back)
{
    if (!p->free || back == p->back)
        return;
    int level = p->beside + (back ? BACK_LEVELS : 0);
    if (level_set(level < NICE_MAX ? level : NICE_MAX))
        p->back = back;
}
