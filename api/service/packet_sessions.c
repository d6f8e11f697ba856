// Sessions for packets: opened for whoever has shown an API key, and remembered with it.
//
// The book says whose each open session is, so that it can be listed, closed by its owner only, and
// ended when its key is revoked. Queues don't know it: they see the table of ingest/session.h. A
// session that is in the table and not in the book does not exist; the other way round it has just
// expired, and is forgotten at the next look.
#include "service/service_internal.h"

#include "ingest/session.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_SIZE     100
#define PAGE_SIZE_MAX 1000
#define LIFE_MS_MIN   1000

struct packet_entry {
    uint32_t session; // 0: free
    const struct auth_identity *who;
    uint64_t expires_ms;
    uint32_t rate;
    uint16_t channel;
};

struct packet_book {
    pthread_mutex_t mutex; // of all that follows
    uint32_t max, used;    // used: entries from here on were never taken
    struct packet_entry *entries;
};

enum hf_status packet_book_create(struct service *s)
{
    if (!s->options.packets.sessions)
        return HF_OK;
    struct packet_book *b = calloc(1, sizeof *b);
    if (!b)
        return HF_NO_MEMORY;
    b->max = ingest_sessions_max(s->options.packets.sessions);
    b->entries = calloc(b->max, sizeof *b->entries);
    pthread_mutex_init(&b->mutex, NULL);
    s->packets = b;
    return b->entries ? HF_OK : HF_NO_MEMORY;
}

void packet_book_destroy(struct service *s)
{
    if (!s->packets)
        return;
    pthread_mutex_destroy(&s->packets->mutex);
    free(s->packets->entries);
    free(s->packets);
}

// ------------------------------------------------------------------------------- the book

static uint64_t owner_of(const struct auth_identity *who)
{
    return (uintptr_t)who; // identities are never freed
}

// Ends what has expired and what belongs to keys that are revoked; tells how many of the latter.
static uint32_t book_sweep(struct service *s, uint64_t now_ms)
{
    struct packet_book *b = s->packets;
    struct ingest_sessions *table = s->options.packets.sessions;
    uint32_t revoked = 0;
    for (uint32_t i = 0; i < b->used; i++) {
        struct packet_entry *e = &b->entries[i];
        if (e->session == 0)
            continue;
        bool in_force = auth_in_force(e->who);
        if (in_force && e->expires_ms > now_ms)
            continue;
        bool there = ingest_session_close(table, e->session) == HF_OK;
        revoked += !in_force && there;
        e->session = 0;
    }
    return revoked;
}

uint32_t service_keys_changed(struct service *s)
{
    if (!s->packets)
        return 0;
    pthread_mutex_lock(&s->packets->mutex);
    uint32_t revoked = book_sweep(s, core_now(s->options.core));
    pthread_mutex_unlock(&s->packets->mutex);
    return revoked;
}

static struct packet_entry *book_free(struct packet_book *b)
{
    for (uint32_t i = 0; i < b->used; i++)
        if (b->entries[i].session == 0)
            return &b->entries[i];
    return b->used < b->max ? &b->entries[b->used++] : NULL;
}

static struct packet_entry *book_find(struct packet_book *b, uint32_t session)
{
    for (uint32_t i = 0; session && i < b->used; i++)
        if (b->entries[i].session == session)
            return &b->entries[i];
    return NULL;
}

static bool may_see(const struct auth_identity *who, const struct packet_entry *e)
{
    return e->who == who || auth_may(who, AUTH_OPERATOR);
}

// ------------------------------------------------------------------------------- opening

static bool packets_on(const struct service *s, struct rpc_call *call)
{
    if (!s->packets)
        call_fail(call, RPC_FAILED_PRECONDITION, "PACKETS_OFF", "",
                  "this server takes no packets: see its option packet_listen");
    return s->packets != NULL;
}

static bool open_wanted(struct service_local *l, struct rpc_call *call, uint16_t *channel)
{
    const Holdfast__V1__OpenSessionRequest *in = (const void *)call->request;
    size_t bytes = strlen(in->channel);
    *channel = 0;
    if (call->who->location_count) {
        call_fail(call, RPC_PERMISSION_DENIED, "LOCATION", "",
                  "this key is limited to locations, which packets don't look at: use gRPC");
    } else if (call->who->channel_count && !auth_channel_ok(call->who, in->channel, bytes)) {
        call_fail(call, RPC_PERMISSION_DENIED, "CHANNEL", "channel",
                  "this key is limited to other channels");
    } else if (bytes &&
               (bytes > HF_CHANNEL_BYTES_MAX ||
                core_channel_find(local_core(l), in->channel, (uint32_t)bytes, channel) != HF_OK)) {
        call_fail(call, RPC_INVALID_ARGUMENT, NULL, "channel", "not known; see CreateChannel");
    } else if (in->life_ms && in->life_ms < LIFE_MS_MIN) {
        call_fail(call, RPC_INVALID_ARGUMENT, NULL, "life_ms", "0, or 1,000 and more");
    } else {
        return true;
    }
    return false;
}

// What the session may ask. An id says nothing about whose reservation it is, and queues don't
// look: who may act on some channels only ends its holds over gRPC.
static uint8_t kinds_of(const struct auth_identity *who)
{
    uint8_t takes =
        INGEST_KIND(PACKET_HOLD) | INGEST_KIND(PACKET_ORDER) | INGEST_KIND(PACKET_RECORD);
    return who->channel_count ? takes : INGEST_KINDS_ALL;
}

// A frame has to fit the least MTU whole: a device takes no fragments.
static uint32_t frame_bytes_max(const struct service_packets *p)
{
    for (uint32_t i = 0; i < p->door_count; i++)
        if (strchr(p->doors[i].address, ':'))
            return PACKET_BYTES_IPV6;
    return PACKET_BYTES_MAX;
}

static bool open_fill(struct rpc_call *call, const struct service_packets *p,
                      const struct ingest_session *what, Holdfast__V1__OpenSessionResponse *out)
{
    out->tagged = what->tagged;
    if (what->tagged) {
        out->key.data = arena_take(&call->arena, PACKET_KEY_BYTES);
        out->key.len = PACKET_KEY_BYTES;
    }
    out->kinds = arena_take(&call->arena, PACKET_KIND_END * sizeof *out->kinds);
    out->doors = arena_take(&call->arena, p->door_count * sizeof(void *));
    Holdfast__V1__PacketDoor *doors = arena_take(&call->arena, p->door_count * sizeof *doors);
    if ((what->tagged && !out->key.data) || !out->kinds || !out->doors || !doors)
        return false;
    if (what->tagged)
        memcpy(out->key.data, what->key, PACKET_KEY_BYTES);
    for (int k = 1; k < PACKET_KIND_END; k++)
        if (what->kinds & INGEST_KIND(k))
            out->kinds[out->n_kinds++] = (Holdfast__V1__PacketKind)k;
    for (uint32_t i = 0; i < p->door_count; i++) {
        holdfast__v1__packet_door__init(&doors[i]);
        doors[i].address = (char *)(uintptr_t)p->doors[i].address;
        doors[i].port = p->doors[i].port;
        out->doors[out->n_doors++] = &doors[i];
    }
    out->expires_at_ms = (int64_t)what->expires_ms;
    out->frame_bytes_max = frame_bytes_max(p);
    out->items_per_second = what->rate;
    out->window_frames = p->window_frames;
    return true;
}

// The table's session and the book's entry. HF_FULL; HF_NOT_FOUND: the key was revoked meanwhile.
static enum hf_status open_both(struct service *s, const struct auth_identity *who,
                                const struct ingest_session *what, uint64_t now_ms,
                                uint32_t *session)
{
    const struct service_packets *p = &s->options.packets;
    enum hf_status status = HF_FULL;
    pthread_mutex_lock(&s->packets->mutex);
    (void)book_sweep(s, now_ms);
    struct packet_entry *e = book_free(s->packets);
    if (!auth_in_force(who))
        status = HF_NOT_FOUND;
    else if (e &&
             ingest_session_count_owner(p->sessions, what->owner, now_ms) < p->key_sessions_max)
        status = ingest_session_open(p->sessions, what, now_ms, session);
    if (status == HF_OK)
        *e = (struct packet_entry){*session, who, what->expires_ms, what->rate, what->channel};
    pthread_mutex_unlock(&s->packets->mutex);
    return status;
}

// 0 is no bound: the smaller of what is asked and what there is.
static uint32_t rate_of(uint32_t asked, uint32_t most)
{
    return asked == 0 || (most && asked > most) ? most : asked;
}

static void open_failed(struct rpc_call *call, enum hf_status status)
{
    struct rpc_error error = {.code = RPC_RESOURCE_EXHAUSTED,
                              .reason = "TOO_MANY_SESSIONS",
                              .message = "this key, or all of them, have as many as may be open",
                              .retry_ms = 1000};
    if (status == HF_NO_MEMORY)
        call_fail_memory(call);
    else if (status == HF_NOT_FOUND)
        call_fail(call, RPC_UNAUTHENTICATED, "KEY", "", "the key was revoked");
    else
        rpc_fail(call, &error);
}

void packet_open(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__OpenSessionRequest *in = (const void *)call->request;
    Holdfast__V1__OpenSessionResponse out = HOLDFAST__V1__OPEN_SESSION_RESPONSE__INIT;
    struct service_local *l = local;
    const struct service_packets *p = &l->service->options.packets;
    struct ingest_session what = {.tagged = p->tagged, .owner = owner_of(call->who)};
    uint64_t now_ms = core_now(local_core(l)), life_ms = p->life_ms;
    (void)ctx;
    if (!packets_on(l->service, call) || !open_wanted(l, call, &what.channel))
        return;
    if (in->life_ms && in->life_ms < life_ms)
        life_ms = in->life_ms;
    what.kinds = kinds_of(call->who);
    what.rate = rate_of(in->items_per_second, p->items_per_second);
    what.expires_ms = now_ms + life_ms;
    if (!p->random(what.key, sizeof what.key)) {
        call_fail(call, RPC_INTERNAL, NULL, "", "no randomness for a key");
        return;
    }
    out.generation = core_generation(local_core(l));
    out.expires_in_ms = (int64_t)life_ms;
    enum hf_status status = HF_NO_MEMORY;
    if (open_fill(call, p, &what, &out))
        status = open_both(l->service, call->who, &what, now_ms, &out.session_id);
    if (status == HF_OK)
        rpc_reply(call, &out.base, 0);
    else
        open_failed(call, status);
    explicit_bzero(what.key, sizeof what.key);
}

// ------------------------------------------------------------------------------- closing

void packet_close(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__CloseSessionRequest *in = (const void *)call->request;
    Holdfast__V1__CloseSessionResponse out = HOLDFAST__V1__CLOSE_SESSION_RESPONSE__INIT;
    struct service *s = ((struct service_local *)local)->service;
    (void)ctx;
    if (!packets_on(s, call))
        return;
    pthread_mutex_lock(&s->packets->mutex);
    struct packet_entry *e = book_find(s->packets, in->session_id);
    bool closed = e && may_see(call->who, e) &&
                  ingest_session_close(s->options.packets.sessions, in->session_id) == HF_OK;
    if (closed)
        e->session = 0;
    pthread_mutex_unlock(&s->packets->mutex);
    if (closed)
        rpc_reply(call, &out.base, 0);
    else // another key's session is nobody's here
        call_fail(call, RPC_NOT_FOUND, "UNKNOWN_SESSION", "session_id",
                  "no session of this key has this number");
}

// ------------------------------------------------------------------------------- listing

static Holdfast__V1__PacketSession *session_make(struct service_local *l, struct arena *a,
                                                 const struct packet_entry *e)
{
    Holdfast__V1__PacketSession *out = arena_take(a, sizeof *out);
    if (!out)
        return NULL;
    holdfast__v1__packet_session__init(out);
    const char *channel = e->channel ? core_channel_name(local_core(l), e->channel) : NULL;
    out->session_id = e->session;
    out->owner = (char *)(uintptr_t)e->who->name;
    if (channel)
        out->channel = (char *)(uintptr_t)channel;
    out->expires_at_ms = (int64_t)e->expires_ms;
    out->items_per_second = e->rate;
    return out;
}

static bool list_fill(struct service_local *l, struct rpc_call *call, uint32_t at, uint32_t size,
                      Holdfast__V1__ListSessionsResponse *out)
{
    const struct packet_book *b = l->service->packets;
    out->sessions = arena_take(&call->arena, size * sizeof(void *));
    if (!out->sessions)
        return false;
    for (; at < b->used && out->n_sessions < size; at++) {
        const struct packet_entry *e = &b->entries[at];
        if (e->session == 0 || !may_see(call->who, e))
            continue;
        out->sessions[out->n_sessions] = session_make(l, &call->arena, e);
        if (!out->sessions[out->n_sessions++])
            return false;
    }
    if (at >= b->used)
        return true;
    out->next_page_token = page_token_make(&call->arena, core_generation(local_core(l)), at);
    return out->next_page_token != NULL;
}

void packet_list(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__ListSessionsRequest *in = (const void *)call->request;
    Holdfast__V1__ListSessionsResponse out = HOLDFAST__V1__LIST_SESSIONS_RESPONSE__INIT;
    struct service_local *l = local;
    struct service *s = l->service;
    uint32_t at, size = in->page_size ? in->page_size : PAGE_SIZE;
    (void)ctx;
    if (!packets_on(s, call))
        return;
    if (size > PAGE_SIZE_MAX) {
        call_fail(call, RPC_INVALID_ARGUMENT, NULL, "page_size", "1..1,000");
        return;
    }
    if (!page_token_read(in->page_token, core_generation(local_core(l)), &at)) {
        call_fail(call, RPC_INVALID_ARGUMENT, NULL, "page_token",
                  "not one that this list gave out");
        return;
    }
    pthread_mutex_lock(&s->packets->mutex);
    (void)book_sweep(s, core_now(local_core(l)));
    bool enough = list_fill(l, call, at, size, &out);
    pthread_mutex_unlock(&s->packets->mutex);
    if (enough)
        rpc_reply(call, &out.base, 0);
    else
        call_fail_memory(call);
}
