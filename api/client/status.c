#include "client/client_internal.h"

#include "google/rpc/status.pb-c.h"

#include <stdio.h>
#include <string.h>

#define DETAILS_KEY "grpc-status-details-bin"

bool client_code_again(int code)
{
    return code == RPC_RESOURCE_EXHAUSTED || code == RPC_ABORTED ||
           code == RPC_UNAVAILABLE;
}

static void read_retry(struct client_status *s, const ProtobufCBinaryData *value)
{
    Google__Rpc__RetryInfo *r = google__rpc__retry_info__unpack(NULL, value->len, value->data);
    if (!r)
        return;
    const Google__Rpc__DetailDuration *d = r->retry_delay;
    if (d && d->seconds >= 0 && d->seconds < 86400 && d->nanos >= 0 && d->nanos < 1000000000)
        s->retry_ms = (uint32_t)(d->seconds * 1000 + d->nanos / 1000000);
    google__rpc__retry_info__free_unpacked(r, NULL);
}

static void read_bad_request(struct client_status *s, const ProtobufCBinaryData *value)
{
    Google__Rpc__BadRequest *r = google__rpc__bad_request__unpack(NULL, value->len, value->data);
    if (!r)
        return;
    if (r->n_field_violations > 0) {
        snprintf(s->field, sizeof s->field, "%s", r->field_violations[0]->field);
        snprintf(s->field_why, sizeof s->field_why, "%s", r->field_violations[0]->description);
    }
    google__rpc__bad_request__free_unpacked(r, NULL);
}

static void read_info(struct client_status *s, const ProtobufCBinaryData *value)
{
    Google__Rpc__ErrorInfo *r = google__rpc__error_info__unpack(NULL, value->len, value->data);
    if (!r)
        return;
    snprintf(s->reason, sizeof s->reason, "%s", r->reason);
    google__rpc__error_info__free_unpacked(r, NULL);
}

static const struct {
    const char *type; // with the slash: a type_url ends with it, whatever stands before
    void (*read)(struct client_status *s, const ProtobufCBinaryData *value);
} details[] = {
    {"/google.rpc.RetryInfo", read_retry},
    {"/google.rpc.BadRequest", read_bad_request},
    {"/google.rpc.ErrorInfo", read_info},
};

void client_status_details(struct client_status *s, const uint8_t *bytes, size_t n)
{
    Google__Rpc__Status *status = google__rpc__status__unpack(NULL, n, bytes);
    if (!status)
        return;
    for (size_t i = 0; i < status->n_details; i++) {
        const char *type = strrchr(status->details[i]->type_url, '/');
        for (size_t k = 0; type && k < sizeof details / sizeof *details; k++)
            if (strcmp(type, details[k].type) == 0)
                details[k].read(s, &status->details[i]->value);
    }
    google__rpc__status__free_unpacked(status, NULL);
}

void client_status_fill(struct client_status *s, grpc_status_code code, grpc_slice message,
                        const grpc_metadata_array *trailers)
{
    uint32_t tries = s->tries;
    *s = (struct client_status){.code = (int)code, .tries = tries};
    snprintf(s->message, sizeof s->message, "%.*s", (int)GRPC_SLICE_LENGTH(message),
             (const char *)GRPC_SLICE_START_PTR(message));
    for (size_t i = 0; i < trailers->count; i++)
        if (grpc_slice_str_cmp(trailers->metadata[i].key, DETAILS_KEY) == 0)
            client_status_details(s, GRPC_SLICE_START_PTR(trailers->metadata[i].value),
                                  GRPC_SLICE_LENGTH(trailers->metadata[i].value));
}
