#include "service/service_internal.h"

#include <stdio.h>
#include <string.h>

static void path_join(char out[RPC_FIELD_BYTES], const char *field, const char *last)
{
    snprintf(out, RPC_FIELD_BYTES, "%s%s%s", field, field[0] && last[0] ? "." : "", last);
}

static bool refuse(struct rpc_error *error, enum rpc_code code, const char *reason,
                   const char *field, const char *last, const char *message)
{
    *error = (struct rpc_error){.code = code, .reason = reason, .message = message};
    path_join(error->field, field, last);
    return false;
}

static bool stock_by_handle(struct service_local *l, const struct stock_ref *ref, const char *field,
                            struct rpc_error *error)
{
    struct core *c = local_core(l);
    if (ref->sku[0] || ref->location[0])
        return refuse(error, RPC_INVALID_ARGUMENT, NULL, field, ref->sku[0] ? "sku" : "location",
                      "either sku and location, or handle and generation, not both");
    if (ref->generation != core_generation(c))
        return refuse(error, RPC_FAILED_PRECONDITION, "STALE_GENERATION", field, "generation",
                      "not the present generation of the directory: look the handle up again");
    if (ref->handle >= core_cell_count(c))
        return refuse(error, RPC_NOT_FOUND, "UNKNOWN_STOCK", field, "handle",
                      "no cell has this handle");
    return true;
}

static bool stock_by_name(struct service_local *l, const struct stock_ref *ref, const char *field,
                          uint32_t *handle, struct rpc_error *error)
{
    size_t sku = strlen(ref->sku), location = strlen(ref->location);
    if (ref->handle)
        return refuse(error, RPC_INVALID_ARGUMENT, NULL, field, "generation",
                      "a handle is read together with its generation");
    if (sku == 0 || sku > HF_SKU_BYTES_MAX)
        return refuse(error, RPC_INVALID_ARGUMENT, NULL, field, "sku", "1..64 bytes");
    if (location == 0 || location > HF_LOCATION_BYTES_MAX)
        return refuse(error, RPC_INVALID_ARGUMENT, NULL, field, "location", "1..32 bytes");
    if (core_find(local_core(l), ref->sku, (uint32_t)sku, ref->location, (uint32_t)location,
                  handle) != HF_OK)
        return refuse(error, RPC_NOT_FOUND, "UNKNOWN_STOCK", field, "sku",
                      "no cell has this SKU and location");
    return true;
}

bool convert_stock(struct service_local *l, const struct auth_identity *who,
                   const struct stock_ref *ref, const char *field, uint32_t *handle,
                   struct rpc_error *error)
{
    *handle = ref->handle;
    if (ref->generation ? !stock_by_handle(l, ref, field, error)
                        : !stock_by_name(l, ref, field, handle, error))
        return false;
    if (who->location_count == 0)
        return true;
    struct core_name name;
    if (core_cell_name(local_core(l), *handle, &name) == HF_OK &&
        auth_location_ok(who, name.location, name.location_bytes))
        return true;
    return refuse(error, RPC_PERMISSION_DENIED, "LOCATION", field, "location",
                  "this key is limited to other locations");
}

bool convert_uuid(const char *text, const char *field, struct hf_uuid *out, struct rpc_error *error)
{
    if (hf_uuid_parse(text, out))
        return true;
    return refuse(error, RPC_INVALID_ARGUMENT, NULL, field, "",
                  "a UUID of 36 characters, such as 01890a5d-ac96-774b-bcce-b302099a8057");
}

// core names fields by their kind; here the line's place comes in.
static void field_name(enum core_field field, uint32_t line, char out[RPC_FIELD_BYTES])
{
    const char *name = core_field_name(field);
    if (strncmp(name, "lines.", 6) == 0)
        snprintf(out, RPC_FIELD_BYTES, "lines[%u].%s", line, name + 6);
    else
        snprintf(out, RPC_FIELD_BYTES, "%s", name);
}

static const char *field_help(enum core_field field)
{
    switch (field) {
    case CORE_FIELD_ID:
        return "a UUID of version 7 (version 4 for holds only, where the server allows it)";
    case CORE_FIELD_OPERATION_ID:
        return "a UUID of version 7, another one than the reservation's, with verbs that can act "
               "more than once; else empty";
    case CORE_FIELD_LINES:
        return "1..1,024 lines";
    case CORE_FIELD_INACTIVE:
        return "this cell is not active";
    case CORE_FIELD_QUANTITY:
        return "1..2^53 - 1, the request's sum included";
    case CORE_FIELD_TTL:
        return "1 up to the server's maximum";
    case CORE_FIELD_CHANNEL:
        return "not known; see CreateChannel";
    case CORE_FIELD_REFERENCE:
        return "at most 64 bytes of UTF-8";
    case CORE_FIELD_BUYER:
        return "at most 32 bytes";
    case CORE_FIELD_SKU:
        return "1..64 bytes of UTF-8 without control characters";
    case CORE_FIELD_LOCATION:
        return "1..32 bytes of UTF-8 without control characters";
    case CORE_FIELD_SCALE:
        return "0..6, and the same as the cell has";
    case CORE_FIELD_VALUE:
        return "out of range";
    case CORE_FIELD_REASON:
        return "at most 64 bytes of UTF-8";
    case CORE_FIELD_NONE:
    case CORE_FIELD_VERB:
    case CORE_FIELD_FLAGS:
    case CORE_FIELD_HANDLE:
    case CORE_FIELD_TRACE:
    case CORE_FIELD_COUNT:
        break;
    }
    return "not valid";
}

struct rpc_error convert_outcome(enum core_outcome outcome, enum core_field field, uint32_t line,
                                 uint32_t retry_ms)
{
    struct rpc_error e = {.reason = core_outcome_name(outcome),
                          .message = core_outcome_help(outcome)};
    switch (outcome) {
    case CORE_OUT_INVALID:
        e.code = field == CORE_FIELD_INACTIVE ? RPC_FAILED_PRECONDITION : RPC_INVALID_ARGUMENT;
        e.reason = field == CORE_FIELD_INACTIVE ? "INACTIVE" : NULL;
        e.message = field_help(field);
        field_name(field == CORE_FIELD_INACTIVE ? CORE_FIELD_HANDLE : field, line, e.field);
        break;
    case CORE_OUT_UNKNOWN:
        e.code = RPC_NOT_FOUND;
        break;
    case CORE_OUT_CONFLICT:
        e.code = RPC_ALREADY_EXISTS;
        break;
    case CORE_OUT_IN_PROGRESS:
        e.code = RPC_ABORTED;
        e.retry_ms = retry_ms ? retry_ms : 5;
        break;
    case CORE_OUT_NEEDS_RECALL:
        e.reason = "SLOW_QUEUE_FULL";
        e.message = "the queue for what needs the disk is full; ask again, with the same id, after "
                    "retry_after_ms";
        e.code = RPC_RESOURCE_EXHAUSTED;
        e.retry_ms = retry_ms ? retry_ms : 50;
        break;
    case CORE_OUT_BUSY:
        if (line > CORE_SHORT_NOTHING && line < CORE_SHORT_COUNT)
            e.message = core_short_help((enum core_short)line);
        e.code = RPC_RESOURCE_EXHAUSTED;
        e.retry_ms = retry_ms ? retry_ms : 50;
        break;
    case CORE_OUT_ID_TOO_OLD:
    case CORE_OUT_ID_IN_FUTURE:
        e.code = RPC_FAILED_PRECONDITION;
        break;
    case CORE_OUT_DONE: // business outcomes are answers, not statuses
    case CORE_OUT_REFUSED:
    case CORE_OUT_EXPIRED:
    case CORE_OUT_WRONG_STATE:
    case CORE_OUT_EXCEEDS:
    case CORE_OUTCOME_COUNT:
        e.code = RPC_INTERNAL;
        break;
    }
    return e;
}

Holdfast__V1__Error *convert_error(struct arena *a, const struct rpc_error *error)
{
    Holdfast__V1__Error *e = arena_take(a, sizeof *e);
    if (!e)
        return NULL;
    holdfast__v1__error__init(e);
    e->code = (int32_t)error->code;
    if (error->reason)
        e->reason = (char *)(uintptr_t)error->reason;
    if (error->message)
        e->message = (char *)(uintptr_t)error->message;
    if (error->field[0]) {
        char *field = arena_text(a, error->field, strlen(error->field));
        e->field = field ? field : e->field;
    }
    e->retry_after_ms = error->retry_ms;
    return e;
}
