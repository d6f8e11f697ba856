// Packed messages: wire_check against a slow reading of the same rules, and against protobuf-c.
//
//   byte 0: which method's request; byte 1: 0 raw, 1 the input is one string field's text; the rest
#include "fuzz/fuzz.h"

#include "base/status.h"
#include "rpc/wire.h"

#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "holdfast/v1/reservation.pb-c.h"
#include "holdfast/v1/stock_admin.pb-c.h"
#include "holdfast/v1/stock_read.pb-c.h"

#include <stdio.h>
#include <stdlib.h>

static const ProtobufCMessageDescriptor *const types[] = {
    &holdfast__v1__reserve_stream_request__descriptor,
    &holdfast__v1__reserve_request__descriptor,
    &holdfast__v1__return_goods_request__descriptor,
    &holdfast__v1__import_stock_request__descriptor,
    &holdfast__v1__set_stock_request__descriptor,
    &holdfast__v1__batch_get_stock_request__descriptor,
    &holdfast__v1__watch_stock_request__descriptor,
    &grpc__health__v1__health_check_request__descriptor,
    &grpc__reflection__v1__server_reflection_request__descriptor,
};
#define TYPES (sizeof types / sizeof *types)

// ------------------------------------------------------------------------ the oracle

// Decodes into code points, and asks of each whether it may be there.
static bool oracle_utf8(const uint8_t *p, size_t n)
{
    static const uint32_t least[] = {1, 0x80, 0x800, 0x10000};
    for (size_t i = 0; i < n;) {
        unsigned more = p[i] < 0x80 ? 0 : p[i] >> 5 == 6 ? 1 : p[i] >> 4 == 14 ? 2 : 3;
        uint32_t c = more == 0   ? p[i]
                     : more == 1 ? p[i] & 0x1fu
                     : more == 2 ? p[i] & 0xfu
                                 : p[i] & 7u;
        if (p[i] >= 0xf8 || p[i] >> 6 == 2 || i + more >= n)
            return false;
        for (unsigned k = 1; k <= more; k++) {
            if (p[i + k] >> 6 != 2)
                return false;
            c = c << 6 | (p[i + k] & 0x3f);
        }
        if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            return false;
        i += more + 1;
    }
    return true;
}

// At most ten bytes. The length of it, 0: broken.
static size_t oracle_varint(const uint8_t *p, size_t n, unsigned __int128 *value)
{
    *value = 0;
    for (size_t i = 0; i < n && i < 10; i++) {
        *value |= (unsigned __int128)(p[i] & 0x7f) << (7 * i);
        if (p[i] < 0x80)
            return i + 1;
    }
    return 0;
}

static bool oracle(const ProtobufCMessageDescriptor *d, const uint8_t *p, size_t n, unsigned depth);

static bool oracle_field(const ProtobufCMessageDescriptor *d, unsigned number, const uint8_t *p,
                         size_t n, unsigned depth)
{
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        if (f->id != number)
            continue;
        if (f->type == PROTOBUF_C_TYPE_STRING)
            return oracle_utf8(p, n);
        if (f->type == PROTOBUF_C_TYPE_MESSAGE)
            return depth < WIRE_DEPTH_MAX && oracle(f->descriptor, p, n, depth + 1);
    }
    return true;
}

static bool oracle(const ProtobufCMessageDescriptor *d, const uint8_t *p, size_t n, unsigned depth)
{
    while (n > 0) {
        unsigned __int128 key, value;
        size_t used = oracle_varint(p, n, &key), body = 0;
        key &= UINT64_MAX;
        if (used == 0 || key >> 32 || key >> 3 == 0)
            return false;
        p += used, n -= used;
        switch ((unsigned)key & 7) {
        case 0:
            if ((body = oracle_varint(p, n, &value)) == 0)
                return false;
            break;
        case 1:
            body = 8;
            break;
        case 2:
            if ((used = oracle_varint(p, n, &value)) == 0)
                return false;
            p += used, n -= used;
            value &= UINT64_MAX;
            if (value > n)
                return false;
            body = (size_t)value;
            break;
        case 5:
            body = 4;
            break;
        default:
            return false;
        }
        if (body > n)
            return false;
        if ((key & 7) == 2 && !oracle_field(d, (unsigned)(key >> 3), p, body, depth))
            return false;
        p += body, n -= body;
    }
    return true;
}

// ------------------------------------------------------------------------ one message

// What protobuf-c made of a message that was found good comes out again as it went in.
static void unpack_judge(const ProtobufCMessageDescriptor *d, const uint8_t *p, size_t n)
{
    ProtobufCMessage *m = protobuf_c_message_unpack(d, NULL, n, p), *again;
    if (!m)
        return; // a known field of another wire type: the listener answers that
    size_t bytes = protobuf_c_message_get_packed_size(m);
    uint8_t *packed = malloc(2 * bytes + 2);
    char field[96];
    const char *why;
    HF_ASSERT(packed && protobuf_c_message_pack(m, packed) == bytes);
    HF_ASSERT(wire_check(d, packed, bytes, field, sizeof field, &why));
    again = protobuf_c_message_unpack(d, NULL, bytes, packed);
    HF_ASSERT(again && protobuf_c_message_get_packed_size(again) == bytes);
    protobuf_c_message_pack(again, packed + bytes);
    HF_ASSERT(memcmp(packed, packed + bytes, bytes) == 0);
    protobuf_c_message_free_unpacked(again, NULL);
    protobuf_c_message_free_unpacked(m, NULL);
    free(packed);
}

void fuzz_set_up(void)
{
}

void fuzz_seeds(void)
{
    static const char *const ids[] = {"01890a5d-ac96-774b-bcce-b302099a8057", "x\xc3\xa9y"};
    for (unsigned i = 0; i < 2; i++) {
        Holdfast__V1__ReserveRequest r = HOLDFAST__V1__RESERVE_REQUEST__INIT;
        Holdfast__V1__Line line = HOLDFAST__V1__LINE__INIT, *lines[] = {&line, &line};
        Holdfast__V1__StreamOperation op = HOLDFAST__V1__STREAM_OPERATION__INIT,
                                      *ops[] = {&op, &op};
        Holdfast__V1__ReserveStreamRequest s = HOLDFAST__V1__RESERVE_STREAM_REQUEST__INIT;
        uint8_t out[600] = {0};
        line.sku = (char *)(uintptr_t) "A", line.location = (char *)(uintptr_t) "main";
        line.quantity = i ? -1 : 300, line.generation = i;
        r.reservation_id = (char *)(uintptr_t)ids[i];
        r.lines = lines, r.n_lines = 2, r.ttl_ms = 1000;
        op.operation_case = HOLDFAST__V1__STREAM_OPERATION__OPERATION_RESERVE;
        op.reserve = &r;
        s.operations = ops, s.n_operations = 2;
        fuzz_seed(i ? "stream-1" : "stream-0", out,
                  2 + holdfast__v1__reserve_stream_request__pack(&s, out + 2));
        out[0] = 1;
        fuzz_seed(i ? "reserve-1" : "reserve-0", out,
                  2 + holdfast__v1__reserve_request__pack(&r, out + 2));
    }
    // The sequences at the ends of what is allowed, and those just beyond.
    static const char *const ends[] = {"a\xc2\x80",        "a\xc1\xbf",        "\xe0\xa0\x80",
                                       "\xe0\x9f\xbf",     "\xed\x9f\xbf",     "\xed\xa0\x80",
                                       "\xf0\x90\x80\x80", "\xf0\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf",
                                       "\xf4\x90\x80\x80", "abcdefgh\x7f",     "\xe1\x80"};
    for (unsigned i = 0; i < sizeof ends / sizeof *ends; i++) {
        char name[32], text[64];
        int bytes = snprintf(text, sizeof text, "%c%c%s%s", 0, 1, i % 2 ? "12345678" : "", ends[i]);
        snprintf(name, sizeof name, "text-%u", i);
        fuzz_seed(name, text, (size_t)bytes);
    }
}

void fuzz_one(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, data + bytes};
    const ProtobufCMessageDescriptor *d = types[fuzz_byte(&in) % TYPES];
    bool text = fuzz_byte(&in) == 1;
    size_t n;
    const uint8_t *from = fuzz_take(&in, SIZE_MAX, &n);
    uint8_t *p = malloc(n ? n : 1); // of exactly that size
    char field[96] = "x";
    const char *why = NULL;
    HF_ASSERT(p);
    memcpy(p, from, n);
    HF_ASSERT(wire_utf8(p, n) == oracle_utf8(p, n));
    if (!text) {
        bool good = oracle(d, p, n, 0);
        HF_ASSERT(wire_check(d, p, n, field, sizeof field, &why) == good);
        HF_ASSERT(strnlen(field, sizeof field) < sizeof field);
        HF_ASSERT(good ? !why && !field[0] : why && why[0]);
        if (good)
            unpack_judge(d, p, n);
    }
    free(p);
}
