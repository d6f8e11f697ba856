// What the files of the composition root share.
#ifndef HOLDFAST_API_DAEMON_INTERNAL_H
#define HOLDFAST_API_DAEMON_INTERNAL_H

#include "admin/admin.h"
#include "daemon/daemon.h"
#include "daemon/self_check.h"
#include "service/service.h"

#include <pthread.h>

enum daemon_state { DAEMON_STARTING, DAEMON_SERVING, DAEMON_DRAINING };

struct observer;
struct packets;
struct poster;

struct daemon {
    const struct config *config;
    uint64_t started_ns;
    char version[300];           // JSON, of /version
    _Atomic uint32_t state;      // enum daemon_state; for /readyz
    _Atomic uint32_t failed;     // enum exit_code
    _Atomic uint64_t tls_ends_s; // since 1970, the certificate's end; 0: no TLS
    bool binds;                  // the folder, to where it is
    bool posting_off;            // the folder is a copy
    struct auth *auth;
    struct node *node;
    struct poster *poster;     // NULL: nothing is posted
    struct observer *observer; // NULL: likewise
    struct packets *packets;   // NULL: none are taken
    struct service *service;
    struct rpc *rpc;
    pthread_mutex_t told_lock;    // the writer's thread tells the front doors of each group
    struct rpc *told;             // under told_lock; NULL: nobody to tell
    struct packets *told_packets; // the same
    struct admin_server *admin;
    struct self_check *self_check;
};

// daemon_admin.c: the three questions of the admin address; ctx is the daemon.
void daemon_collect(void *ctx, struct metrics *m);
bool daemon_healthy(void *ctx, char why[200]);
bool daemon_ready(void *ctx, char why[200]);

#endif
