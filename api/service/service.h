// What the gRPC methods do: requests into the engine's terms, decisions into answers.
//
// Set-up: service_create, rpc_create with service_hooks and service_methods, service_serving(true).
// Tear-down: service_serving(false), rpc_drain, rpc_destroy, service_destroy.
#ifndef HOLDFAST_API_SERVICE_H
#define HOLDFAST_API_SERVICE_H

#include "auth/auth.h"
#include "core/core.h"
#include "rpc/rpc.h"

struct flush_desk;      // flush/desk.h
struct flush_observer;  // flush/observe.h
struct watch_hub;       // watch/hub.h
struct ingest_sessions; // ingest/session.h

struct service_door {
    char address[64]; // IP address, as clients reach it
    uint16_t port;
};
#define SERVICE_DOORS_MAX 8

// What sessions for packets are opened with. The service alone opens and closes sessions.
struct service_packets {
    struct ingest_sessions *sessions; // borrowed; NULL: packets are off
    bool tagged;
    uint64_t life_ms;          // of a session, at most; 1,000 or more
    uint32_t items_per_second; // of a session, at most; 0: no bound
    uint32_t key_sessions_max; // of one API key at once
    uint32_t window_frames;
    uint32_t door_count; // 1..SERVICE_DOORS_MAX
    struct service_door doors[SERVICE_DOORS_MAX];
    bool (*random)(void *bytes, size_t count); // for keys; false: there is none
};

struct service_options {
    struct core *core;               // borrowed; has pollers + 1 workers to spare
    const struct auth *auth;         // borrowed
    struct watch_hub *hub;           // borrowed; NULL: WatchStock is UNIMPLEMENTED
    struct flush_desk *desk;         // borrowed; NULL: nothing is posted to an ERP
    struct flush_observer *observer; // borrowed; NULL: as above
    uint32_t pollers;
    uint32_t watchers_max; // WatchStock streams open at once
    uint32_t key_share;    // percent of them that may be one key's; 0: all
    struct service_packets packets;
};

struct service;

// HF_NO_MEMORY. Set-up.
enum hf_status service_create(const struct service_options *o, struct service **out) HF_CHECKED;
void service_destroy(struct service *s); // after rpc_destroy
struct rpc_hooks service_hooks(struct service *s);
// Static: everything that the server offers, health and reflection included.
const struct rpc_method *service_methods(uint32_t *count);
// What grpc.health.v1 tells from now on. Any thread.
void service_serving(struct service *s, bool serving);
// After auth_reload: sessions of keys that are revoked end, and their number is told. Any thread,
// blocking.
uint32_t service_keys_changed(struct service *s);

struct service_metrics {
    uint64_t decisions[CORE_VERB_COUNT][CORE_OUTCOME_COUNT];
    uint64_t by_channel[HF_CHANNELS_MAX + 1][2]; // DONE, REFUSED; [0]: no channel
};
void service_metrics(const struct service *s, struct service_metrics *out); // any thread

#endif
