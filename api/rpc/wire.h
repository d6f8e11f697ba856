// A look at a message before it is unpacked: what protobuf-c does not check.
#ifndef HOLDFAST_API_WIRE_H
#define HOLDFAST_API_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#define WIRE_DEPTH_MAX 8

// True when `bytes` is a well-formed message of this type, nested no deeper than WIRE_DEPTH_MAX,
// and every string of a known field is valid UTF-8 without NUL. Else *why is one sentence, static,
// and `field` the path of the field, empty when the message itself is broken. Any thread,
// wait-free.
bool wire_check(const ProtobufCMessageDescriptor *d, const unsigned char *bytes, size_t count,
                char *field, size_t field_bytes, const char **why);

// UTF-8 without NUL, overlong forms or surrogates.
bool wire_utf8(const unsigned char *text, size_t bytes);

#endif
