// Messages as JSON: names as in the .proto files, every field, 64-bit numbers as numbers but for
// fixed64 (a string: it may not fit a double), enums by name.
#ifndef HOLDFAST_CTL_MESSAGE_JSON_H
#define HOLDFAST_CTL_MESSAGE_JSON_H

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>

json_t *message_json(const ProtobufCMessage *m); // the caller's; never NULL
void json_print(json_t *object, FILE *out);      // one line; takes the reference

#endif
