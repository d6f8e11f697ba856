#include "model/oracle.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

static void *room_for(void *at, uint32_t *room, uint32_t need, size_t each)
{
    if (need <= *room)
        return at;
    uint32_t before = *room;
    *room = need < 16 ? 16 : need * 2;
    at = realloc(at, *room * each);
    HF_ASSERT(at);
    memset((char *)at + before * each, 0, (*room - before) * each);
    return at;
}

// ------------------------------------------------------------------------------- the table

static uint32_t index_place(const struct oracle_index *x, struct hf_uuid key)
{
    uint32_t i = (uint32_t)hf_hash_uuid(&key) & (x->room - 1);
    while (x->places[i] && !hf_uuid_equal(x->keys[i], key))
        i = (i + 1) & (x->room - 1);
    return i;
}

static uint32_t index_find(const struct oracle_index *x, struct hf_uuid key)
{
    return x->room ? x->places[index_place(x, key)] : 0;
}

static void index_put(struct oracle_index *x, struct hf_uuid key, uint32_t place)
{
    if (x->count * 2 >= x->room) {
        struct oracle_index bigger = {.room = x->room ? x->room * 2 : 64};
        bigger.keys = calloc(bigger.room, sizeof *bigger.keys);
        bigger.places = calloc(bigger.room, sizeof *bigger.places);
        HF_ASSERT(bigger.keys && bigger.places);
        for (uint32_t i = 0; i < x->room; i++)
            if (x->places[i])
                index_put(&bigger, x->keys[i], x->places[i] - 1);
        free(x->keys);
        free(x->places);
        *x = bigger;
    }
    uint32_t i = index_place(x, key);
    x->count += x->places[i] == 0;
    x->keys[i] = key;
    x->places[i] = place + 1;
}

static void index_clear(struct oracle_index *x)
{
    if (x->room)
        memset(x->places, 0, x->room * sizeof *x->places);
    x->count = 0;
}

// ------------------------------------------------------------------------------- life

void oracle_init(struct oracle *o)
{
    memset(o, 0, sizeof *o);
}

void oracle_clear(struct oracle *o)
{
    for (uint32_t i = 0; i < o->reservation_count; i++)
        free(o->reservations[i].lines);
    if (o->cell_count)
        memset(o->cells, 0, o->cell_count * sizeof *o->cells);
    if (o->channel_count)
        memset(o->channels, 0, o->channel_count * sizeof *o->channels);
    o->reservation_count = o->cell_count = o->channel_count = o->op_count = 0;
    index_clear(&o->by_id);
    index_clear(&o->by_op);
    o->lsn = 0;
}

void oracle_fini(struct oracle *o)
{
    oracle_clear(o);
    free(o->cells);
    free(o->channels);
    free(o->reservations);
    free(o->ops);
    free(o->by_id.keys);
    free(o->by_id.places);
    free(o->by_op.keys);
    free(o->by_op.places);
    memset(o, 0, sizeof *o);
}

struct oracle_reservation *oracle_find(const struct oracle *o, struct hf_uuid id)
{
    uint32_t place = index_find(&o->by_id, id);
    return place ? &o->reservations[place - 1] : NULL;
}

struct oracle_op *oracle_find_op(const struct oracle *o, struct hf_uuid op_id)
{
    uint32_t place = index_find(&o->by_op, op_id);
    return place ? &o->ops[place - 1] : NULL;
}

struct oracle_line *oracle_line_of(const struct oracle_reservation *r, uint32_t handle)
{
    for (uint32_t i = 0; i < r->line_count; i++)
        if (r->lines[i].handle == handle)
            return &r->lines[i];
    return NULL;
}

__int128 oracle_available(const struct oracle_cell *c)
{
    return c->on_hand - c->held - c->committed - c->external - c->safety + c->backorder;
}

__int128 oracle_held(const struct oracle *o, uint32_t handle)
{
    __int128 sum = 0;
    for (uint32_t i = 0; i < o->reservation_count; i++) {
        const struct oracle_reservation *r = &o->reservations[i];
        const struct oracle_line *l =
            r->state == CORE_STATE_HELD ? oracle_line_of(r, handle) : NULL;
        sum += l ? l->held : 0;
    }
    return sum;
}

struct core_line *oracle_held_lines(const struct oracle_reservation *r, uint32_t *count)
{
    struct core_line *out = calloc(r->line_count + 1, sizeof *out);
    HF_ASSERT(out);
    *count = 0;
    for (uint32_t i = 0; i < r->line_count; i++)
        if (r->lines[i].held)
            out[(*count)++] =
                (struct core_line){.handle = r->lines[i].handle, .quantity = r->lines[i].held};
    return out;
}

// ------------------------------------------------------------------------------- lines

static int by_handle(const void *a, const void *b)
{
    const struct core_line *x = a, *y = b;
    return x->handle < y->handle ? -1 : x->handle > y->handle;
}

bool oracle_merge(const struct core_line *lines, uint32_t count, struct core_line **out,
                  uint32_t *out_count)
{
    struct core_line *merged = calloc(count + 1, sizeof *merged);
    HF_ASSERT(merged);
    uint32_t n = 0;
    bool fits = true;
    if (count) {
        memcpy(merged, lines, count * sizeof *merged);
        qsort(merged, count, sizeof *merged, by_handle);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (n && merged[n - 1].handle == merged[i].handle) {
            __int128 sum = (__int128)merged[n - 1].quantity + merged[i].quantity;
            fits &= sum <= HF_QUANTITY_MAX && sum >= -HF_QUANTITY_MAX;
            merged[n - 1].quantity = (int64_t)sum;
        } else {
            merged[n++] = merged[i];
        }
    }
    *out = merged;
    *out_count = n;
    return fits;
}

uint64_t oracle_body_hash(const struct core_request *r, const struct core_line *merged,
                          uint32_t count)
{
    uint64_t h = hf_hash(merged, count * sizeof *merged, r->verb);
    h = hf_hash(&r->ttl_ms, sizeof r->ttl_ms, h);
    uint32_t flags = r->flags & ~(uint32_t)CORE_RETAKE; // says how to end, not with what
    h = hf_hash(&flags, sizeof flags, h);
    return hf_uuid_is_nil(r->op_id) ? h : hf_hash(&r->id, sizeof r->id, h);
}

// ------------------------------------------------------------------------------- events

static struct oracle_cell *cell_at(struct oracle *o, uint32_t handle)
{
    o->cells = room_for(o->cells, &o->cell_room, handle + 1, sizeof *o->cells);
    if (handle >= o->cell_count)
        o->cell_count = handle + 1;
    return &o->cells[handle];
}

static struct oracle_reservation *reservation_add(struct oracle *o, const struct oracle_event *e)
{
    struct oracle_reservation *r = oracle_find(o, e->id);
    if (r) { // a v4 id that had been forgotten
        free(r->lines);
    } else {
        o->reservations = room_for(o->reservations, &o->reservation_room,
                                   o->reservation_count + 1, sizeof *o->reservations);
        index_put(&o->by_id, e->id, o->reservation_count);
        r = &o->reservations[o->reservation_count++];
    }
    *r = (struct oracle_reservation){.id = e->id,
                                     .verb = e->verb,
                                     .channel = e->channel,
                                     .body_hash = e->body_hash,
                                     .line_count = e->line_count};
    r->lines = calloc(e->line_count + 1, sizeof *r->lines);
    HF_ASSERT(r->lines);
    memcpy(r->reference, e->text, sizeof r->reference);
    memcpy(r->buyer, e->text2, sizeof r->buyer);
    for (uint32_t i = 0; i < e->line_count; i++) {
        r->lines[i].handle = e->lines[i].handle;
        r->lines[i].taken = e->lines[i].quantity;
        if (e->verb == CORE_RESERVE)
            r->lines[i].held = e->lines[i].quantity;
        else
            r->lines[i].committed = e->lines[i].quantity;
    }
    return r;
}

static void op_add(struct oracle *o, const struct oracle_event *e)
{
    if (hf_uuid_is_nil(e->op_id))
        return;
    o->ops = room_for(o->ops, &o->op_room, o->op_count + 1, sizeof *o->ops);
    index_put(&o->by_op, e->op_id, o->op_count);
    o->ops[o->op_count++] = (struct oracle_op){.op_id = e->op_id,
                                               .id = e->id,
                                               .body_hash = e->body_hash,
                                               .time_ms = e->time_ms,
                                               .lsn = e->lsn,
                                               .value = e->value};
}

static void end_hold(struct oracle_reservation *r, enum core_state state)
{
    r->state = state;
    for (uint32_t i = 0; i < r->line_count; i++)
        r->lines[i].held = 0;
}

static void commit_lines(struct oracle_reservation *r, const struct oracle_event *e)
{
    end_hold(r, CORE_STATE_COMMITTED);
    r->ending_hash = e->body_hash;
    for (uint32_t i = 0; i < e->line_count; i++)
        oracle_line_of(r, e->lines[i].handle)->committed = e->lines[i].quantity;
}

static void change_lines(struct oracle_reservation *r, const struct oracle_event *e)
{
    bool left = false;
    for (uint32_t i = 0; i < e->line_count; i++) {
        struct oracle_line *l = oracle_line_of(r, e->lines[i].handle);
        if (e->kind == ORACLE_RELEASE_PART)
            l->held -= e->lines[i].quantity;
        else
            l->taken_back += e->lines[i].quantity;
    }
    for (uint32_t i = 0; i < r->line_count; i++)
        left |= r->lines[i].held > 0;
    if (e->kind == ORACLE_RELEASE_PART && !left) {
        r->state = CORE_STATE_RELEASED;
        r->ended_whole = false;
    }
}

static void apply_directory(struct oracle *o, const struct oracle_event *e)
{
    if (e->kind == ORACLE_CELL) {
        struct oracle_cell *c = cell_at(o, e->handle);
        c->made = c->active = true;
        c->scale = e->scale;
        memcpy(c->sku, e->text, sizeof c->sku);
        memcpy(c->location, e->text2, sizeof c->location);
    } else {
        o->channels = room_for(o->channels, &o->channel_room, e->handle + 1u,
                               sizeof *o->channels);
        if (e->handle >= o->channel_count)
            o->channel_count = e->handle + 1;
        memcpy(o->channels[e->handle], e->text, HF_CHANNEL_BYTES_MAX + 1);
    }
}

void oracle_apply_state(struct oracle *o, const struct oracle_event *e)
{
    o->lsn = e->lsn > o->lsn ? e->lsn : o->lsn;
    op_add(o, e);
    if (e->kind == ORACLE_CELL || e->kind == ORACLE_CHANNEL) {
        apply_directory(o, e);
        return;
    }
    if (e->kind == ORACLE_CHANGE || e->kind == ORACLE_ACKNOWLEDGE)
        return;
    bool fresh = e->kind == ORACLE_TAKE || e->kind == ORACLE_REJECT;
    struct oracle_reservation *r = fresh ? reservation_add(o, e) : oracle_find(o, e->id);
    HF_ASSERT(r);
    switch (e->kind) {
    case ORACLE_TAKE:
        r->state = e->verb == CORE_RESERVE ? CORE_STATE_HELD : CORE_STATE_COMMITTED;
        r->deadline_ms = e->time_ms + e->ttl_ms;
        break;
    case ORACLE_REJECT:
        r->state = CORE_STATE_REJECTED;
        break;
    case ORACLE_COMMIT:
    case ORACLE_RETAKE:
        commit_lines(r, e);
        r->ended_whole = e->whole;
        break;
    case ORACLE_RELEASE:
        end_hold(r, CORE_STATE_RELEASED);
        r->ending_hash = e->body_hash;
        r->ended_whole = true;
        break;
    case ORACLE_EXPIRE:
        r->state = CORE_STATE_EXPIRED; // the lines keep what a retake may take again
        break;
    case ORACLE_EXTEND:
        r->deadline_ms = e->time_ms + e->ttl_ms;
        break;
    default:
        change_lines(r, e);
    }
    r->time_ms = e->time_ms;
    if (e->kind != ORACLE_CANCEL && e->kind != ORACLE_RETURN)
        r->ended_ms = e->time_ms; // of a live hold: not yet meant
    r->lsn = e->lsn;
    r->version = e->version;
}

static void cells_change(struct oracle *o, const struct oracle_event *e)
{
    struct oracle_cell *c = cell_at(o, e->handle);
    switch (e->setting) {
    case CORE_SET_ON_HAND:
        c->on_hand = e->value;
        break;
    case CORE_SET_SAFETY:
        c->safety = e->value;
        break;
    case CORE_SET_BACKORDER:
        c->backorder = e->value;
        break;
    case CORE_SET_EXTERNAL:
        c->external = e->value;
        break;
    case CORE_SET_ACTIVE:
        c->active = e->value != 0;
        break;
    case CORE_SETTING_COUNT:
        HF_ASSERT(!"a count is no setting");
    }
}

static void cell_move(struct oracle_cell *c, const struct oracle_event *e, int64_t q)
{
    switch (e->kind) {
    case ORACLE_TAKE:
        if (e->verb == CORE_RESERVE)
            c->held += q;
        else
            c->committed += q;
        break;
    case ORACLE_COMMIT:
    case ORACLE_RETAKE:
        c->committed += q;
        break;
    case ORACLE_RELEASE_PART:
        c->held -= q;
        break;
    case ORACLE_CANCEL:
        c->committed -= q;
        break;
    case ORACLE_RETURN:
        if (!(e->flags & CORE_SCRAP))
            c->on_hand += q;
        break;
    case ORACLE_ACKNOWLEDGE:
        c->on_hand -= q;
        c->committed -= q;
        break;
    default:
        break;
    }
}

bool oracle_apply_cells(struct oracle *o, const struct oracle_event *e, uint32_t *handle)
{
    bool decision = e->kind == ORACLE_RETAKE || (e->kind == ORACLE_TAKE && e->verb != CORE_RECORD);
    bool fits = true;
    for (uint32_t i = 0; i < e->end_count; i++)
        cell_at(o, e->ends[i].handle)->held -= e->ends[i].quantity;
    if (e->kind == ORACLE_CHANGE)
        cells_change(o, e);
    for (uint32_t i = 0; i < e->line_count; i++) {
        struct oracle_cell *c = cell_at(o, e->lines[i].handle);
        cell_move(c, e, e->lines[i].quantity);
        if (decision && e->lines[i].quantity > 0 && oracle_available(c) < 0) {
            *handle = e->lines[i].handle;
            fits = false;
        }
    }
    return fits;
}
