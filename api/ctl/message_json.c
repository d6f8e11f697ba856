#include "ctl/message_json.h"

#include "base/status.h"

#include <inttypes.h>
#include <stdlib.h>

static json_t *text_json(const char *text)
{
    json_t *j = json_string(text ? text : "");
    return j ? j : json_string("(not UTF-8)");
}

static json_t *fixed_json(uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return json_string(text);
}

static json_t *enum_json(const ProtobufCFieldDescriptor *f, int value)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(f->descriptor, value);
    return v ? json_string(v->name) : json_integer(value); // newer than this program
}

static json_t *bytes_json(const ProtobufCBinaryData *data)
{
    json_t *j = NULL;
    char *text = malloc(2 * data->len + 1);
    HF_ASSERT(text);
    text[0] = '\0';
    for (size_t i = 0; i < data->len; i++)
        snprintf(text + 2 * i, 3, "%02x", data->data[i]);
    j = json_string(text);
    free(text);
    return j;
}

// The element at `at`, of a repeated field or alone.
static json_t *value_json(const ProtobufCFieldDescriptor *f, const void *at)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return json_integer(*(const int32_t *)at);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return json_integer(*(const uint32_t *)at);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
        return json_integer(*(const int64_t *)at);
    case PROTOBUF_C_TYPE_FIXED64:
        return fixed_json(*(const uint64_t *)at);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)at);
    case PROTOBUF_C_TYPE_ENUM:
        return enum_json(f, *(const int *)at);
    case PROTOBUF_C_TYPE_STRING:
        return text_json(*(char *const *)at);
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(ProtobufCMessage *const *)at ? message_json(*(ProtobufCMessage *const *)at)
                                              : json_null();
    case PROTOBUF_C_TYPE_BYTES:
        return bytes_json(at);
    default:
        return json_null(); // floats: the API has none
    }
}

static size_t element_bytes(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    default:
        return 4;
    }
}

static json_t *repeated_json(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const char *base = (const char *)m;
    size_t count = *(const size_t *)(base + f->quantifier_offset);
    const char *elements = *(const char *const *)(base + f->offset);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, value_json(f, elements + i * element_bytes(f)));
    return list;
}

json_t *message_json(const ProtobufCMessage *m)
{
    const char *base = (const char *)m;
    json_t *object = json_object();
    HF_ASSERT(object);
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
            *(const int *)(base + f->quantifier_offset) != (int)f->id)
            continue; // another member of the oneof is there
        json_object_set_new(object, f->name,
                            f->label == PROTOBUF_C_LABEL_REPEATED
                                ? repeated_json(m, f)
                                : value_json(f, base + f->offset));
    }
    return object;
}

void json_print(json_t *object, FILE *out)
{
    json_dumpf(object, out, JSON_COMPACT);
    fputc('\n', out);
    json_decref(object);
}
