// What link.c and link_status.c share.
#ifndef HOLDFAST_LOADGEN_LINK_INTERNAL_H
#define HOLDFAST_LOADGEN_LINK_INTERNAL_H

#include "load/link.h"

#include <grpc/grpc.h>

// Fills `end` with what the status and its details say.
void link_end_read(struct link_end *end, grpc_status_code code, const grpc_slice *message,
                   const grpc_metadata_array *trailing);

#endif
