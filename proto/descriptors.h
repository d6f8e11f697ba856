// The serialized google.protobuf.FileDescriptorSet of everything that the server offers, as protoc
// made it: which methods there are, which of them stream, and what reflection tells. Static,
// any thread.
#ifndef HOLDFAST_PROTO_DESCRIPTORS_H
#define HOLDFAST_PROTO_DESCRIPTORS_H

#include <stddef.h>

extern const unsigned char proto_descriptors[];
extern const size_t proto_descriptors_bytes;

#endif
