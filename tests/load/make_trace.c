// Writes a made-up trace: make-trace PATH INVOICES SEED
#include "trace/trace.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    return trace_make(argv[1], (uint32_t)strtoul(argv[2], NULL, 10), strtoull(argv[3], NULL, 10))
               ? 0
               : 1;
}
