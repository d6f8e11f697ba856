// A node: one engine on one data folder, with the usual threads. The in-process composition root.
//
//   node_open --(node_start)--> serving --(a step fails)--> failed
//       |                          |                          |
//       +---------------------> node_close <------------------+
//
// Threads: `writer` groups and syncs what was pushed; `timers` ends holds and forgets ids, once a
// millisecond; `keeper` makes segments and checkpoints, `archive` its files; `watchdog` ends the
// process when a decision has not moved for a second; `hub`, on request, follows the journal for
// stock watchers. Callers bring their own threads and workers.
//
// Crash-only: a node that failed acknowledges nothing more and does not come back. Whoever runs it
// ends the process and starts again; recovery is exact. Closing writes nothing either.
#ifndef HOLDFAST_API_NODE_H
#define HOLDFAST_API_NODE_H

#include "core/core.h"

#include <stdint.h>

// Exit codes of a process that runs a node; a supervisor starts it again after either.
#define NODE_EXIT_STUCK  70 // the watchdog: a thread stood still inside a decision
#define NODE_EXIT_FAILED 74 // for callers: the engine has stopped, see the log

struct node;
struct watch_hub;

struct node_options {
    const char *folder; // of the data; borrowed during node_open
    bool make;          // make the folder if it is not there. default true
    bool hold_back;     // leave the threads to node_start: nothing is appended before it, so that
                        // readers can begin where recovery ended. default false
    // Called once, by the thread whose step failed, before node_wait_failed returns. May be NULL;
    // must not call node_close. `step` is static text.
    void (*on_failed)(void *ctx, enum hf_status why, const char *step);
    // Called by the writer's thread after each group: more is durable than before. May be NULL;
    // must not block. Called before node_start has returned, too.
    void (*on_durable)(void *ctx);
    void *ctx;
    bool watch; // make a hub for stock watchers (watch/hub.h). default false
    // storage is filled in; so are clock and fresh_id where they are empty.
    struct core_options core;
};
void node_options_default(struct node_options *o);

// Opens the folder, recovers and starts the threads. Blocking, set-up only. The statuses of
// storage_os_create and core_open; HF_NO_MEMORY when a thread can't be had. report->why says in
// one sentence what was wrong.
enum hf_status node_open(const struct node_options *o, struct node **out,
                         struct core_report *report) HF_CHECKED;
// Starts the threads of a node that was held back; once. HF_NO_MEMORY: then node_close.
enum hf_status node_start(struct node *n) HF_CHECKED;
// By the thread that opened, after all workers are destroyed. Joins the threads and closes; writes
// nothing, so what was not durable yet may be gone.
void node_close(struct node *n);

struct core *node_core(struct node *n);
// NULL without `watch`. One that fell behind ends alone: the node serves on, watchers are told.
struct watch_hub *node_hub(struct node *n);

// HF_OK, or why a step failed. Any thread, wait-free.
enum hf_status node_failed(const struct node *n);
// Blocks until the node has failed (tells why) or timeout_ms passed (HF_OK). Any thread.
enum hf_status node_wait_failed(struct node *n, uint32_t timeout_ms);

#endif
