// What the files of api/client share.
#ifndef HOLDFAST_CLIENT_INTERNAL_H
#define HOLDFAST_CLIENT_INTERNAL_H

#include "client/client.h"

#include <grpc/grpc.h>

// Fills all but `tries` from what a call ended with.
void client_status_fill(struct client_status *s, grpc_status_code code, grpc_slice message,
                        const grpc_metadata_array *trailers);
// The packed google.rpc.Status of the trailer. What does not parse is left out: the code counts.
void client_status_details(struct client_status *s, const uint8_t *bytes, size_t n);

#endif
