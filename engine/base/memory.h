// Big, zeroed, page-aligned memory taken at set-up. Random access to gigabytes in small pages costs
// a walk of the page tables beside each cache miss, on a virtual machine two.
#ifndef HOLDFAST_BASE_MEMORY_H
#define HOLDFAST_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

struct hf_memory {
    void *base; // NULL when empty
    size_t bytes;
    bool huge; // explicit huge pages
};

enum hf_pages {
    HF_PAGES_SMALL,
    HF_PAGES_TRANSPARENT, // huge ones by advice, as the memory is touched
    HF_PAGES_EXPLICIT,    // reserved huge pages, there at once; when there are too few, transparent
};

// False when the system refuses. Set-up only.
bool hf_memory_map(struct hf_memory *m, size_t bytes, enum hf_pages pages);
// Touches every page now, so that nothing waits for one to be zeroed later. Takes the time that
// the machine takes to give the memory: 0.1 s a GiB, or seconds where it is lent page by page.
void hf_memory_prefault(struct hf_memory *m);
void hf_memory_unmap(struct hf_memory *m);

#endif
