// Server reflection, out of the embedded descriptor set. Versions v1 and v1alpha differ in their
// package's name only, so one code speaks both.
//
// One question is answered before the next one is received, so a client that does not read holds
// one answer here.
#include "service/service_internal.h"

#include "rpc/descriptor.h"

#include "grpc/reflection/v1/reflection.pb-c.h"

#define FILES_MAX    32 // of one answer: a file and what it imports
#define SERVICES_MAX 32

#define ASKS(name)    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define ANSWERS(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name

typedef Grpc__Reflection__V1__ServerReflectionRequest Request;
typedef Grpc__Reflection__V1__ServerReflectionResponse Response;

struct answer { // what the response points to
    Grpc__Reflection__V1__ErrorResponse error;
    Grpc__Reflection__V1__FileDescriptorResponse files;
    ProtobufCBinaryData data[FILES_MAX];
    Grpc__Reflection__V1__ListServiceResponse list;
    Grpc__Reflection__V1__ServiceResponse services[SERVICES_MAX], *service_of[SERVICES_MAX];
    char names[SERVICES_MAX][DESCRIPTOR_NAME_BYTES];
};

static void answer_error(struct answer *a, Response *out, enum rpc_code code, const char *message)
{
    grpc__reflection__v1__error_response__init(&a->error);
    a->error.error_code = (int32_t)code;
    a->error.error_message = (char *)(uintptr_t)message;
    out->message_response_case = ANSWERS(ERROR_RESPONSE);
    out->error_response = &a->error;
}

static bool has_file(const struct answer *a, size_t count, const struct descriptor_file *file)
{
    for (size_t i = 0; i < count; i++)
        if (a->data[i].data == file->bytes)
            return true;
    return false;
}

// The file, then what it imports, then what those import: each once.
static void answer_file(struct answer *a, Response *out, const struct descriptor_file *file)
{
    struct descriptor_file queue[FILES_MAX] = {*file}, import;
    size_t count = 1;
    for (size_t i = 0; i < count; i++) {
        a->data[i] =
            (ProtobufCBinaryData){queue[i].byte_count, (uint8_t *)(uintptr_t)queue[i].bytes};
        for (uint32_t k = 0; count < FILES_MAX && descriptor_import(&queue[i], k, &import); k++) {
            if (has_file(a, count, &import))
                continue;
            a->data[count].data = (uint8_t *)(uintptr_t)import.bytes;
            queue[count++] = import;
        }
    }
    grpc__reflection__v1__file_descriptor_response__init(&a->files);
    a->files.n_file_descriptor_proto = count;
    a->files.file_descriptor_proto = a->data;
    out->message_response_case = ANSWERS(FILE_DESCRIPTOR_RESPONSE);
    out->file_descriptor_response = &a->files;
}

static void answer_services(struct answer *a, Response *out)
{
    uint32_t n = 0;
    for (; n < SERVICES_MAX && descriptor_service(n, a->names[n]); n++) {
        grpc__reflection__v1__service_response__init(&a->services[n]);
        a->services[n].name = a->names[n];
        a->service_of[n] = &a->services[n];
    }
    grpc__reflection__v1__list_service_response__init(&a->list);
    a->list.n_service = n;
    a->list.service = a->service_of;
    out->message_response_case = ANSWERS(LIST_SERVICES_RESPONSE);
    out->list_services_response = &a->list;
}

static void answer_make(const Request *in, struct answer *a, Response *out)
{
    struct descriptor_file file;
    switch (in->message_request_case) {
    case ASKS(FILE_BY_FILENAME):
        if (descriptor_file_named(in->file_by_filename, &file))
            answer_file(a, out, &file);
        else
            answer_error(a, out, RPC_NOT_FOUND, "no such file");
        break;
    case ASKS(FILE_CONTAINING_SYMBOL):
        if (descriptor_file_of(in->file_containing_symbol, &file))
            answer_file(a, out, &file);
        else
            answer_error(a, out, RPC_NOT_FOUND, "no such symbol");
        break;
    case ASKS(LIST_SERVICES):
        answer_services(a, out);
        break;
    case ASKS(FILE_CONTAINING_EXTENSION):
    case ASKS(ALL_EXTENSION_NUMBERS_OF_TYPE):
        answer_error(a, out, RPC_NOT_FOUND, "there are no extensions here");
        break;
    default:
        answer_error(a, out, RPC_INVALID_ARGUMENT, "nothing is asked for");
        break;
    }
}

void reflection_opened(void *ctx, void *local, struct rpc_call *call)
{
    (void)ctx, (void)local;
    rpc_receive(call);
}

void reflection_received(void *ctx, void *local, struct rpc_call *call)
{
    const Request *in = (const void *)call->request;
    Response out = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    struct answer *a = arena_take(&call->arena, sizeof *a);
    (void)ctx, (void)local;
    if (!a) {
        struct rpc_error error = {.code = RPC_RESOURCE_EXHAUSTED,
                                  .reason = "MEMORY",
                                  .message = "no memory for an answer",
                                  .retry_ms = 1000};
        rpc_finish(call, &error);
        return;
    }
    out.valid_host = in->host;
    out.original_request = (Request *)(uintptr_t)in;
    answer_make(in, a, &out);
    rpc_send(call, &out.base, 0);
}

void reflection_half_closed(void *ctx, void *local, struct rpc_call *call)
{
    (void)ctx, (void)local;
    rpc_finish(call, NULL);
}

void reflection_sent(void *ctx, void *local, struct rpc_call *call)
{
    (void)ctx, (void)local;
    rpc_receive(call);
}

void reflection_woken(void *ctx, void *local, struct rpc_call *call)
{
    (void)ctx, (void)local;
    if (rpc_draining(call))
        rpc_finish(call, &RPC_DRAINING_ERROR);
}

void reflection_closed(void *ctx, void *local, struct rpc_call *call)
{
    (void)ctx, (void)local, (void)call; // no state
}
