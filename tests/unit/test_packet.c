// The packet format against vectors: bytes in, meaning out. docs/packet-format.md shows the same.
#include "packet/packet.h"
#include "packet/tag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint8_t key[PACKET_KEY_BYTES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// Session 0x00010007, sequence 1, generation 0x1122334455667788, stamp 0xcafe, one item: an order
// of 3 units of handle 42.
#define ORDER_FRAME                                                                                \
    "4846 01 01 07000100 0100000000000000 8877665544332211 feca0000 4800 01 00 " ORDER_TAG         \
    "0190a5d0c0007abc8def0123456789ab 02 00 01 00 00000000 2a000000 03000000"
#define ORDER_TAG "7aedbbc603458ba2 "
// The reply to it: done, committed, durable; 97 are left, 3 were taken.
#define ORDER_REPLY                                                                                \
    "4846 01 02 07000100 0100000000000000 8877665544332211 feca0000 4800 01 00 " REPLY_TAG         \
    "0190a5d0c0007abc8def0123456789ab 01 02 02 01 00000000 61000000 03000000"
#define REPLY_TAG "0000000000000000 "
// Three items: a best-effort hold of two lines for 60 s, its commit, a query for a cell.
#define MIXED_FRAME                                                                                \
    "4846 01 01 07000100 0200000000000000 8877665544332211 00000000 8800 03 00 0000000000000000 "  \
    "0190a5d0c0007abc8def0123456789ac 01 01 02 00 60ea0000 2a000000 01000000 2b000000 ffffffff "   \
    "0190a5d0c0007abc8def0123456789ac 03 02 00 00 00000000 "                                       \
    "00000000000000000000000000000000 06 00 01 00 00000000 2a000000 00000000"
// Is anybody there?
#define HELLO_FRAME                                                                                \
    "4846 01 01 07000100 feffffffffffffff 0000000000000000 01000000 2800 00 00 0000000000000000"

static size_t unhex(const char *text, uint8_t *out)
{
    size_t n = 0;
    unsigned half = 0, value = 0;
    for (; *text; text++) {
        if (*text == ' ')
            continue;
        unsigned digit = *text <= '9' ? (unsigned)(*text - '0') : (unsigned)(*text - 'a') + 10;
        value = value << 4 | digit;
        if (half ^= 1)
            continue;
        out[n++] = (uint8_t)value;
    }
    assert_int_equal(half, 0);
    return n;
}

static void reads_an_order(void **state)
{
    (void)state;
    uint8_t frame[PACKET_BYTES_MAX];
    size_t bytes = unhex(ORDER_FRAME, frame);
    struct packet_header h;
    uint32_t line;
    assert_int_equal(bytes, 72);
    assert_int_equal(packet_read(frame, bytes, PACKET_REQUEST, &h), PACKET_FAULT_NONE);
    assert_int_equal(h.session, 0x00010007);
    assert_int_equal(h.sequence, 1);
    assert_true(h.generation == UINT64_C(0x1122334455667788));
    assert_int_equal(h.stamp, 0xcafe);
    assert_int_equal(h.count, 1);
    const uint8_t *at = frame + PACKET_HEADER_BYTES;
    struct packet_item i = packet_item_read(at);
    assert_int_equal(i.id[0], 0x01);
    assert_int_equal(i.id[15], 0xab);
    assert_int_equal(i.kind, PACKET_ORDER);
    assert_int_equal(i.lines, 1);
    assert_int_equal(i.time, 0);
    assert_int_equal(packet_item_fault(at, &line), PACKET_FIELD_NONE);
    struct packet_line l = packet_line_read(at + packet_item_bytes(0));
    assert_int_equal(l.handle, 42);
    assert_int_equal(l.quantity, 3);
    assert_true(packet_open(frame, bytes, key));
}

static void turns_it_into_its_reply(void **state)
{
    (void)state;
    uint8_t frame[PACKET_BYTES_MAX], wanted[PACKET_BYTES_MAX];
    size_t bytes = unhex(ORDER_FRAME, frame);
    uint8_t *at = frame + PACKET_HEADER_BYTES;
    packet_answer_write(at, 1, PACKET_OUT_DONE, PACKET_STATE_COMMITTED, PACKET_DURABLE, 0);
    packet_line_answer_write(at + packet_item_bytes(0), 97, 3);
    packet_reply_header(frame, UINT64_C(0x1122334455667788));
    assert_int_equal(unhex(ORDER_REPLY, wanted), bytes);
    assert_memory_equal(frame, wanted, bytes);

    struct packet_header h;
    assert_int_equal(packet_read(frame, bytes, PACKET_REQUEST, &h), PACKET_FAULT_KIND);
    assert_int_equal(packet_read(frame, bytes, PACKET_REPLY, &h), PACKET_FAULT_NONE);
    struct packet_answer a = packet_answer_read(at);
    assert_int_equal(a.outcome, PACKET_OUT_DONE);
    assert_int_equal(a.state, PACKET_STATE_COMMITTED);
    assert_int_equal(a.flags, PACKET_DURABLE);
    struct packet_line_answer l = packet_line_answer_read(at + packet_item_bytes(0));
    assert_int_equal(l.available, 97);
    assert_int_equal(l.amount, 3);
    packet_line_answer_write(at + packet_item_bytes(0), -5, UINT32_MAX);
    assert_int_equal(packet_line_answer_read(at + packet_item_bytes(0)).available, -5);
    packet_seal(frame, bytes, key);
    assert_true(packet_open(frame, bytes, key));
}

static void reads_items_of_all_shapes(void **state)
{
    (void)state;
    uint8_t frame[PACKET_BYTES_MAX];
    size_t bytes = unhex(MIXED_FRAME, frame);
    struct packet_header h;
    uint32_t line;
    assert_int_equal(packet_read(frame, bytes, PACKET_REQUEST, &h), PACKET_FAULT_NONE);
    assert_int_equal(h.count, 3);
    const uint8_t *at = frame + PACKET_HEADER_BYTES;
    struct packet_item i = packet_item_read(at);
    assert_int_equal(i.kind, PACKET_HOLD);
    assert_int_equal(i.flags, PACKET_BEST_EFFORT);
    assert_int_equal(i.time, 60000);
    assert_true(packet_line_read(at + packet_item_bytes(1)).quantity == UINT32_MAX);
    assert_int_equal(packet_item_fault(at, &line), PACKET_FIELD_NONE);
    at += packet_item_bytes(i.lines);
    i = packet_item_read(at);
    assert_int_equal(i.kind, PACKET_COMMIT);
    assert_int_equal(i.flags, PACKET_RETAKE);
    assert_int_equal(packet_item_fault(at, &line), PACKET_FIELD_NONE);
    at += packet_item_bytes(i.lines);
    i = packet_item_read(at);
    assert_int_equal(i.kind, PACKET_QUERY);
    assert_int_equal(packet_item_fault(at, &line), PACKET_FIELD_NONE);

    bytes = unhex(HELLO_FRAME, frame);
    assert_int_equal(packet_read(frame, bytes, PACKET_REQUEST, &h), PACKET_FAULT_NONE);
    assert_int_equal(h.count, 0);
}

// The writer makes the vectors, byte by byte.
static void writes_the_vectors(void **state)
{
    (void)state;
    uint8_t frame[PACKET_BYTES_MAX], wanted[PACKET_BYTES_MAX];
    struct packet_writer w;
    struct packet_item item = {.kind = PACKET_ORDER, .lines = 1};
    unhex("0190a5d0c0007abc8def0123456789ab", item.id);
    packet_begin(&w, frame, sizeof frame);
    assert_true(packet_add(&w, item, &(struct packet_line){42, 3}));
    uint32_t bytes = packet_end(&w, 0x10007, 1, UINT64_C(0x1122334455667788), 0xcafe);
    packet_seal(frame, bytes, key);
    assert_int_equal(unhex(ORDER_FRAME, wanted), bytes);
    assert_memory_equal(frame, wanted, bytes);

    packet_begin(&w, frame, sizeof frame);
    item = (struct packet_item){
        .kind = PACKET_HOLD, .flags = PACKET_BEST_EFFORT, .lines = 2, .time = 60000};
    unhex("0190a5d0c0007abc8def0123456789ac", item.id);
    assert_true(packet_add(&w, item, (struct packet_line[]){{42, 1}, {43, UINT32_MAX}}));
    item = (struct packet_item){.kind = PACKET_COMMIT, .flags = PACKET_RETAKE};
    unhex("0190a5d0c0007abc8def0123456789ac", item.id);
    assert_true(packet_add(&w, item, NULL));
    item = (struct packet_item){.kind = PACKET_QUERY, .lines = 1};
    assert_true(packet_add(&w, item, &(struct packet_line){42, 0}));
    bytes = packet_end(&w, 0x10007, 2, UINT64_C(0x1122334455667788), 0);
    assert_int_equal(unhex(MIXED_FRAME, wanted), bytes);
    assert_memory_equal(frame, wanted, bytes);
}

static void fills_a_frame_and_no_more(void **state)
{
    (void)state;
    uint8_t frame[PACKET_BYTES_MAX + 1];
    struct packet_header h;
    struct packet_writer w;
    struct packet_item item = {.id = {1}, .kind = PACKET_RELEASE};
    frame[PACKET_BYTES_MAX] = 0xa5;
    packet_begin(&w, frame, UINT32_MAX); // is cut down
    unsigned n = 0;
    while (packet_add(&w, item, NULL))
        n++;
    assert_int_equal(n, PACKET_ITEMS_MAX);
    uint32_t bytes = packet_end(&w, 1, 1, 0, 0);
    assert_true(bytes <= PACKET_BYTES_MAX && bytes + PACKET_ITEM_BYTES > PACKET_BYTES_MAX);
    assert_int_equal(packet_read(frame, bytes, PACKET_REQUEST, &h), PACKET_FAULT_NONE);
    assert_int_equal(h.count, PACKET_ITEMS_MAX);

    static struct packet_line lines[PACKET_LINES_MAX + 1];
    item.kind = PACKET_RECORD;
    item.lines = PACKET_LINES_MAX;
    packet_begin(&w, frame, PACKET_BYTES_MAX);
    assert_true(packet_add(&w, item, lines));
    item.lines++;
    packet_begin(&w, frame, PACKET_BYTES_MAX);
    assert_false(packet_add(&w, item, lines));
    assert_int_equal(w.bytes, PACKET_HEADER_BYTES);
    assert_int_equal(frame[PACKET_BYTES_MAX], 0xa5);
}

struct damage {
    unsigned at;
    uint8_t value;
    enum packet_fault fault;
};

static void tells_what_is_no_frame(void **state)
{
    (void)state;
    static const struct damage damages[] = {
        {0, 0x49, PACKET_FAULT_MAGIC},      {2, 2, PACKET_FAULT_VERSION},
        {3, 2, PACKET_FAULT_KIND},          {3, 0, PACKET_FAULT_KIND},
        {28, 0x49, PACKET_FAULT_TRUNCATED}, {28, 0x47, PACKET_FAULT_LONGER},
        {29, 0xff, PACKET_FAULT_TRUNCATED}, {30, 0, PACKET_FAULT_ITEMS},
        {30, 2, PACKET_FAULT_ITEMS},        {31, 1, PACKET_FAULT_HEADER},
        {58, 0, PACKET_FAULT_ITEMS},        {58, 2, PACKET_FAULT_ITEMS},
        {58, 255, PACKET_FAULT_ITEMS},      {8, 0, PACKET_FAULT_HEADER},
    };
    uint8_t frame[PACKET_BYTES_MAX];
    struct packet_header h;
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        size_t bytes = unhex(ORDER_FRAME, frame);
        frame[damages[i].at] = damages[i].value;
        assert_int_equal(packet_read(frame, bytes, PACKET_REQUEST, &h), damages[i].fault);
    }
    size_t bytes = unhex(ORDER_FRAME, frame);
    for (size_t n = 0; n < bytes; n++) {
        uint8_t *cut = malloc(n ? n : 1); // so that a reader beyond the end is caught
        memcpy(cut, frame, n);
        assert_int_equal(packet_read(cut, n, PACKET_REQUEST, &h),
                         n < PACKET_HEADER_BYTES ? PACKET_FAULT_SHORT : PACKET_FAULT_TRUNCATED);
        free(cut);
    }
    memset(frame + 4, 0, 4); // session 0
    assert_int_equal(packet_read(frame, bytes, PACKET_REQUEST, &h), PACKET_FAULT_HEADER);
    bytes = unhex(HELLO_FRAME, frame);
    frame[8] = 0xff; // sequence 2^64 - 1
    assert_int_equal(packet_read(frame, bytes, PACKET_REQUEST, &h), PACKET_FAULT_HEADER);
}

static void tells_what_an_item_lacks(void **state)
{
    (void)state;
    static const struct {
        const char *item;
        enum packet_field field;
        uint32_t line;
    } items[] = {
        {"00 00 01 00 00000000 2a000000 03000000", PACKET_FIELD_KIND, 0},
        {"07 00 01 00 00000000 2a000000 03000000", PACKET_FIELD_KIND, 0},
        {"02 02 01 00 00000000 2a000000 03000000", PACKET_FIELD_FLAGS, 0},
        {"03 01 00 00 00000000", PACKET_FIELD_FLAGS, 0},
        {"05 01 01 00 00000000 2a000000 03000000", PACKET_FIELD_FLAGS, 0},
        {"02 00 01 01 00000000 2a000000 03000000", PACKET_FIELD_ZERO, 0},
        {"01 00 00 00 01000000", PACKET_FIELD_LINES, 0},
        {"02 00 00 00 00000000", PACKET_FIELD_LINES, 0},
        {"04 00 01 00 00000000 2a000000 03000000", PACKET_FIELD_LINES, 0},
        {"01 00 01 00 00000000 2a000000 03000000", PACKET_FIELD_TIME, 0},
        {"02 00 01 00 01000000 2a000000 03000000", PACKET_FIELD_TIME, 0},
        {"06 00 01 00 00000000 2a000000 00000000", PACKET_FIELD_ID, 0},
        {"02 00 02 00 00000000 2a000000 03000000 2b000000 00000000", PACKET_FIELD_QUANTITY, 1},
        {"04 00 00 00 00000000", PACKET_FIELD_NONE, 0},
        {"03 00 01 00 00000000 2a000000 03000000", PACKET_FIELD_NONE, 0},
        {"06 00 00 00 00000000", PACKET_FIELD_NONE, 0},
    };
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        uint8_t at[PACKET_BYTES_MAX];
        uint32_t line;
        unhex("0190a5d0c0007abc8def0123456789ab", at);
        unhex(items[i].item, at + 16);
        assert_int_equal(packet_item_fault(at, &line), items[i].field);
        assert_int_equal(line, items[i].line);
    }
    uint8_t nil[PACKET_ITEM_BYTES] = {0};
    uint32_t line;
    nil[16] = PACKET_QUERY; // of nothing
    assert_int_equal(packet_item_fault(nil, &line), PACKET_FIELD_ID);
}

// Appendix A of "SipHash: a fast short-input PRF" (Aumasson, Bernstein, 2012).
static void the_tag_is_siphash_2_4(void **state)
{
    (void)state;
    uint8_t message[15], tag[8];
    for (uint8_t i = 0; i < sizeof message; i++)
        message[i] = i;
    crypto_shorthash(tag, message, sizeof message, key);
    static const uint8_t wanted[8] = {0xe5, 0x45, 0xbe, 0x49, 0x61, 0xca, 0x29, 0xa1};
    assert_memory_equal(tag, wanted, sizeof wanted);
}

static void no_bit_changes_under_a_tag(void **state)
{
    (void)state;
    uint8_t frame[PACKET_BYTES_MAX], other[PACKET_KEY_BYTES];
    size_t bytes = unhex(ORDER_FRAME, frame);
    for (size_t bit = 0; bit < bytes * 8; bit++) {
        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(packet_open(frame, bytes, key));
        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (unsigned bit = 0; bit < PACKET_KEY_BYTES * 8; bit++) {
        memcpy(other, key, sizeof other);
        other[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(packet_open(frame, bytes, other));
    }
    assert_true(packet_open(frame, bytes, key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_an_order),
        cmocka_unit_test(turns_it_into_its_reply),
        cmocka_unit_test(reads_items_of_all_shapes),
        cmocka_unit_test(writes_the_vectors),
        cmocka_unit_test(fills_a_frame_and_no_more),
        cmocka_unit_test(tells_what_is_no_frame),
        cmocka_unit_test(tells_what_an_item_lacks),
        cmocka_unit_test(the_tag_is_siphash_2_4),
        cmocka_unit_test(no_bit_changes_under_a_tag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
