// session open, close, list; handle: what programs that send packets are given.
#include "ctl/commands.h"

#include "ctl/format.h"
#include "ctl/message_json.h"
#include "ctl/table.h"

#include "holdfast/v1/packet.pb-c.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE  (&holdfast__v1__packet_service__descriptor)
#define PAGE_MAX 1000

static void tell_session(struct ctl *c, const Holdfast__V1__OpenSessionResponse *r)
{
    fprintf(c->io.out, "session %" PRIu32 ", generation %" PRIu64 ", %s, for %" PRId64 " s\n",
            r->session_id, r->generation, r->tagged ? "tagged" : "without tags",
            r->expires_in_ms / 1000);
    if (r->key.len)
        fputs("key ", c->io.out);
    for (size_t i = 0; i < r->key.len; i++)
        fprintf(c->io.out, "%02x%s", r->key.data[i], i + 1 == r->key.len ? "\n" : "");
    for (size_t i = 0; i < r->n_doors; i++) {
        char clean[TABLE_CELL_BYTES];
        format_clean(r->doors[i]->address, clean, sizeof clean);
        fprintf(c->io.out, "door %s port %" PRIu32 "\n", clean, r->doors[i]->port);
    }
}

enum ctl_exit ctl_session_open(struct ctl *c)
{
    Holdfast__V1__OpenSessionRequest request = HOLDFAST__V1__OPEN_SESSION_REQUEST__INIT;
    request.channel = (char *)(c->option[OPT_CHANNEL] ? c->option[OPT_CHANNEL] : "");
    if (!ctl_span(c, OPT_TTL, &request.life_ms))
        return CTL_USAGE;
    Holdfast__V1__OpenSessionResponse *reply = ctl_call(c, SERVICE, "OpenSession", &request);
    if (!reply)
        return ctl_failed(c);
    if (c->json)
        json_print(message_json(&reply->base), c->io.out);
    else
        tell_session(c, reply);
    ctl_free(reply);
    return CTL_OK;
}

enum ctl_exit ctl_session_close(struct ctl *c)
{
    Holdfast__V1__CloseSessionRequest request = HOLDFAST__V1__CLOSE_SESSION_REQUEST__INIT;
    char *end;
    unsigned long session = strtoul(c->argv[0], &end, 10);
    if (c->argv[0][0] < '0' || c->argv[0][0] > '9' || *end || session > UINT32_MAX)
        return ctl_usage(c, "%s is no session's number", c->argv[0]);
    request.session_id = (uint32_t)session;
    Holdfast__V1__CloseSessionResponse *reply = ctl_call(c, SERVICE, "CloseSession", &request);
    if (!reply)
        return ctl_failed(c);
    if (c->json)
        json_print(message_json(&reply->base), c->io.out);
    else
        fputs("closed\n", c->io.out);
    ctl_free(reply);
    return CTL_OK;
}

static void add_session(struct table *t, const struct ctl *c, const Holdfast__V1__PacketSession *s)
{
    char text[FORMAT_BYTES];
    int64_t left_ms = s->expires_at_ms - (int64_t)clock_wall_ms(c->io.clock);
    snprintf(text, sizeof text, "%" PRIu32, s->session_id);
    table_add(t, text);
    table_add(t, s->owner);
    table_add(t, s->channel);
    snprintf(text, sizeof text, "%" PRId64 " s", left_ms / 1000);
    table_add(t, text);
    snprintf(text, sizeof text, "%" PRIu32, s->items_per_second);
    table_add(t, s->items_per_second ? text : "no bound");
}

enum ctl_exit ctl_session_list(struct ctl *c)
{
    static const struct table_column columns[] = {{"SESSION", true, false}, {"KEY", false, true},
                                                  {"CHANNEL", false, true}, {"FOR", true, false},
                                                  {"ITEMS/S", true, false}, {NULL, false, false}};
    struct table t;
    char token[512] = "";
    enum ctl_exit e = CTL_OK;
    table_init(&t, columns);
    do {
        Holdfast__V1__ListSessionsRequest request = HOLDFAST__V1__LIST_SESSIONS_REQUEST__INIT;
        request.page_size = PAGE_MAX;
        request.page_token = token;
        Holdfast__V1__ListSessionsResponse *reply = ctl_call(c, SERVICE, "ListSessions", &request);
        if (!reply) {
            e = ctl_failed(c);
            break;
        }
        for (size_t i = 0; i < reply->n_sessions; i++)
            if (c->json)
                json_print(message_json(&reply->sessions[i]->base), c->io.out);
            else
                add_session(&t, c, reply->sessions[i]);
        if (!c->json)
            table_print(&t, c->io.out, c->io.columns_max);
        snprintf(token, sizeof token, "%s", reply->next_page_token);
        ctl_free(reply);
    } while (token[0]);
    table_fini(&t);
    return e;
}

enum ctl_exit ctl_handle(struct ctl *c)
{
    Holdfast__V1__GetHandlesRequest request = HOLDFAST__V1__GET_HANDLES_REQUEST__INIT;
    Holdfast__V1__StockName name = HOLDFAST__V1__STOCK_NAME__INIT, *names = &name;
    name.sku = c->argv[0];
    name.location = c->argv[1];
    request.stock = &names;
    request.n_stock = 1;
    Holdfast__V1__GetHandlesResponse *reply = ctl_call(c, SERVICE, "GetHandles", &request);
    if (!reply)
        return ctl_failed(c);
    enum ctl_exit e = CTL_OK;
    const Holdfast__V1__HandleResult *r = reply->n_results == 1 ? reply->results[0] : NULL;
    bool found = r && r->result_case == HOLDFAST__V1__HANDLE_RESULT__RESULT_HANDLE;
    if (!found) {
        const Holdfast__V1__Error *error = r ? r->error : NULL;
        (void)ctl_usage(c, "%s", error ? error->message : "the server's answer has no result");
        e = error ? ctl_exit_of_code(error->code) : CTL_FAILED;
    } else if (c->json) {
        json_t *object = message_json(&r->handle->base);
        json_t *whole = message_json(&reply->base);
        json_object_set(object, "generation", json_object_get(whole, "generation"));
        json_decref(whole);
        json_print(object, c->io.out);
    } else {
        fprintf(c->io.out, "handle %" PRIu32 ", generation %" PRIu64 "%s\n", r->handle->handle,
                reply->generation, r->handle->active ? "" : ", not active");
    }
    ctl_free(reply);
    return e;
}
