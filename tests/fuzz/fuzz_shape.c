#include "fuzz/fuzz_shape.h"

#include "base/status.h"

#include <stdlib.h>

#define DEPTH_MAX 6
#define LONG_64   "ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss"
#define LONG_32   "llllllllllllllllllllllllllllllll"

struct packer {
    uint8_t *at, *end;
};

struct hf_uuid shape_id(unsigned n)
{
    n %= SHAPE_IDS;
    return hf_uuid_v7(SHAPE_TIME_MS + n / 4 * 400, n, UINT64_C(0x4242) * n);
}

static void put(struct packer *p, const void *data, size_t bytes)
{
    if ((size_t)(p->end - p->at) < bytes)
        return;
    memcpy(p->at, data, bytes);
    p->at += bytes;
}

static void put_varint(struct packer *p, uint64_t value)
{
    uint8_t text[10];
    unsigned n = 0;
    for (; value >= 0x80; value >>= 7)
        text[n++] = (uint8_t)value | 0x80;
    text[n++] = (uint8_t)value;
    put(p, text, n);
}

static void put_text(struct packer *p, const ProtobufCFieldDescriptor *f, const void *text,
                     size_t bytes)
{
    if ((size_t)(p->end - p->at) < bytes + 12)
        return;
    put_varint(p, (uint64_t)f->id << 3 | 2);
    put_varint(p, bytes);
    put(p, text, bytes);
}

// ------------------------------------------------------------------------ values

static void put_id(struct fuzz_input *in, struct packer *p, const ProtobufCFieldDescriptor *f)
{
    char text[HF_UUID_TEXT_BYTES];
    uint8_t b = fuzz_byte(in);
    struct hf_uuid id = shape_id(b < 150 ? b % 4 : b); // few, so that they meet
    unsigned kind = b < 200 ? 0 : b - 199u;
    if (kind == 1)
        id = (struct hf_uuid){UINT64_C(0x123456789abc4def), UINT64_C(0x9123456789abcdef)};
    else if (kind == 2)
        id = (struct hf_uuid){0, 0};
    else if (kind == 3)
        id = hf_uuid_v7(SHAPE_TIME_MS - 60000, 1, 1);
    else if (kind == 4)
        id = hf_uuid_v7(SHAPE_TIME_MS + 60000, 1, 1);
    else if (kind == 5)
        id.lo &= ~(UINT64_C(2) << 62);
    else if (kind > 10)
        id = hf_uuid_v7(SHAPE_TIME_MS + fuzz_number(in, 2), 0, b);
    hf_uuid_format(id, text);
    if (kind == 6)
        text[fuzz_byte(in) % 36] = (char)fuzz_byte(in);
    put_text(p, f, text, strnlen(text, 36));
}

struct choice {
    const char *field;
    const char *texts[10];
};
static const struct choice choices[] = {
    {"sku", {"A", "B", "A", "C", "new", "\xc3\xa9", "", LONG_64, LONG_64 "s", "a\tb"}},
    {"location", {"main", "main", "W2", "W2", "W3", "", LONG_32, LONG_32 "l", "\x7f", "x"}},
    {"channel", {"web", "", "app", "new", "", LONG_32, LONG_32 "l", "\x01", "w", "A"}},
    {"traceparent",
     {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
      "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
      "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0AF7", "x", LONG_64, "00"}},
    {"page_token",
     {"1", "2", "3", "ffffffffffffffff", "0", "", "10000000000000000", "x", "A", "-1"}},
    {"service", {"", "holdfast.v1.ReservationService", "grpc.health.v1.Health", "x"}},
    {"file_by_filename", {"holdfast/v1/common.proto", "holdfast/v1/reservation.proto", "x", ""}},
    {"file_containing_symbol", {"holdfast.v1.Line", "holdfast.v1.Line.sku", "grpc.health.v1", ""}},
};

// Nearly always of printable characters, so that it is a text at all.
static void put_free(struct fuzz_input *in, struct packer *p, const ProtobufCFieldDescriptor *f)
{
    char text[70];
    size_t got;
    uint8_t b = fuzz_byte(in);
    const uint8_t *from = fuzz_take(in, b < 200 ? b % 20 : b % sizeof text, &got);
    for (size_t i = 0; i < got; i++)
        text[i] = (char)(b < 240 ? ' ' + from[i] % 95 : from[i]);
    put_text(p, f, text, got);
}

// The first two choices are the good ones, and taken mostly.
static void put_string(struct fuzz_input *in, struct packer *p, const ProtobufCFieldDescriptor *f)
{
    uint8_t b = fuzz_byte(in);
    for (size_t i = 0; i < sizeof choices / sizeof *choices && b < 250; i++)
        if (strcmp(choices[i].field, f->name) == 0) {
            const char *text = choices[i].texts[b < 200 ? b % 2 : b % 10];
            text = text ? text : "";
            put_text(p, f, text, strlen(text));
            return;
        }
    put_free(in, p, f);
}

static uint64_t number(struct fuzz_input *in, const ProtobufCFieldDescriptor *f)
{
    static const uint64_t special[] = {0,
                                       UINT64_MAX,
                                       HF_QUANTITY_MAX,
                                       (uint64_t)HF_QUANTITY_MAX + 1,
                                       INT64_MAX,
                                       (uint64_t)INT64_MIN,
                                       UINT32_MAX,
                                       (uint64_t)UINT32_MAX + 1,
                                       HF_AVAILABLE_MAX,
                                       (uint64_t)-HF_QUANTITY_MAX,
                                       1000,
                                       60000,
                                       3600000,
                                       3600001};
    uint8_t b = fuzz_byte(in);
    if (f->type == PROTOBUF_C_TYPE_ENUM) {
        const ProtobufCEnumDescriptor *e = f->descriptor;
        return b < 250 ? (uint64_t)e->values[b % e->n_values].value : b;
    }
    if (strcmp(f->name, "generation") == 0 && b < 250)
        return SHAPE_GENERATION;
    if (strcmp(f->name, "handle") == 0 && b < 250)
        return b % 6;
    if (strcmp(f->name, "ttl_ms") == 0 && b < 200)
        return (b + 1u) * 100;
    if (b < 128)
        return b;
    if (b < 240)
        return special[b % (sizeof special / sizeof *special)];
    return fuzz_number(in, 8);
}

static uint64_t zigzag(uint64_t v)
{
    return v << 1 ^ (v >> 63 ? UINT64_MAX : 0);
}

static void put_number(struct fuzz_input *in, struct packer *p, const ProtobufCFieldDescriptor *f)
{
    uint64_t value = number(in, f);
    if ((size_t)(p->end - p->at) < 16)
        return;
    switch (f->type) {
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        put_varint(p, (uint64_t)f->id << 3 | 1);
        put(p, &value, 8);
        return;
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        put_varint(p, (uint64_t)f->id << 3 | 5);
        put(p, &value, 4);
        return;
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SINT64:
        value = zigzag(value);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        value &= 1;
        break;
    default:
        break;
    }
    put_varint(p, (uint64_t)f->id << 3);
    put_varint(p, value);
}

// ------------------------------------------------------------------------ messages

static void fields(struct fuzz_input *in, const ProtobufCMessageDescriptor *d, struct packer *p,
                   unsigned depth);

// Its length, not known yet, gets five bytes.
static void put_message(struct fuzz_input *in, const ProtobufCFieldDescriptor *f, struct packer *p,
                        unsigned depth)
{
    if (depth == DEPTH_MAX || p->end - p->at < 32)
        return;
    put_varint(p, (uint64_t)f->id << 3 | 2);
    uint8_t *length = p->at;
    p->at += 5;
    fields(in, f->descriptor, p, depth + 1);
    uint64_t bytes = (uint64_t)(p->at - length - 5);
    for (unsigned i = 0; i < 5; i++, bytes >>= 7)
        length[i] = (uint8_t)(bytes & 0x7f) | (i < 4 ? 0x80 : 0);
}

static bool is_id(const ProtobufCFieldDescriptor *f)
{
    size_t n = strlen(f->name);
    return f->type == PROTOBUF_C_TYPE_STRING && n > 3 && strcmp(f->name + n - 3, "_id") == 0;
}

static void put_field(struct fuzz_input *in, const ProtobufCFieldDescriptor *f, struct packer *p,
                      unsigned depth)
{
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        put_message(in, f, p, depth);
    else if (is_id(f))
        put_id(in, p, f);
    else if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_BYTES)
        put_string(in, p, f);
    else
        put_number(in, p, f);
}

// A cell is named by a pair of texts or a pair of numbers: mostly by one of them, and then wholly.
enum presence { LEFT_OUT, FREE, THERE };
static enum presence presence(const ProtobufCFieldDescriptor *f, uint8_t naming)
{
    bool text = strcmp(f->name, "sku") == 0 || strcmp(f->name, "location") == 0;
    bool handle = strcmp(f->name, "handle") == 0 || strcmp(f->name, "generation") == 0;
    if ((!text && !handle) || naming >= 240)
        return strcmp(f->name, "quantity") == 0 && naming < 240 ? THERE : FREE;
    return text == (naming < 180) ? THERE : LEFT_OUT;
}

// One in four bytes leaves a field out, of those that are ids one in sixteen; so do all at the
// input's end. The highest two ask for more of one than there may be.
static void put_each(struct fuzz_input *in, const ProtobufCFieldDescriptor *f, struct packer *p,
                     unsigned depth)
{
    uint8_t b = fuzz_byte(in);
    if ((b & (is_id(f) ? 15 : 3)) == 0)
        return;
    unsigned count = f->label == PROTOBUF_C_LABEL_REPEATED ? 1 + (b >> 2 & 3) : 1;
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *from = p->at;
        put_field(in, f, p, depth);
        size_t bytes = (size_t)(p->at - from);
        for (unsigned k = 0; b >= 0xfe && depth == 0 && count > 1 && i == 0 && k < 1025; k++)
            put(p, from, bytes);
    }
}

static void fields(struct fuzz_input *in, const ProtobufCMessageDescriptor *d, struct packer *p,
                   unsigned depth)
{
    unsigned members = 0;
    bool pairs = protobuf_c_message_descriptor_get_field_by_name(d, "generation") != NULL;
    uint8_t naming = pairs ? fuzz_byte(in) : UINT8_MAX;
    for (unsigned i = 0; i < d->n_fields; i++)
        if (d->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
            members++;
        else if (presence(&d->fields[i], naming) == THERE)
            put_field(in, &d->fields[i], p, depth);
        else if (presence(&d->fields[i], naming) == FREE)
            put_each(in, &d->fields[i], p, depth);
    uint8_t b = members ? fuzz_byte(in) : UINT8_MAX;
    unsigned chosen = b < 250 ? b % members + 1 : 0;
    for (unsigned i = 0; i < d->n_fields; i++)
        if ((d->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && chosen-- == 1)
            put_field(in, &d->fields[i], p, depth);
}

size_t shape_message(struct fuzz_input *in, const ProtobufCMessageDescriptor *d, uint8_t *out,
                     size_t room)
{
    struct packer p = {out, out + room};
    fields(in, d, &p, 0);
    return (size_t)(p.at - out);
}
