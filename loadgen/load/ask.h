// Blocking calls for set-up and audit: one at a time, asked again where that is safe and useful.
#ifndef HOLDFAST_LOADGEN_ASK_H
#define HOLDFAST_LOADGEN_ASK_H

#include "load/link.h"

#include <stdatomic.h>

struct asker {
    struct link *link;
    uint32_t deadline_ms; // of a try
    uint32_t give_up_ms;
    const _Atomic int *stop; // above 1: give up; NULL: never
};

// How it ended, when it did not end well.
struct ask_error {
    int code;
    char message[360]; // one sentence
};

// True: *reply is of the given type, to be freed by protobuf_c_message_free_unpacked(reply, NULL).
bool ask(struct asker *a, const char *method, const ProtobufCMessage *request,
         const ProtobufCMessageDescriptor *type, ProtobufCMessage **reply, struct ask_error *error);

#endif
