// Operating errors and bugs. Business outcomes are elsewhere (core/core.h); never mix the three.
//
// HF_STATUS_TABLE is the only list: code, name and help text come from it.
#ifndef HOLDFAST_BASE_STATUS_H
#define HOLDFAST_BASE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HF_STATUS_TABLE(X)                                                                         \
    X(OK, "done")                                                                                  \
    X(INVALID, "an argument or option is out of range")                                            \
    X(NOT_FOUND, "no such file, record or name")                                                   \
    X(EXISTS, "already there")                                                                     \
    X(BUSY, "a bounded resource is used up for now; retry")                                        \
    X(AGAIN, "nothing to do or not ready yet")                                                     \
    X(NO_MEMORY, "memory could not be had at set-up")                                              \
    X(NO_SPACE, "the file system is full")                                                         \
    X(IO, "an input or output operation failed; the engine stops")                                 \
    X(LOCKED, "another process has the data folder open")                                          \
    X(DAMAGED, "stored data contradicts itself; see the message for file and offset")              \
    X(TOO_NEW, "a format version newer than this program knows")                                   \
    X(CLOCK, "the wall clock contradicts the journal; see the flags that override")                \
    X(STOPPED, "the engine has stopped after an error")                                            \
    X(FULL, "a configured capacity is used up")                                                    \
    X(FOREIGN, "the data belongs to another engine, machine or incarnation")

enum hf_status {
#define X(name, help) HF_##name,
    HF_STATUS_TABLE(X)
#undef X
        HF_STATUS_COUNT
};

#define HF_CHECKED __attribute__((warn_unused_result))

// Static text; any thread, wait-free. An unknown code yields "unknown".
const char *hf_status_name(enum hf_status status);
const char *hf_status_help(enum hf_status status);

// A bug: prints the place and aborts. Stays on in release. Never for anything that came from a
// network, a packet, a disk or a user.
_Noreturn void hf_assert_fail(const char *expr, const char *file, int line);
#define HF_ASSERT(expr)                                                                            \
    (__builtin_expect(!!(expr), 1) ? (void)0 : hf_assert_fail(#expr, __FILE__, __LINE__))

// Expensive checks: in debug builds and in the tests.
#ifdef HF_DEBUG_CHECKS
#define HF_DEBUG_ASSERT(expr) HF_ASSERT(expr)
#else
#define HF_DEBUG_ASSERT(expr) ((void)sizeof(expr))
#endif

#define HF_LIKELY(x)   __builtin_expect(!!(x), 1)
#define HF_UNLIKELY(x) __builtin_expect(!!(x), 0)

#endif
