// What lists of cells share.
#include "service/service_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PAGE_TOKEN_BYTES 25 // generation and next handle in hex, terminated

void call_fail(struct rpc_call *call, enum rpc_code code, const char *reason, const char *field,
               const char *message)
{
    struct rpc_error error = rpc_invalid(field, message);
    error.code = code;
    error.reason = reason;
    rpc_fail(call, &error);
}

void call_fail_memory(struct rpc_call *call)
{
    struct rpc_error error = {.code = RPC_RESOURCE_EXHAUSTED,
                              .reason = "MEMORY",
                              .message = "no memory for the answer",
                              .retry_ms = 50};
    rpc_fail(call, &error);
}

bool answer_room(size_t *bytes_left, const ProtobufCMessage *m)
{
    size_t bytes = protobuf_c_message_get_packed_size(m) + ANSWER_ITEM_BYTES;
    if (bytes > *bytes_left)
        return false;
    *bytes_left -= bytes;
    return true;
}

bool page_token_read(const char *token, uint64_t generation, uint32_t *handle)
{
    char again[PAGE_TOKEN_BYTES];
    uint64_t of;
    *handle = 0;
    if (token[0] == '\0')
        return true;
    if (strlen(token) != PAGE_TOKEN_BYTES - 1 ||
        sscanf(token, "%16" SCNx64 "%8" SCNx32, &of, handle) != 2)
        return false;
    snprintf(again, sizeof again, "%016" PRIx64 "%08" PRIx32, generation, *handle);
    return strcmp(token, again) == 0;
}

char *page_token_make(struct arena *a, uint64_t generation, uint32_t handle)
{
    char *token = arena_take(a, PAGE_TOKEN_BYTES);
    if (token)
        snprintf(token, PAGE_TOKEN_BYTES, "%016" PRIx64 "%08" PRIx32, generation, handle);
    return token;
}

uint64_t names_ticket(struct core *c)
{
    return journal_appended(core_journal(c));
}
