// google.rpc.Status of an error, as the trailer grpc-status-details-bin carries it.
#ifndef HOLDFAST_API_DETAILS_H
#define HOLDFAST_API_DETAILS_H

#include "rpc/rpc.h"

#define DETAILS_BYTES_MAX 1024
#define DETAILS_DOMAIN    "holdfast"

// Packs it; returns its bytes. Any thread.
size_t details_pack(const struct rpc_error *error, unsigned char out[DETAILS_BYTES_MAX]);
// The sentence that the status carries: the field and what is wrong with it.
void details_message(const struct rpc_error *error, char *out, size_t bytes);

#endif
