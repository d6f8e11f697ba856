// Read-copy-update, quiescent-state flavour. The only module that includes liburcu.
//
// A thread registers once. It is online only inside a step (a batch of work): rcu_online ..
// rcu_offline. What it reads in the index between the two stays valid. Nothing on the decision
// path waits for a grace period; only housekeeping calls rcu_synchronize.
#ifndef HOLDFAST_RCU_RCU_H
#define HOLDFAST_RCU_RCU_H

#include <stdbool.h>

// Per OS thread; nested calls are counted, so several workers may live on one thread. Set-up.
void rcu_thread_register_once(void);
void rcu_thread_unregister_once(void);

// Wait-free. The thread is registered and offline (online for offline).
void rcu_step_begin(void);
void rcu_step_end(void);

// Blocks until every step that had begun has ended. The caller is outside a step.
void rcu_wait_grace(void);

#endif
