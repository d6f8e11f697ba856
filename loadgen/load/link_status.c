// Statuses: codes, and the details that come in the trailer grpc-status-details-bin.
#include "load/link_internal.h"

#include "google/rpc/status.pb-c.h"

#include <stdio.h>
#include <string.h>

const char *link_code_name(int code)
{
    static const char *const names[LINK_CODE_COUNT] = {
#define X(number, name) [number] = #name,
        RPC_CODE_TABLE(X)
#undef X
    };
    return code >= 0 && code < LINK_CODE_COUNT ? names[code] : "unknown";
}

bool link_code_again(int code)
{
    switch (code) {
    case LINK_CANCELLED: // by the transport, or by our own deadline on a stream
    case LINK_UNKNOWN:   // "stream removed", when a server dies
    case LINK_DEADLINE_EXCEEDED:
    case LINK_RESOURCE_EXHAUSTED:
    case LINK_ABORTED:
    case LINK_INTERNAL: // the transport's word for a reply that was cut off
    case LINK_UNAVAILABLE:
        return true;
    default:
        return false;
    }
}

static bool type_is(const Google__Rpc__DetailAny *any, const char *name)
{
    const char *slash = strrchr(any->type_url, '/');
    return slash && strcmp(slash + 1, name) == 0;
}

static void detail_read(struct link_end *end, const Google__Rpc__DetailAny *any)
{
    if (type_is(any, "google.rpc.RetryInfo")) {
        Google__Rpc__RetryInfo *retry =
            google__rpc__retry_info__unpack(NULL, any->value.len, any->value.data);
        if (retry && retry->retry_delay && retry->retry_delay->seconds >= 0 &&
            retry->retry_delay->seconds < 3600 && retry->retry_delay->nanos >= 0)
            end->retry_ms = (uint32_t)(retry->retry_delay->seconds * 1000) +
                            (uint32_t)retry->retry_delay->nanos / 1000000;
        if (retry)
            google__rpc__retry_info__free_unpacked(retry, NULL);
    } else if (type_is(any, "google.rpc.ErrorInfo")) {
        Google__Rpc__ErrorInfo *info =
            google__rpc__error_info__unpack(NULL, any->value.len, any->value.data);
        if (info)
            snprintf(end->reason, sizeof end->reason, "%.60s", info->reason);
        if (info)
            google__rpc__error_info__free_unpacked(info, NULL);
    }
}

void link_end_read(struct link_end *end, grpc_status_code code, const grpc_slice *message,
                   const grpc_metadata_array *trailing)
{
    *end = (struct link_end){.code = (int)code};
    size_t bytes = GRPC_SLICE_LENGTH(*message);
    if (bytes >= sizeof end->message)
        bytes = sizeof end->message - 1;
    memcpy(end->message, GRPC_SLICE_START_PTR(*message), bytes);
    for (size_t i = 0; i < trailing->count; i++) {
        const grpc_metadata *m = &trailing->metadata[i];
        if (grpc_slice_str_cmp(m->key, "grpc-status-details-bin") != 0)
            continue;
        Google__Rpc__Status *status = google__rpc__status__unpack(NULL, GRPC_SLICE_LENGTH(m->value),
                                                                  GRPC_SLICE_START_PTR(m->value));
        for (size_t d = 0; status && d < status->n_details; d++)
            detail_read(end, status->details[d]);
        if (status)
            google__rpc__status__free_unpacked(status, NULL);
    }
}
