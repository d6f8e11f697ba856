// The status codes of gRPC, as the standard numbers them: one table for both sides of the wire.
#ifndef HOLDFAST_RPC_CODE_H
#define HOLDFAST_RPC_CODE_H

// Number, name.
#define RPC_CODE_TABLE(X)                                                                          \
    X(0, OK)                                                                                       \
    X(1, CANCELLED)                                                                                \
    X(2, UNKNOWN)                                                                                  \
    X(3, INVALID_ARGUMENT)                                                                         \
    X(4, DEADLINE_EXCEEDED)                                                                        \
    X(5, NOT_FOUND)                                                                                \
    X(6, ALREADY_EXISTS)                                                                           \
    X(7, PERMISSION_DENIED)                                                                        \
    X(8, RESOURCE_EXHAUSTED)                                                                       \
    X(9, FAILED_PRECONDITION)                                                                      \
    X(10, ABORTED)                                                                                 \
    X(11, OUT_OF_RANGE)                                                                            \
    X(12, UNIMPLEMENTED)                                                                           \
    X(13, INTERNAL)                                                                                \
    X(14, UNAVAILABLE)                                                                             \
    X(15, DATA_LOSS)                                                                               \
    X(16, UNAUTHENTICATED)
enum rpc_code {
#define X(number, name) RPC_##name = number,
    RPC_CODE_TABLE(X)
#undef X
        RPC_CODE_COUNT
};

// Static text; "unknown" for numbers that are no code: what came over the wire may be any. Any
// thread, wait-free.
static inline const char *rpc_code_name(int code)
{
    switch (code) {
#define X(number, name)                                                                            \
    case number:                                                                                   \
        return #name;
        RPC_CODE_TABLE(X)
#undef X
    default:
        return "unknown";
    }
}

#endif
