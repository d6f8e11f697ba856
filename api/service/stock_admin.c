// Changing stock and its settings, in the slow lane. Every answer waits for its record.
#include "service/service_internal.h"

#include "flush/flush.h"

#include "base/hash.h"

#include <stdio.h>
#include <string.h>

#define ROWS_MAX      1000
#define BUSY_TRIES    20
#define BUSY_WAIT_MS  50
#define QUANTITY_TEXT "within +-(2^53 - 1), and not below zero where the term may not be"

static bool refuse(struct rpc_error *error, enum rpc_code code, const char *reason,
                   const char *field, const char *message)
{
    *error = rpc_invalid(field, message);
    error->code = code;
    error->reason = reason;
    return false;
}

static void fail(struct rpc_call *call, enum rpc_code code, const char *reason, const char *field,
                 const char *message)
{
    struct rpc_error error;
    refuse(&error, code, reason, field, message);
    rpc_fail(call, &error);
}

// ------------------------------------------------------------------------------- cells

// False: *error is filled.
static bool cell_make(struct service_local *l, const struct auth_identity *who,
                      const Holdfast__V1__CreateStockRequest *in, struct core_admin_answer *out,
                      struct rpc_error *error)
{
    size_t sku = strlen(in->sku), location = strlen(in->location);
    if (in->unit_scale > HF_UNIT_SCALE_MAX)
        return refuse(error, RPC_INVALID_ARGUMENT, NULL, "unit_scale", "0..6");
    if (location && !auth_location_ok(who, in->location, location))
        return refuse(error, RPC_PERMISSION_DENIED, "LOCATION", "location",
                      "this key is limited to other locations");
    core_cell_make(l->worker, core_now(local_core(l)), in->sku, (uint32_t)sku, in->location,
                   (uint32_t)location, (uint8_t)in->unit_scale, out);
    if (out->outcome == CORE_OUT_DONE)
        return true;
    if (out->outcome == CORE_OUT_CONFLICT)
        return refuse(error, RPC_ALREADY_EXISTS, "UNIT_SCALE", "unit_scale",
                      "the cell is there with another unit scale");
    if (out->outcome == CORE_OUT_BUSY && out->field == CORE_FIELD_SKU)
        return refuse(error, RPC_RESOURCE_EXHAUSTED, "CELLS_FULL", "",
                      "the configured number of cells is used up");
    *error = convert_outcome(out->outcome, out->field, 0, 0);
    return false;
}

void admin_create(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__CreateStockRequest *in = (const void *)call->request;
    Holdfast__V1__CreateStockResponse out = HOLDFAST__V1__CREATE_STOCK_RESPONSE__INIT;
    struct core_admin_answer a;
    struct rpc_error error;
    (void)ctx;
    if (!cell_make(local, call->who, in, &a, &error)) {
        rpc_fail(call, &error);
        return;
    }
    out.handle = a.handle;
    out.generation = core_generation(local_core(local));
    rpc_reply(call, &out.base, a.ticket);
}

void admin_channel(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__CreateChannelRequest *in = (const void *)call->request;
    Holdfast__V1__CreateChannelResponse out = HOLDFAST__V1__CREATE_CHANNEL_RESPONSE__INIT;
    struct service_local *l = local;
    struct core_admin_answer a;
    size_t bytes = strlen(in->channel);
    (void)ctx;
    if (bytes == 0 || bytes > HF_CHANNEL_BYTES_MAX) {
        fail(call, RPC_INVALID_ARGUMENT, NULL, "channel", "1..32 bytes");
        return;
    }
    if (!auth_channel_ok(call->who, in->channel, bytes)) {
        fail(call, RPC_PERMISSION_DENIED, "CHANNEL", "channel",
             "this key is limited to other channels");
        return;
    }
    core_channel_make(l->worker, core_now(local_core(l)), in->channel, (uint32_t)bytes, &a);
    if (a.outcome == CORE_OUT_DONE) {
        out.number = a.handle;
        rpc_reply(call, &out.base, a.ticket);
    } else if (a.outcome == CORE_OUT_INVALID) {
        fail(call, RPC_INVALID_ARGUMENT, NULL, "channel", "UTF-8 without control characters");
    } else if (a.field == CORE_FIELD_CHANNEL) {
        fail(call, RPC_RESOURCE_EXHAUSTED, "CHANNELS_FULL", "", "there are 1,023 channels already");
    } else {
        struct rpc_error error = convert_outcome(a.outcome, a.field, 0, 0);
        rpc_fail(call, &error);
    }
}

// ------------------------------------------------------------------------------- changes

static const char *range_text(const struct core_change *ch)
{
    if (ch->setting == CORE_SET_ACTIVE)
        return "0 or 1";
    // The value itself may be in range.
    return ch->relative ? "stock on hand, or what is available, would leave its range of "
                          "-(2^53 - 1)..2^53 - 1"
                        : QUANTITY_TEXT;
}

// An outcome that is neither DONE nor REFUSED; `value` is how the request calls that field.
static struct rpc_error change_error(const struct core_change *ch,
                                     const struct core_admin_answer *a, const char *value)
{
    if (a->outcome == CORE_OUT_INVALID && a->field == CORE_FIELD_VALUE)
        return rpc_invalid(value, range_text(ch));
    if (a->outcome == CORE_OUT_INVALID && a->field == CORE_FIELD_OPERATION_ID)
        return rpc_invalid("operation_id", "a UUID of version 7");
    if (a->outcome == CORE_OUT_INVALID && a->field == CORE_FIELD_REASON)
        return rpc_invalid("reason", "at most 64 bytes of UTF-8, no control characters");
    return convert_outcome(a->outcome, a->field, 0, 0);
}

// The settings of the API by their number; those below 0 are none.
static int setting_of(int32_t setting)
{
    static const int8_t settings[] = {-1,
                                      CORE_SET_ON_HAND,
                                      CORE_SET_SAFETY,
                                      CORE_SET_BACKORDER,
                                      CORE_SET_EXTERNAL,
                                      CORE_SET_ACTIVE};
    return setting < 0 || (size_t)setting >= sizeof settings ? -1 : settings[setting];
}

// What mirrors a change that the ERP has made itself is not told to it again: operators only.
static bool reason_ok(const struct rpc_call *call, const char *reason, struct rpc_error *error)
{
    if (strnlen(reason, HF_REASON_BYTES_MAX + 1) > HF_REASON_BYTES_MAX) {
        *error = rpc_invalid("reason", "at most 64 bytes");
        return false;
    }
    if (strncmp(reason, FLUSH_REASON_INBOUND, strlen(FLUSH_REASON_INBOUND)) != 0 ||
        auth_may(call->who, AUTH_OPERATOR))
        return true;
    return refuse(error, RPC_PERMISSION_DENIED, "REASON", "reason",
                  "only operators may say that a change came from the ERP");
}

void admin_set(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__SetStockRequest *in = (const void *)call->request;
    Holdfast__V1__SetStockResponse out = HOLDFAST__V1__SET_STOCK_RESPONSE__INIT;
    struct service_local *l = local;
    struct stock_ref ref = {in->sku, in->location, in->handle, in->generation};
    struct core_change ch = {.compare = in->compare,
                             .value = in->value,
                             .expected = in->compare ? in->expected : 0,
                             .reason = in->reason};
    struct core_admin_answer a = {0};
    struct rpc_error error;
    int setting = setting_of((int32_t)in->setting);
    (void)ctx;
    if (setting < 0)
        error = rpc_invalid("setting", "not a setting that this server knows");
    else if (reason_ok(call, in->reason, &error) &&
             convert_uuid(in->operation_id, "operation_id", &ch.op_id, &error) &&
             convert_stock(l, call->who, &ref, "", &ch.handle, &error)) {
        ch.setting = (enum core_setting)setting;
        core_change(l->worker, core_now(local_core(l)), &ch, &a);
        if (a.outcome == CORE_OUT_DONE || a.outcome == CORE_OUT_REFUSED) {
            out.outcome = a.outcome == CORE_OUT_DONE
                              ? HOLDFAST__V1__STOCK_CHANGE_OUTCOME__STOCK_CHANGE_OUTCOME_DONE
                              : HOLDFAST__V1__STOCK_CHANGE_OUTCOME__STOCK_CHANGE_OUTCOME_MISMATCH;
            out.value = a.value;
            out.repeat = a.repeat;
            rpc_reply(call, &out.base, a.ticket);
            return;
        }
        error = change_error(&ch, &a, "value");
    }
    rpc_fail_durable(call, &error, a.ticket);
}

void admin_adjust(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__AdjustStockRequest *in = (const void *)call->request;
    Holdfast__V1__AdjustStockResponse out = HOLDFAST__V1__ADJUST_STOCK_RESPONSE__INIT;
    struct service_local *l = local;
    struct stock_ref ref = {in->sku, in->location, in->handle, in->generation};
    struct core_change ch = {.setting = CORE_SET_ON_HAND,
                             .relative = true,
                             .value = in->difference,
                             .reason = in->reason};
    struct core_admin_answer a = {0};
    struct rpc_error error;
    (void)ctx;
    if (in->difference == 0)
        error = rpc_invalid("difference", "not 0");
    else if (reason_ok(call, in->reason, &error) &&
             convert_uuid(in->operation_id, "operation_id", &ch.op_id, &error) &&
             convert_stock(l, call->who, &ref, "", &ch.handle, &error)) {
        core_change(l->worker, core_now(local_core(l)), &ch, &a);
        if (a.outcome == CORE_OUT_DONE) {
            out.outcome = HOLDFAST__V1__STOCK_CHANGE_OUTCOME__STOCK_CHANGE_OUTCOME_DONE;
            out.value = a.value;
            out.repeat = a.repeat;
            rpc_reply(call, &out.base, a.ticket);
            return;
        }
        error = change_error(&ch, &a, "difference");
    }
    rpc_fail_durable(call, &error, a.ticket);
}

// ------------------------------------------------------------------------------- import

// One operation of a row: its id is made of the row's and the setting, the same each time. The time
// and the version stay; the random part is a hash. Changing this would make repeats of imports that
// are under way act twice.
static struct hf_uuid operation_of(struct hf_uuid row, enum core_setting setting)
{
    uint64_t hi = hf_hash(&row, sizeof row, 2 * (uint64_t)setting + 1);
    uint64_t lo = hf_hash(&row, sizeof row, 2 * (uint64_t)setting + 2);
    return hf_uuid_v7(hf_uuid_ms(row), hi, lo);
}

struct import {
    struct service_local *local;
    struct rpc_call *call;
    const char *reason;
    uint64_t ticket; // the largest so far
};

// The journal's buffers are few, and each change takes one until the writer has been there.
static bool busy_wait(struct import *m, const struct core_admin_answer *a, int tries)
{
    struct core *c = local_core(m->local);
    struct rpc_error error;
    if (a->outcome != CORE_OUT_BUSY || a->field != CORE_FIELD_NONE || tries >= BUSY_TRIES ||
        rpc_given_up(m->call, &error))
        return false;
    return core_wait(c, journal_appended(core_journal(c)), BUSY_WAIT_MS) != HF_STOPPED;
}

static bool import_set(struct import *m, const struct core_change *ch, const char *field,
                       struct rpc_error *error)
{
    struct core_admin_answer a;
    for (int tries = 0;; tries++) {
        core_change(m->local->worker, core_now(local_core(m->local)), ch, &a);
        if (!busy_wait(m, &a, tries))
            break;
    }
    m->ticket = a.ticket > m->ticket ? a.ticket : m->ticket;
    if (a.outcome == CORE_OUT_DONE)
        return true;
    *error = change_error(ch, &a, field);
    return false;
}

static bool import_cell(struct import *m, const Holdfast__V1__ImportStockRow *row, uint32_t *handle,
                        struct rpc_error *error)
{
    Holdfast__V1__CreateStockRequest cell = HOLDFAST__V1__CREATE_STOCK_REQUEST__INIT;
    struct core_admin_answer a = {0};
    cell.sku = row->sku;
    cell.location = row->location;
    cell.unit_scale = row->unit_scale;
    for (int tries = 0; !cell_make(m->local, m->call->who, &cell, &a, error); tries++) {
        if (!busy_wait(m, &a, tries))
            return false;
        a = (struct core_admin_answer){0};
    }
    m->ticket = a.ticket > m->ticket ? a.ticket : m->ticket;
    *handle = a.handle;
    return true;
}

// Safety stock comes first: what is kept back is never for sale in between.
static bool import_row(struct import *m, const Holdfast__V1__ImportStockRow *row, uint32_t *handle,
                       struct rpc_error *error)
{
    const struct {
        enum core_setting setting;
        const Holdfast__V1__OptionalQuantity *value;
        const char *field;
    } settings[] = {{CORE_SET_SAFETY, row->safety_stock, "safety_stock"},
                    {CORE_SET_ON_HAND, row->on_hand, "on_hand"},
                    {CORE_SET_BACKORDER, row->backorder_limit, "backorder_limit"}};
    struct hf_uuid id;
    if (!convert_uuid(row->operation_id, "operation_id", &id, error))
        return false;
    if (hf_uuid_version(id) != 7 || !hf_uuid_variant_ok(id)) // before the cell is made
        return refuse(error, RPC_INVALID_ARGUMENT, NULL, "operation_id", "a UUID of version 7");
    if (!import_cell(m, row, handle, error))
        return false;
    for (unsigned i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (!settings[i].value)
            continue;
        struct core_change ch = {.op_id = operation_of(id, settings[i].setting),
                                 .handle = *handle,
                                 .setting = settings[i].setting,
                                 .value = settings[i].value->value,
                                 .reason = m->reason};
        if (!import_set(m, &ch, settings[i].field, error))
            return false;
    }
    return true;
}

static bool import_result(struct import *m, const Holdfast__V1__ImportStockRow *row, size_t index,
                          Holdfast__V1__ImportStockResult *out)
{
    struct rpc_error error;
    holdfast__v1__import_stock_result__init(out);
    if (import_row(m, row, &out->handle, &error))
        return true;
    char field[RPC_FIELD_BYTES];
    memcpy(field, error.field, sizeof field);
    if (field[0])
        snprintf(error.field, sizeof error.field, "rows[%zu].%.64s", index, field);
    out->error = convert_error(&m->call->arena, &error);
    return out->error != NULL;
}

void admin_import(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__ImportStockRequest *in = (const void *)call->request;
    Holdfast__V1__ImportStockResponse out = HOLDFAST__V1__IMPORT_STOCK_RESPONSE__INIT;
    struct import m = {.local = local, .call = call, .reason = in->reason};
    struct rpc_error error;
    (void)ctx;
    if (in->n_rows == 0 || in->n_rows > ROWS_MAX) {
        fail(call, RPC_INVALID_ARGUMENT, NULL, "rows", "1..1,000 rows");
        return;
    }
    if (!reason_ok(call, in->reason, &error)) {
        rpc_fail(call, &error);
        return;
    }
    Holdfast__V1__ImportStockResult *results =
        arena_take(&call->arena, in->n_rows * sizeof *results);
    out.results = arena_take(&call->arena, in->n_rows * sizeof(void *));
    bool enough = results && out.results;
    for (size_t i = 0; enough && i < in->n_rows; i++) {
        out.results[i] = &results[i];
        enough = import_result(&m, in->rows[i], i, &results[i]);
    }
    if (!enough) { // what was done stays; a repeat acts once
        call_fail_memory(call);
        return;
    }
    out.n_results = in->n_rows;
    out.generation = core_generation(local_core(local));
    rpc_reply(call, &out.base, m.ticket);
}
