#include "packet_client/packet_client_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define POLL_FRAMES_MOST 1024 // received in one poll, so that what is due gets its turn

// ------------------------------------------------------------------------------- names

const char *packet_outcome_name(unsigned outcome)
{
    static const char *const names[PACKET_OUT_END] = {
#define X(number, name, help) [number] = #name,
        PACKET_OUTCOME_TABLE(X)
#undef X
    };
    return outcome < PACKET_OUT_END && names[outcome] ? names[outcome] : "unknown";
}

const char *packet_outcome_help(unsigned outcome)
{
    static const char *const helps[PACKET_OUT_END] = {
#define X(number, name, help) [number] = help,
        PACKET_OUTCOME_TABLE(X)
#undef X
    };
    return outcome < PACKET_OUT_END && helps[outcome] ? helps[outcome] : "unknown";
}

// ------------------------------------------------------------------------------- the loop

// When something of our own has to be done.
static uint64_t next_due(const struct packet_client *c)
{
    uint64_t due = session_due(c);
    if (c->heap_count && c->slots[c->heap[0]].due_ns < due)
        due = c->slots[c->heap[0]].due_ns;
    if (c->queued && client_grant(c)->session) {
        uint64_t linger = c->queued_since_ns + c->o.linger_us * UINT64_C(1000);
        uint64_t soon = client_now(c) + 200000; // the window or the rate holds it back
        uint64_t at = linger > soon ? linger : soon;
        due = at < due ? at : due;
    }
    return due;
}

static uint32_t receive_all(struct packet_client *c)
{
    uint32_t sum = 0, n;
    do
        sum += n = frames_receive(c);
    while (n == BURST && sum < POLL_FRAMES_MOST);
    return sum;
}

void packet_client_poll(struct packet_client *c, uint64_t until_ns)
{
    uint64_t now = client_now(c);
    session_step(c, now);
    slots_due(c, now);
    frames_send(c, now);
    if (receive_all(c) == 0 && until_ns > now) {
        uint64_t due = next_due(c);
        c->o.transport->wait(c->o.transport, due < until_ns ? due : until_ns);
        receive_all(c);
    }
    now = client_now(c);
    slots_due(c, now);
    frames_send(c, now);
}

uint32_t packet_client_open(const struct packet_client *c)
{
    return c->open;
}

const struct packet_grant *packet_client_grant(const struct packet_client *c)
{
    return client_grant(c)->session ? client_grant(c) : NULL;
}

uint64_t packet_client_now_ns(const struct packet_client *c)
{
    return client_now(c);
}

const struct packet_client_counts *packet_client_counts(const struct packet_client *c)
{
    return &c->counts;
}

// ------------------------------------------------------------------------------- set-up

static bool options_read(struct packet_client_options *o, char why[PACKET_CLIENT_WHY])
{
#define X(name, value, low, high, help)                                                            \
    if (o->name == 0)                                                                              \
        o->name = (value);                                                                         \
    if ((int64_t)o->name < (low) || o->name > (high)) {                                            \
        snprintf(why, PACKET_CLIENT_WHY, "%s is not within %u..%u", #name, (unsigned)(low),        \
                 (unsigned)(high));                                                                \
        return false;                                                                              \
    }
    PACKET_CLIENT_OPTION_TABLE(X)
#undef X
    if (!o->transport || !o->control || !o->done)
        snprintf(why, PACKET_CLIENT_WHY, "a transport, a control and a callback are needed");
    return o->transport && o->control && o->done;
}

static bool client_memory(struct packet_client *c)
{
    uint32_t records = 1024; // of frames: late replies are read while their record is there
    while (records < 4 * c->o.frames_max)
        records *= 2;
    c->sent_mask = records - 1;
    c->slots = calloc(c->o.items_max, sizeof *c->slots);
    c->heap = calloc(c->o.items_max, sizeof *c->heap);
    c->sent = calloc(records, sizeof *c->sent);
    c->buffers = calloc(BURST, sizeof *c->buffers);
    return c->slots && c->heap && c->sent && c->buffers;
}

static void client_free(struct packet_client *c)
{
    free(c->slots);
    free(c->heap);
    free(c->sent);
    free(c->buffers);
    free(c);
}

enum packet_client_status packet_client_create(const struct packet_client_options *o,
                                               struct packet_client **out,
                                               char why[PACKET_CLIENT_WHY])
{
    struct packet_client *c = calloc(1, sizeof *c);
    why[0] = '\0';
    if (!c)
        return PACKET_CLIENT_NO_MEMORY;
    c->o = *o;
    bool ok = options_read(&c->o, why);
    if (!ok || !client_memory(c)) {
        client_free(c);
        return ok ? PACKET_CLIENT_NO_MEMORY : PACKET_CLIENT_INVALID;
    }
    for (uint32_t i = 0; i < c->o.items_max; i++)
        c->slots[i].next = i + 1 < c->o.items_max ? i + 1 : NO_SLOT;
    c->random = o->seed;
    c->open_wait_ms = c->o.open_ms;
    c->silence_ns = c->o.silence_ms * UINT64_C(1000000);
    *out = c;
    return PACKET_CLIENT_OK;
}

void packet_client_destroy(struct packet_client *c)
{
    sessions_close(c);
    c->o.control->destroy(c->o.control);
    c->o.transport->destroy(c->o.transport);
    client_free(c);
}
