// Big, zeroed, page-aligned memory taken at set-up: explicit huge pages when the machine has them,
// else transparent ones by advice, else ordinary pages.
#ifndef HOLDFAST_SYS_MEMORY_H
#define HOLDFAST_SYS_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

struct sys_memory {
    void *base; // NULL when empty
    size_t bytes;
    bool huge; // explicit huge pages
};

// False when the system refuses. Set-up only.
bool sys_memory_map(struct sys_memory *m, size_t bytes, bool try_huge);
void sys_memory_unmap(struct sys_memory *m);

#endif
