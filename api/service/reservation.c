// Telling and listing reservations.
#include "service/verb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_DEFAULT 100
#define PAGE_MAX     1000
#define LIST_VIEWS   64
// What a page looks at before it ends, perhaps with nothing on it: some milliseconds.
#define LIST_LOOKS 65536

static Holdfast__V1__ReservationKind kind_of(enum core_verb v)
{
    switch (v) {
    case CORE_RESERVE:
        return HOLDFAST__V1__RESERVATION_KIND__RESERVATION_KIND_HOLD;
    case CORE_ORDER:
        return HOLDFAST__V1__RESERVATION_KIND__RESERVATION_KIND_ORDER;
    case CORE_RECORD:
        return HOLDFAST__V1__RESERVATION_KIND__RESERVATION_KIND_RECORD;
    default:
        return HOLDFAST__V1__RESERVATION_KIND__RESERVATION_KIND_UNSPECIFIED;
    }
}

static bool lines_tell(struct service_local *l, struct arena *a, const struct core_line *lines,
                       uint32_t count, Holdfast__V1__Reservation *r)
{
    Holdfast__V1__ReservationLine *out = arena_take(a, count * sizeof *out);
    r->lines = arena_take(a, count * sizeof(void *));
    if (!out || !r->lines)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct core_name name = {0};
        holdfast__v1__reservation_line__init(&out[i]);
        out[i].handle = lines[i].handle;
        out[i].quantity = lines[i].quantity;
        if (core_cell_name(local_core(l), lines[i].handle, &name) == HF_OK) {
            out[i].sku = arena_text(a, name.sku, name.sku_bytes);
            out[i].location = arena_text(a, name.location, name.location_bytes);
            if (!out[i].sku || !out[i].location)
                return false;
        }
        r->lines[i] = &out[i];
    }
    r->n_lines = count;
    return true;
}

// All but the lines.
static Holdfast__V1__Reservation *view_tell(struct service_local *l, struct arena *a,
                                            const struct core_view *v)
{
    Holdfast__V1__Reservation *r = arena_take(a, sizeof *r);
    Holdfast__V1__JournalPosition *p = arena_take(a, sizeof *p);
    char *id = arena_take(a, HF_UUID_TEXT_BYTES);
    if (!r || !p || !id)
        return NULL;
    uint64_t now_ms = core_now(local_core(l));
    holdfast__v1__reservation__init(r);
    holdfast__v1__journal_position__init(p);
    hf_uuid_format(v->id, id);
    r->reservation_id = id;
    r->kind = kind_of(v->verb);
    r->state = convert_state(v->state);
    r->version = v->version;
    if (v->state == CORE_STATE_HELD) {
        r->expires_at_ms = (int64_t)v->time_ms;
        r->expires_in_ms = v->time_ms > now_ms ? (int64_t)(v->time_ms - now_ms) : 0;
    } else {
        r->ended_at_ms = (int64_t)v->time_ms;
    }
    const char *channel = core_channel_name(local_core(l), v->channel);
    if (channel && v->channel)
        r->channel = (char *)(uintptr_t)channel;
    r->reference = arena_text(a, v->reference, strlen(v->reference));
    r->lines_away = v->lines_away;
    p->lsn = v->ticket;
    r->position = p;
    return r->reference ? r : NULL;
}

static bool within_window(struct service_local *l, struct hf_uuid id)
{
    struct core_metrics m;
    core_metrics(local_core(l), &m);
    return hf_uuid_version(id) != 7 || hf_uuid_ms(id) >= m.floor_ms;
}

bool reservation_foreign(struct service_local *l, const struct auth_identity *who,
                         const struct core_view *v, const struct core_line *lines)
{
    struct core *c = local_core(l);
    const char *channel = v->channel ? core_channel_name(c, v->channel) : "";
    struct core_name name;
    if (!auth_channel_ok(who, channel ? channel : "", channel ? strlen(channel) : 0))
        return true;
    for (uint32_t i = 0; who->location_count && i < v->line_count && i < HF_LINES_MAX; i++)
        if (core_cell_name(c, lines[i].handle, &name) != HF_OK ||
            !auth_location_ok(who, name.location, name.location_bytes))
            return true;
    return false;
}

// Whether `who` may see it. Without lines in memory nothing says where they lay: then a key with
// locations may not.
static bool may_see(struct service_local *l, const struct auth_identity *who,
                    const struct core_view *v, const struct core_line *lines)
{
    bool placed = v->line_count > 0 && !v->lines_away;
    return (placed || who->location_count == 0) && !reservation_foreign(l, who, v, lines);
}

// What of it is told, or has to be looked at, stands on the disk.
static bool lines_wanted(const struct auth_identity *who, const struct core_view *v)
{
    return v->lines_away && (v->state == CORE_STATE_COMMITTED ||
                             (who->location_count && v->state == CORE_STATE_EXPIRED));
}

enum hf_status reservation_tell(struct service_local *l, struct arena *a,
                                const struct reservation_asked *asked,
                                Holdfast__V1__Reservation **out, uint64_t *ticket)
{
    struct core *c = local_core(l);
    struct hf_uuid id = asked->id;
    struct core_view v;
    static _Thread_local struct core_line lines[HF_LINES_MAX];
    enum hf_status s = core_get(l->worker, core_now(c), id, &v, lines, HF_LINES_MAX);
    bool away = (s == HF_OK && lines_wanted(asked->who, &v)) ||
                (s == HF_NOT_FOUND && !within_window(l, id)); // an older one may be on the disk
    if (away && !asked->may_recall)
        return HF_BUSY;
    enum hf_status recalled = away ? core_recall(l->worker, core_now(c), id) : HF_NOT_FOUND;
    if (recalled == HF_OK)
        s = core_get(l->worker, core_now(c), id, &v, lines, HF_LINES_MAX);
    else if (recalled != HF_NOT_FOUND && (s == HF_NOT_FOUND || asked->who->location_count))
        s = HF_BUSY; // it may be there, or be this key's, but could not be looked for
    if (s != HF_OK)
        return s;
    if (recalled == HF_OK && asked->who->location_count && v.lines_away)
        return HF_BUSY; // pushed out again meanwhile
    if (!may_see(l, asked->who, &v, lines))
        return HF_FOREIGN;
    *out = view_tell(l, a, &v);
    *ticket = v.ticket;
    uint32_t count = v.line_count < HF_LINES_MAX ? v.line_count : HF_LINES_MAX;
    return *out && lines_tell(l, a, lines, count, *out) ? HF_OK : HF_NO_MEMORY;
}

struct rpc_error reservation_error(enum hf_status status)
{
    switch (status) {
    case HF_NOT_FOUND:
        return convert_outcome(CORE_OUT_UNKNOWN, CORE_FIELD_NONE, 0, 0);
    case HF_FOREIGN:
        return (struct rpc_error){.code = RPC_PERMISSION_DENIED,
                                  .reason = "RESERVATION",
                                  .message = "this key is limited to other channels or locations"};
    case HF_AGAIN:
        return convert_outcome(CORE_OUT_IN_PROGRESS, CORE_FIELD_NONE, 0, 0);
    default:
        return convert_outcome(CORE_OUT_BUSY, CORE_FIELD_NONE, 0, 0);
    }
}

// ------------------------------------------------------------------------------- lists

// Of one reservation in a list, packed: identity, times and texts, and its lines with their names.
#define RESERVATION_BYTES_MAX (256 + HF_LINES_MAX * (HF_SKU_BYTES_MAX + HF_LOCATION_BYTES_MAX + 24))
static_assert(RESERVATION_BYTES_MAX <= ANSWER_BYTES_MAX, "one fits a page");

struct listing {
    struct core_filter filter;
    uint64_t cursor;
    uint32_t page;
    size_t bytes_left;
};

static bool list_state(Holdfast__V1__ReservationState asked, struct core_filter *f)
{
    for (int s = CORE_STATE_HELD; s < CORE_STATE_COUNT; s++)
        if (convert_state((enum core_state)s) == asked) {
            f->by_state = true;
            f->state = (enum core_state)s;
            return true;
        }
    return false;
}

static bool list_read(struct service_local *l, const struct rpc_call *call,
                      const Holdfast__V1__ListReservationsRequest *m, struct listing *out,
                      struct rpc_error *error)
{
    *out = (struct listing){.page = m->page_size ? m->page_size : PAGE_DEFAULT,
                            .bytes_left = ANSWER_BYTES_MAX};
    struct core_filter *f = &out->filter;
    if (out->page > PAGE_MAX) {
        *error = rpc_invalid("page_size", "1..1,000");
        return false;
    }
    if (m->state && !list_state(m->state, f)) {
        *error = rpc_invalid("state", "not a known value");
        return false;
    }
    if (m->sku[0] || m->location[0]) {
        struct stock_ref ref = {m->sku, m->location, 0, 0};
        f->by_handle = true;
        if (!convert_stock(l, call->who, &ref, "", &f->handle, error))
            return false;
    }
    if (m->channel[0]) {
        f->by_channel = true;
        if (core_channel_find(local_core(l), m->channel, (uint32_t)strlen(m->channel),
                              &f->channel) != HF_OK) {
            *error = convert_outcome(CORE_OUT_INVALID, CORE_FIELD_CHANNEL, 0, 0);
            return false;
        }
    }
    f->reference = m->reference[0] ? m->reference : NULL;
    char *end = NULL;
    out->cursor = m->page_token[0] ? strtoull(m->page_token, &end, 16) : 0;
    if (m->page_token[0] && (*end || strlen(m->page_token) > 16 || out->cursor == 0)) {
        *error = rpc_invalid("page_token", "not from an earlier page");
        return false;
    }
    return true;
}

// One reservation of the list, as it is by now. It may have ended, or gone, since it was found.
static enum hf_status list_add(struct service_local *l, struct rpc_call *call, struct hf_uuid id,
                               struct listing *list, Holdfast__V1__ListReservationsResponse *out,
                               uint64_t *ticket)
{
    struct arena *a = &call->arena;
    struct core_view v;
    static _Thread_local struct core_line lines[HF_LINES_MAX];
    if (core_get(l->worker, core_now(local_core(l)), id, &v, lines, HF_LINES_MAX) != HF_OK ||
        !may_see(l, call->who, &v, lines))
        return HF_OK;
    Holdfast__V1__Reservation *r = view_tell(l, a, &v);
    if (!r || !lines_tell(l, a, lines, v.line_count, r))
        return HF_NO_MEMORY;
    HF_ASSERT(answer_room(&list->bytes_left, &r->base)); // list_want left room for the largest
    out->reservations[out->n_reservations++] = r;
    *ticket = v.ticket > *ticket ? v.ticket : *ticket;
    return HF_OK;
}

// How many may be looked for at once, so that all of them fit whatever they are. 0: the page ends.
static uint32_t list_want(const struct listing *list, size_t added)
{
    size_t want = list->page - added, room = list->bytes_left / RESERVATION_BYTES_MAX;
    want = want < LIST_VIEWS ? want : LIST_VIEWS;
    return (uint32_t)(want < room ? want : room);
}

void reservation_list(void *ctx, void *local, struct rpc_call *call)
{
    struct service_local *l = local;
    struct arena *a = &call->arena;
    struct listing list;
    struct rpc_error error;
    struct core_view views[LIST_VIEWS];
    Holdfast__V1__ListReservationsResponse out = HOLDFAST__V1__LIST_RESERVATIONS_RESPONSE__INIT;
    uint64_t ticket = 0;
    enum hf_status s = HF_OK;
    (void)ctx;
    if (!list_read(l, call, (const void *)call->request, &list, &error)) {
        rpc_fail(call, &error);
        return;
    }
    out.reservations = arena_take(a, list.page * sizeof(void *));
    char *token = arena_take(a, 20);
    if (!out.reservations || !token)
        s = HF_NO_MEMORY;
    uint64_t first = list.cursor ? list.cursor : 1, looks = 0;
    uint32_t want = s == HF_OK ? list_want(&list, 0) : 0;
    while (want > 0 && looks < LIST_LOOKS && s == HF_OK) {
        if (rpc_given_up(call, &error)) {
            rpc_fail(call, &error);
            return;
        }
        list.filter.looks_max = (uint32_t)(LIST_LOOKS - looks);
        uint32_t n = core_list(l->worker, &list.filter, &list.cursor, views, want);
        for (uint32_t i = 0; i < n && s == HF_OK; i++)
            s = list_add(l, call, views[i].id, &list, &out, &ticket);
        want = list.cursor ? list_want(&list, out.n_reservations) : 0;
        looks = list.cursor - first; // a cursor is a place
    }
    if (s != HF_OK) {
        error = reservation_error(s);
        rpc_fail(call, &error);
        return;
    }
    if (list.cursor) {
        snprintf(token, 20, "%llx", (unsigned long long)list.cursor);
        out.next_page_token = token;
    }
    rpc_reply(call, &out.base, ticket);
}
