#include "base/memory.h"

#include <stdint.h>
#include <sys/mman.h>

#define HUGE_BYTES ((size_t)2 << 20)

bool hf_memory_map(struct hf_memory *m, size_t bytes, enum hf_pages pages)
{
    size_t whole = (bytes + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1);
    *m = (struct hf_memory){NULL, 0, false};
    if (whole < bytes || whole == 0)
        return false;
    if (pages == HF_PAGES_EXPLICIT && bytes >= HUGE_BYTES) {
        void *p = mmap(NULL, whole, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
        if (p != MAP_FAILED) {
            *m = (struct hf_memory){p, whole, true};
            return true;
        }
    }
    // One huge page more, so that the aligned part can be backed by transparent huge pages.
    size_t span = bytes >= HUGE_BYTES ? whole + HUGE_BYTES : whole;
    char *p = mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return false;
    char *base = (char *)(((uintptr_t)p + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1));
    if (span == whole)
        base = p;
    if (base > p)
        munmap(p, (size_t)(base - p));
    if (p + span > base + whole)
        munmap(base + whole, (size_t)(p + span - (base + whole)));
    if (pages != HF_PAGES_SMALL && bytes >= HUGE_BYTES)
        madvise(base, whole, MADV_HUGEPAGE);
    *m = (struct hf_memory){base, whole, false};
    return true;
}

void hf_memory_prefault(struct hf_memory *m)
{
    // Old kernels refuse: then pages come as they are touched.
    if (m->base && !m->huge)
        madvise(m->base, m->bytes, MADV_POPULATE_WRITE);
}

void hf_memory_unmap(struct hf_memory *m)
{
    if (m->base)
        munmap(m->base, m->bytes);
    *m = (struct hf_memory){NULL, 0, false};
}
