// The packet format, version 1: one UDP payload is one frame. docs/packet-format.md is its prose.
//
// Standalone: C11 and the C library, no state, no allocation; server and clients use this one file.
// All numbers are little-endian; frames need no alignment. A reply is its request, answered in
// place: the same bytes long, each item and line at the same offset.
//
//   frame   | header 40 | item | item ...           header.bytes is the whole of it
//   item    | id 16 | 8 bytes | line 8 | line 8 ... 24 + 8 x lines bytes
//
// Nothing here trusts a byte: whatever is read is checked against the frame's end first.
#ifndef HOLDFAST_PACKET_PACKET_H
#define HOLDFAST_PACKET_PACKET_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PACKET_MAGIC     0x4648 // the bytes "HF"
#define PACKET_VERSION   1
#define PACKET_REQUEST   1 // header.kind
#define PACKET_REPLY     2
#define PACKET_KEY_BYTES 16

#define PACKET_HEADER_BYTES 40
#define PACKET_ITEM_BYTES   24 // without lines
#define PACKET_LINE_BYTES   8
#define PACKET_BYTES_MAX    1472 // what an Ethernet frame of 1,500 bytes leaves over IPv4
#define PACKET_BYTES_IPV6   1452 // and over IPv6
#define PACKET_ITEMS_MAX    ((PACKET_BYTES_MAX - PACKET_HEADER_BYTES) / PACKET_ITEM_BYTES)
#define PACKET_LINES_MAX                                                                           \
    ((PACKET_BYTES_MAX - PACKET_HEADER_BYTES - PACKET_ITEM_BYTES) / PACKET_LINE_BYTES)

//  0        2         3       4         8          16           24      28     30     31      32
//  | magic | version | kind | session | sequence | generation | stamp | bytes| count| flags | tag 8
struct packet_header {
    uint16_t magic;
    uint8_t version;
    uint8_t kind;        // PACKET_REQUEST, PACKET_REPLY
    uint32_t session;    // as opened; never 0
    uint64_t sequence;   // 1 .. 2^64 - 2, each at most once a session; a reply repeats it
    uint64_t generation; // of the directory that the handles are of; in a reply, the engine's
    uint32_t stamp;      // the client's own, repeated in the reply
    uint16_t bytes;      // of the whole frame
    uint8_t count;       // items; 0: is anybody there?
    uint8_t flags;       // 0
    uint64_t tag;        // over everything else (packet/tag.h); 0 in a session without tags
};
static_assert(sizeof(struct packet_header) == PACKET_HEADER_BYTES, "no padding");
static_assert(offsetof(struct packet_header, tag) == PACKET_HEADER_BYTES - 8, "the tag is last");

// number, name, help
#define PACKET_KIND_TABLE(X)                                                                       \
    X(1, HOLD, "hold the lines for `time` milliseconds")                                           \
    X(2, ORDER, "hold and commit at once")                                                         \
    X(3, COMMIT, "turn a hold into a sale; without lines, all of it")                              \
    X(4, RELEASE, "give a whole hold back")                                                        \
    X(5, RECORD, "book a sale that has happened, even when short")                                 \
    X(6, QUERY, "tell the reservation's state (no lines), or what the lines' cells have (id nil)")
enum packet_kind {
#define X(number, name, help) PACKET_##name = (number),
    PACKET_KIND_TABLE(X)
#undef X
        PACKET_KIND_END
};

enum packet_item_flags {
    PACKET_BEST_EFFORT = 1, // HOLD, ORDER: each line takes what there is, up to its quantity
    PACKET_RETAKE = 2,      // COMMIT: of a hold that has expired, take the stock again
};

#define PACKET_OUTCOME_TABLE(X)                                                                    \
    X(1, DONE, "as asked; remembered")                                                             \
    X(2, REFUSED, "not enough available; the lines tell what was missing")                         \
    X(3, EXPIRED, "the hold's deadline has passed and its stock is back")                          \
    X(4, WRONG_STATE, "the reservation's state does not allow it")                                 \
    X(5, CONFLICT, "this id was used with another body")                                           \
    X(6, UNKNOWN, "no such reservation")                                                           \
    X(7, EXCEEDS, "more than the reservation's line holds")                                        \
    X(8, IN_PROGRESS, "another request is deciding this id; again after `detail` ms")              \
    X(9, BUSY, "no room for now, nothing was decided; again after `detail` ms")                    \
    X(10, ID_TOO_OLD, "an unknown id from before the window: it never acts again")                 \
    X(11, ID_IN_FUTURE, "an unknown id too far ahead of the engine's time")                        \
    X(12, INVALID, "bad input: `detail` is enum packet_field << 16, and the line")                 \
    X(13, STALE_DIRECTORY, "the handles are of another generation; ask for the directory anew")    \
    X(14, RATE_LIMITED, "beyond the session's rate; again after `detail` ms")                      \
    X(15, FORBIDDEN, "the session may not do this")                                                \
    X(16, ELSEWHERE, "not by packet: ask over gRPC")
enum packet_outcome {
#define X(number, name, help) PACKET_OUT_##name = (number),
    PACKET_OUTCOME_TABLE(X)
#undef X
        PACKET_OUT_END
};

#define PACKET_STATE_TABLE(X)                                                                      \
    X(0, NONE)                                                                                     \
    X(1, HELD)                                                                                     \
    X(2, COMMITTED)                                                                                \
    X(3, RELEASED)                                                                                 \
    X(4, EXPIRED)                                                                                  \
    X(5, REJECTED)
enum packet_state {
#define X(number, name) PACKET_STATE_##name = (number),
    PACKET_STATE_TABLE(X)
#undef X
        PACKET_STATE_END
};

#define PACKET_FIELD_TABLE(X)                                                                      \
    X(0, NONE)                                                                                     \
    X(1, KIND)                                                                                     \
    X(2, FLAGS)                                                                                    \
    X(3, ID)                                                                                       \
    X(4, LINES)                                                                                    \
    X(5, HANDLE)                                                                                   \
    X(6, INACTIVE)                                                                                 \
    X(7, QUANTITY)                                                                                 \
    X(8, TIME)                                                                                     \
    X(9, ZERO)
enum packet_field {
#define X(number, name) PACKET_FIELD_##name = (number),
    PACKET_FIELD_TABLE(X)
#undef X
        PACKET_FIELD_END
};

enum packet_reply_flags {
    PACKET_REPEAT = 1,  // decided earlier, told again
    PACKET_DURABLE = 2, // what was decided is on the disk
};

//  0    16     17      18      19     20     24
//  | id | kind | flags | lines | zero | time | lines ...
struct packet_item {
    uint8_t id[16]; // UUID in network order, version 7; nil in a query for cells
    uint8_t kind;   // enum packet_kind
    uint8_t flags;  // enum packet_item_flags
    uint8_t lines;  // HOLD, ORDER, RECORD: at least 1; RELEASE: 0
    uint8_t zero;   // 0
    uint32_t time;  // HOLD: ms until the deadline, at least 1; else 0
};
static_assert(sizeof(struct packet_item) == PACKET_ITEM_BYTES, "no padding");

struct packet_line {
    uint32_t handle;
    uint32_t quantity; // 1 or more; in a query 0
};
static_assert(sizeof(struct packet_line) == PACKET_LINE_BYTES, "no padding");

//  0    16        17      18      19      20       24
//  | id | outcome | state | flags | lines | detail | lines ...
struct packet_answer {
    uint8_t id[16];
    uint8_t outcome; // enum packet_outcome
    uint8_t state;   // enum packet_state, where there is a reservation
    uint8_t flags;   // enum packet_reply_flags
    uint8_t lines;   // as asked
    uint32_t detail; // HELD: ms until the deadline, at most; REFUSED: ms until stock may come back,
                     // 0: not known; see the outcomes for the rest; else 0
};
static_assert(sizeof(struct packet_answer) == PACKET_ITEM_BYTES, "an item becomes its answer");

struct packet_line_answer {
    int32_t available; // just after, advisory; outside of the range, its nearest end
    uint32_t amount;   // DONE of HOLD, ORDER: taken; REFUSED: missing. Cells named twice: summed,
                       // at the first line. Cut off at 2^32 - 1. In a repeat: what was taken; of a
                       // best effort what it has now, 0 when its lines have left memory, as those
                       // of orders do that have several; of REFUSED 0
};
static_assert(sizeof(struct packet_line_answer) == PACKET_LINE_BYTES, "a line becomes its answer");

static_assert(PACKET_ITEMS_MAX <= UINT8_MAX && PACKET_LINES_MAX <= UINT8_MAX, "counts fit a byte");
static_assert(PACKET_BYTES_MAX <= UINT16_MAX, "bytes fits");

// Why a payload is no frame. Whoever receives one of these does not answer.
#define PACKET_FAULT_TABLE(X)                                                                      \
    X(NONE, "a frame")                                                                             \
    X(SHORT, "fewer bytes than a header")                                                          \
    X(MAGIC, "not this protocol")                                                                  \
    X(VERSION, "a version that this program does not know")                                        \
    X(KIND, "not the kind of frame that is expected here")                                         \
    X(TRUNCATED, "fewer bytes than the header says")                                               \
    X(LONGER, "more bytes than the header says")                                                   \
    X(HEADER, "a session, sequence, flag or length that cannot be")                                \
    X(ITEMS, "the items don't fill the frame")
enum packet_fault {
#define X(name, help) PACKET_FAULT_##name,
    PACKET_FAULT_TABLE(X)
#undef X
        PACKET_FAULT_COUNT
};

// ------------------------------------------------------------------------------- bytes

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define PACKET_LE16(x) (x)
#define PACKET_LE32(x) (x)
#define PACKET_LE64(x) (x)
#else
#define PACKET_LE16(x) __builtin_bswap16(x)
#define PACKET_LE32(x) __builtin_bswap32(x)
#define PACKET_LE64(x) __builtin_bswap64(x)
#endif

// Swaps the fields on a big-endian machine; both ways.
static inline void packet_header_swap(struct packet_header *h)
{
    h->magic = PACKET_LE16(h->magic);
    h->session = PACKET_LE32(h->session);
    h->sequence = PACKET_LE64(h->sequence);
    h->generation = PACKET_LE64(h->generation);
    h->stamp = PACKET_LE32(h->stamp);
    h->bytes = PACKET_LE16(h->bytes);
    h->tag = PACKET_LE64(h->tag);
}

static inline struct packet_line packet_line_read(const uint8_t *at)
{
    struct packet_line l;
    memcpy(&l, at, sizeof l);
    l.handle = PACKET_LE32(l.handle);
    l.quantity = PACKET_LE32(l.quantity);
    return l;
}

// ------------------------------------------------------------------------------- reading

// Is it a frame of this kind? Looks at the header only. *h is what is there.
static inline enum packet_fault packet_header_read(const uint8_t *frame, size_t bytes, uint8_t kind,
                                                   struct packet_header *h)
{
    if (bytes < PACKET_HEADER_BYTES) {
        *h = (struct packet_header){0};
        return PACKET_FAULT_SHORT;
    }
    memcpy(h, frame, sizeof *h);
    packet_header_swap(h);
    if (h->magic != PACKET_MAGIC)
        return PACKET_FAULT_MAGIC;
    if (h->version != PACKET_VERSION)
        return PACKET_FAULT_VERSION;
    if (h->kind != kind)
        return PACKET_FAULT_KIND;
    if (bytes < h->bytes)
        return PACKET_FAULT_TRUNCATED;
    if (bytes > h->bytes)
        return PACKET_FAULT_LONGER;
    if (h->session == 0 || h->sequence - 1 >= UINT64_MAX - 1 || h->flags != 0 ||
        h->bytes > PACKET_BYTES_MAX)
        return PACKET_FAULT_HEADER;
    return PACKET_FAULT_NONE;
}

// Do `count` items fill the bytes behind the header exactly? Requests and replies alike.
static inline bool packet_items_fill(const uint8_t *frame, const struct packet_header *h)
{
    size_t at = PACKET_HEADER_BYTES;
    size_t lines_at = h->kind == PACKET_REPLY ? offsetof(struct packet_answer, lines)
                                              : offsetof(struct packet_item, lines);
    for (unsigned i = 0; i < h->count; i++) {
        if (h->bytes - at < PACKET_ITEM_BYTES)
            return false;
        size_t room = h->bytes - at;
        size_t item = PACKET_ITEM_BYTES + (size_t)frame[at + lines_at] * PACKET_LINE_BYTES;
        if (item > room)
            return false;
        at += item;
    }
    return at == h->bytes;
}

// The whole check; what it lets through, the functions below may read.
static inline enum packet_fault packet_read(const uint8_t *frame, size_t bytes, uint8_t kind,
                                            struct packet_header *h)
{
    enum packet_fault f = packet_header_read(frame, bytes, kind, h);
    if (f == PACKET_FAULT_NONE && !packet_items_fill(frame, h))
        f = PACKET_FAULT_ITEMS;
    return f;
}

// `at` is an item of a frame that was checked; the next one is packet_item_bytes further on.
static inline size_t packet_item_bytes(uint8_t lines)
{
    return PACKET_ITEM_BYTES + (size_t)lines * PACKET_LINE_BYTES;
}

static inline struct packet_item packet_item_read(const uint8_t *at)
{
    struct packet_item i;
    memcpy(&i, at, sizeof i);
    i.time = PACKET_LE32(i.time);
    return i;
}

static inline struct packet_answer packet_answer_read(const uint8_t *at)
{
    struct packet_answer a;
    memcpy(&a, at, sizeof a);
    a.detail = PACKET_LE32(a.detail);
    return a;
}

static inline struct packet_line_answer packet_line_answer_read(const uint8_t *at)
{
    struct packet_line_answer l;
    uint32_t words[2];
    memcpy(words, at, sizeof words);
    l.available = (int32_t)PACKET_LE32(words[0]);
    l.amount = PACKET_LE32(words[1]);
    return l;
}

// What is wrong with an item's form, before any engine looks at it. NONE, or the field and (for
// QUANTITY) the line. `at` as above.
static inline enum packet_field packet_item_fault(const uint8_t *at, uint32_t *line)
{
    static const uint8_t flags_of[PACKET_KIND_END] = {[PACKET_HOLD] = PACKET_BEST_EFFORT,
                                                      [PACKET_ORDER] = PACKET_BEST_EFFORT,
                                                      [PACKET_COMMIT] = PACKET_RETAKE};
    const struct packet_item i = packet_item_read(at);
    bool takes = i.kind == PACKET_HOLD || i.kind == PACKET_ORDER || i.kind == PACKET_RECORD;
    static const uint8_t nil[16];
    *line = 0;
    if (i.kind == 0 || i.kind >= PACKET_KIND_END)
        return PACKET_FIELD_KIND;
    if (i.flags & ~flags_of[i.kind])
        return PACKET_FIELD_FLAGS;
    if (i.zero)
        return PACKET_FIELD_ZERO;
    if ((takes && i.lines == 0) || (i.kind == PACKET_RELEASE && i.lines != 0))
        return PACKET_FIELD_LINES;
    if ((i.kind == PACKET_HOLD) != (i.time != 0))
        return PACKET_FIELD_TIME;
    // A query either names a reservation or has lines.
    if (i.kind == PACKET_QUERY && (i.lines != 0) != (memcmp(i.id, nil, sizeof nil) == 0))
        return PACKET_FIELD_ID;
    for (; *line < i.lines; ++*line) {
        struct packet_line l = packet_line_read(at + packet_item_bytes((uint8_t)*line));
        if ((i.kind == PACKET_QUERY) != (l.quantity == 0))
            return PACKET_FIELD_QUANTITY;
    }
    *line = 0;
    return PACKET_FIELD_NONE;
}

// ------------------------------------------------------------------------------- writing

static inline void packet_header_write(uint8_t *frame, struct packet_header h)
{
    packet_header_swap(&h);
    memcpy(frame, &h, sizeof h);
}

// A request in the making, in the caller's memory.
struct packet_writer {
    uint8_t *frame;
    uint32_t bytes, room; // so far; at most
    uint32_t count;
};

// room: at most PACKET_BYTES_MAX, and what the server takes.
static inline void packet_begin(struct packet_writer *w, uint8_t *frame, uint32_t room)
{
    *w = (struct packet_writer){frame, PACKET_HEADER_BYTES, room, 0};
    if (w->room > PACKET_BYTES_MAX)
        w->room = PACKET_BYTES_MAX;
}

// False: it does not fit any more, and the frame is as before.
static inline bool packet_add(struct packet_writer *w, struct packet_item item,
                              const struct packet_line *lines)
{
    size_t bytes = packet_item_bytes(item.lines);
    if (w->bytes + bytes > w->room || w->count == UINT8_MAX)
        return false;
    uint8_t *at = w->frame + w->bytes;
    item.time = PACKET_LE32(item.time);
    memcpy(at, &item, sizeof item);
    for (unsigned i = 0; i < item.lines; i++) {
        struct packet_line l = {PACKET_LE32(lines[i].handle), PACKET_LE32(lines[i].quantity)};
        memcpy(at + packet_item_bytes((uint8_t)i), &l, sizeof l);
    }
    w->bytes += (uint32_t)bytes;
    w->count++;
    return true;
}

// Writes the header, the tag still 0: packet_seal (packet/tag.h) makes it. Returns the frame's
// bytes. A frame is sent once: whoever repeats its items numbers them anew.
static inline uint32_t packet_end(struct packet_writer *w, uint32_t session, uint64_t sequence,
                                  uint64_t generation, uint32_t stamp)
{
    packet_header_write(w->frame, (struct packet_header){.magic = PACKET_MAGIC,
                                                         .version = PACKET_VERSION,
                                                         .kind = PACKET_REQUEST,
                                                         .session = session,
                                                         .sequence = sequence,
                                                         .generation = generation,
                                                         .stamp = stamp,
                                                         .bytes = (uint16_t)w->bytes,
                                                         .count = (uint8_t)w->count});
    return w->bytes;
}

// An item turns into its answer, where it stands: id and lines stay.
static inline void packet_answer_write(uint8_t *at, uint8_t lines, uint8_t outcome, uint8_t state,
                                       uint8_t flags, uint32_t detail)
{
    const uint8_t bytes[4] = {outcome, state, flags, lines};
    memcpy(at + 16, bytes, sizeof bytes);
    detail = PACKET_LE32(detail);
    memcpy(at + 20, &detail, sizeof detail);
}

static inline void packet_line_answer_write(uint8_t *at, int32_t available, uint32_t amount)
{
    const uint32_t words[2] = {PACKET_LE32((uint32_t)available), PACKET_LE32(amount)};
    memcpy(at, words, sizeof words);
}

// The header of a request turns into the reply's; the tag is 0 again.
static inline void packet_reply_header(uint8_t *frame, uint64_t generation)
{
    const uint64_t words[2] = {PACKET_LE64(generation), 0};
    frame[offsetof(struct packet_header, kind)] = PACKET_REPLY;
    memcpy(frame + offsetof(struct packet_header, generation), &words[0], 8);
    memcpy(frame + offsetof(struct packet_header, tag), &words[1], 8);
}

#endif
