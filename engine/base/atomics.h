// The engine's atomics layer: every shared access of the lock-free parts goes through these, with
// its memory order spelled out. Built with HF_YIELD_HOOK (tests only), each is a point at which a
// scheduler may switch threads, before it happens.
#ifndef HOLDFAST_BASE_ATOMICS_H
#define HOLDFAST_BASE_ATOMICS_H

#include "base/atomic128.h"

#ifdef HF_YIELD_HOOK
void hf_yield_hook(void); // supplied by the test program
#define HF_YIELD() hf_yield_hook()
#else
#define HF_YIELD() ((void)0)
#endif

#define hf_load_relaxed(p)                                                                         \
    __extension__({                                                                                \
        HF_YIELD();                                                                                \
        __atomic_load_n((p), __ATOMIC_RELAXED);                                                    \
    })
#define hf_load_acquire(p)                                                                         \
    __extension__({                                                                                \
        HF_YIELD();                                                                                \
        __atomic_load_n((p), __ATOMIC_ACQUIRE);                                                    \
    })
#define hf_load_seq(p)                                                                             \
    __extension__({                                                                                \
        HF_YIELD();                                                                                \
        __atomic_load_n((p), __ATOMIC_SEQ_CST);                                                    \
    })
#define hf_store_relaxed(p, v)                                                                     \
    do {                                                                                           \
        HF_YIELD();                                                                                \
        __atomic_store_n((p), (v), __ATOMIC_RELAXED);                                              \
    } while (0)
#define hf_store_release(p, v)                                                                     \
    do {                                                                                           \
        HF_YIELD();                                                                                \
        __atomic_store_n((p), (v), __ATOMIC_RELEASE);                                              \
    } while (0)
#define hf_store_seq(p, v)                                                                         \
    do {                                                                                           \
        HF_YIELD();                                                                                \
        __atomic_store_n((p), (v), __ATOMIC_SEQ_CST);                                              \
    } while (0)
// Full barrier; *expected_ptr is updated on failure.
#define hf_cas(p, expected_ptr, desired)                                                           \
    __extension__({                                                                                \
        HF_YIELD();                                                                                \
        __atomic_compare_exchange_n((p), (expected_ptr), (desired), 0, __ATOMIC_SEQ_CST,           \
                                    __ATOMIC_ACQUIRE);                                             \
    })
#define hf_add(p, v)                                                                               \
    __extension__({                                                                                \
        HF_YIELD();                                                                                \
        __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST);                                            \
    })
#define hf_exchange(p, v)                                                                          \
    __extension__({                                                                                \
        HF_YIELD();                                                                                \
        __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST);                                           \
    })
#ifdef HF_TSAN // ThreadSanitizer knows no fences; every access around them is atomic anyway
#define hf_fence_acquire() __asm__ volatile("" ::: "memory")
#define hf_fence_release() __asm__ volatile("" ::: "memory")
#define hf_fence_seq()     __asm__ volatile("mfence" ::: "memory")
#else
#define hf_fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define hf_fence_release() __atomic_thread_fence(__ATOMIC_RELEASE)
#define hf_fence_seq()     __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

static inline bool hf_cas16(struct hf_word128 *word, struct hf_word128 expected,
                            struct hf_word128 desired)
{
    HF_YIELD();
    return hf_cas128(word, expected, desired);
}

#define hf_prefetch(p)       __builtin_prefetch((p), 0, 3)
#define hf_prefetch_write(p) __builtin_prefetch((p), 1, 3)

#endif
