#include "rpc/details.h"

#include "google/rpc/status.pb-c.h"

#include <stdio.h>
#include <string.h>

#define PART_BYTES  320
#define PARTS_MAX   3
#define TYPE_PREFIX "type.googleapis.com/"

struct details {
    Google__Rpc__Status status;
    Google__Rpc__DetailAny any[PARTS_MAX], *list[PARTS_MAX];
    unsigned char bytes[PARTS_MAX][PART_BYTES];
};

static void part_add(struct details *d, const char *type, const ProtobufCMessage *m)
{
    size_t n = d->status.n_details;
    if (protobuf_c_message_get_packed_size(m) > PART_BYTES)
        return; // a detail is a help, not the answer
    d->any[n] = (Google__Rpc__DetailAny)GOOGLE__RPC__DETAIL_ANY__INIT;
    d->any[n].type_url = (char *)(uintptr_t)type;
    d->any[n].value.len = protobuf_c_message_pack(m, d->bytes[n]);
    d->any[n].value.data = d->bytes[n];
    d->list[n] = &d->any[n];
    d->status.n_details = n + 1;
}

static void violation_add(struct details *d, const struct rpc_error *error)
{
    Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;
    Google__Rpc__BadRequest__FieldViolation v = GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
    Google__Rpc__BadRequest__FieldViolation *list[1] = {&v};
    v.field = (char *)(uintptr_t)error->field;
    v.description = (char *)(uintptr_t)error->message;
    bad.field_violations = list;
    bad.n_field_violations = 1;
    part_add(d, TYPE_PREFIX "google.rpc.BadRequest", &bad.base);
}

static void retry_add(struct details *d, uint32_t retry_ms)
{
    Google__Rpc__RetryInfo retry = GOOGLE__RPC__RETRY_INFO__INIT;
    Google__Rpc__DetailDuration delay = GOOGLE__RPC__DETAIL_DURATION__INIT;
    delay.seconds = retry_ms / 1000;
    delay.nanos = (int32_t)(retry_ms % 1000) * 1000000;
    retry.retry_delay = &delay;
    part_add(d, TYPE_PREFIX "google.rpc.RetryInfo", &retry.base);
}

static void reason_add(struct details *d, const char *reason)
{
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    info.reason = (char *)(uintptr_t)reason;
    info.domain = (char *)(uintptr_t)DETAILS_DOMAIN;
    part_add(d, TYPE_PREFIX "google.rpc.ErrorInfo", &info.base);
}

void details_message(const struct rpc_error *error, char *out, size_t bytes)
{
    const char *text = error->message ? error->message : rpc_code_name(error->code);
    snprintf(out, bytes, "%s%s%s", error->field, error->field[0] ? ": " : "", text);
}

size_t details_pack(const struct rpc_error *error, unsigned char out[DETAILS_BYTES_MAX])
{
    struct details d;
    char text[256];
    d.status = (Google__Rpc__Status)GOOGLE__RPC__STATUS__INIT;
    details_message(error, text, sizeof text);
    d.status.code = (int32_t)error->code;
    d.status.message = text;
    d.status.details = d.list;
    if (error->field[0])
        violation_add(&d, error);
    if (error->retry_ms)
        retry_add(&d, error->retry_ms);
    if (error->reason)
        reason_add(&d, error->reason);
    if (google__rpc__status__get_packed_size(&d.status) > DETAILS_BYTES_MAX)
        d.status.n_details = 0;
    return google__rpc__status__pack(&d.status, out);
}
