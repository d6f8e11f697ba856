#include "rcu/rcu.h"

#include "base/status.h"

#include <urcu-qsbr.h>

static __thread unsigned registrations;

void rcu_thread_register_once(void)
{
    if (registrations++ == 0) {
        urcu_qsbr_register_thread();
        urcu_qsbr_thread_offline();
    }
}

void rcu_thread_unregister_once(void)
{
    HF_ASSERT(registrations > 0);
    if (--registrations == 0)
        urcu_qsbr_unregister_thread();
}

#ifdef HF_TSAN
// ThreadSanitizer does not see liburcu's fences: state the same edges with one pair of our own.
static char grace_edge;
#define EDGE_RELEASE() __atomic_fetch_add(&grace_edge, 1, __ATOMIC_RELEASE)
#define EDGE_ACQUIRE() __atomic_load_n(&grace_edge, __ATOMIC_ACQUIRE)
#else
#define EDGE_RELEASE() ((void)0)
#define EDGE_ACQUIRE() ((void)0)
#endif

void rcu_step_begin(void)
{
    urcu_qsbr_thread_online();
    EDGE_ACQUIRE();
}

void rcu_step_end(void)
{
    EDGE_RELEASE();
    urcu_qsbr_thread_offline();
}

void rcu_wait_grace(void)
{
    EDGE_RELEASE();
    urcu_qsbr_synchronize_rcu();
    EDGE_ACQUIRE();
}
