#include "load/ask.h"

#include "sys/clock.h"

#include <stdio.h>

#define WAIT_MS_MIN 20
#define WAIT_MS_MAX 1000

struct asked {
    const ProtobufCMessageDescriptor *type;
    ProtobufCMessage *reply;
    struct ask_error *error;
    int code;
    uint32_t retry_ms;
    bool over;
};

static void done(void *ctx, const struct link_end *end)
{
    struct asked *a = ctx;
    a->over = true;
    a->code = end->code;
    a->retry_ms = end->retry_ms;
    if (end->code == LINK_OK) {
        a->reply = protobuf_c_message_unpack(a->type, NULL, end->byte_count, end->bytes);
        if (!a->reply)
            a->code = LINK_INTERNAL;
    }
    a->error->code = a->code;
    snprintf(a->error->message, sizeof a->error->message, "%s%s%s: %.180s", link_code_name(a->code),
             end->reason[0] ? " " : "", end->reason, end->message);
}

static bool stopped(const struct asker *a)
{
    return a->stop && atomic_load(a->stop) > 1;
}

static void pause_ms(const struct asker *a, uint32_t ms)
{
    uint64_t end = clock_monotonic_ns(clock_os()) + ms * UINT64_C(1000000);
    while (clock_monotonic_ns(clock_os()) < end && !stopped(a))
        link_poll(a->link, end, 16);
}

bool ask(struct asker *a, const char *method, const ProtobufCMessage *request,
         const ProtobufCMessageDescriptor *type, ProtobufCMessage **reply, struct ask_error *error)
{
    uint64_t end = clock_monotonic_ns(clock_os()) + a->give_up_ms * UINT64_C(1000000);
    uint32_t wait_ms = WAIT_MS_MIN;
    for (;;) {
        struct asked asked = {.type = type, .error = error};
        link_call(a->link, 0, method, request, a->deadline_ms, done, &asked);
        while (!asked.over)
            link_poll(a->link, clock_monotonic_ns(clock_os()) + 100000000, 16);
        *reply = asked.reply;
        if (asked.code == LINK_OK)
            return true;
        if (!link_code_again(asked.code) || stopped(a) || clock_monotonic_ns(clock_os()) > end)
            return false;
        pause_ms(a, asked.retry_ms > wait_ms ? asked.retry_ms : wait_ms);
        wait_ms = wait_ms * 2 < WAIT_MS_MAX ? wait_ms * 2 : WAIT_MS_MAX;
    }
}
