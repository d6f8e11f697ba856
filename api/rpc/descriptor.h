// What proto/descriptors.h says: which methods there are, and what reflection asks for. Read in
// place, out of the serialized set; nothing is allocated. Any thread, pure.
#ifndef HOLDFAST_API_DESCRIPTOR_H
#define HOLDFAST_API_DESCRIPTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DESCRIPTOR_NAME_BYTES 128 // of a full name, terminated; longer ones are not told

// "/package.Service/Method". False: there is no such method.
bool descriptor_method(const char *path, bool *client_streams, bool *server_streams);

// Full name of the index-th service, from 0 on, in the order of the files. False: no more.
bool descriptor_service(uint32_t index, char name[DESCRIPTOR_NAME_BYTES]);

struct descriptor_file {
    const unsigned char *bytes; // a serialized google.protobuf.FileDescriptorProto
    size_t byte_count;
};
bool descriptor_file_named(const char *name, struct descriptor_file *out);
// The file that declares a service, method, message, field, oneof, enum or enum value, by its full
// name without a leading dot.
bool descriptor_file_of(const char *symbol, struct descriptor_file *out);
// The index-th import of a file, from 0 on. False: no more, or it is not in the set.
bool descriptor_import(const struct descriptor_file *file, uint32_t index,
                       struct descriptor_file *out);

#endif
