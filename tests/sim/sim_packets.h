// Both front doors in a story: packets through the real loop (engine/ingest), beside requests that
// are put to the engine as the service puts them.
//
//   shop  --frames-->  wire  -->  port, queue  -->  core_execute, core_get
//     ^                 |            |                  |
//     |   lost, copied, late, out of order, damaged     |  noted here: --wrap at the linker
//     +----- replies ---+----------- checked <----------+
//
// door: what ought to become of a frame, obviously and slowly, from docs/packet-format.md. It says
// which frames are let in, which requests the engine is then asked, in their order, and what each
// reply has to say, and when it may. shop: clients that ask again, as new frames and at the other
// door, and keep a book of what they were told.
#ifndef HOLDFAST_TESTS_SIM_PACKETS_H
#define HOLDFAST_TESTS_SIM_PACKETS_H

#include "sim/sim.h"

#include "ingest/ingest.h"
#include "packet/packet.h"
#include "packet/tag.h"

#define DOOR_QUEUES   2
#define DOOR_SESSIONS 6   // that may be open
#define DOOR_INSIDE   128 // frames that a queue may have in hand
#define PORT_WAITING  64  // frames that wait to be received
#define WIRE_MAX      256
#define WIRE_RECORDED 64 // frames that somebody has recorded, to send them again
#define SHOP_FRAMES   48 // sent and not answered
#define SHOP_SESSIONS 4
static_assert(SHOP_SESSIONS < DOOR_SESSIONS, "there is one that no shop uses");
#define BOOK_ROOM    8192
#define BOOK_PENDING 1024

// ------------------------------------------------------------------------------- the door

struct door_session {
    uint32_t number;
    bool open;
    struct ingest_session what;
    uint32_t queue; // of its first good frame, + 1
    uint64_t newest, *seen;
    uint32_t seen_count, seen_room;
    bool rated;
    int64_t thousandths; // what it may still send; below 0: a frame took more than there was
    uint64_t rated_ms;
};

enum door_way {
    DOOR_REFUSED, // answered without the engine
    DOOR_DECIDED,
    DOOR_READ,
    DOOR_CELLS,
};

struct door_item {
    enum door_way way;
    struct packet_item asked;
    bool done;
    uint8_t outcome; // REFUSED: what it is to be told
    uint32_t detail; // of INVALID
    uint32_t line;   // the first of its lines in the frame
    struct core_request request;
    struct core_answer answer;
    enum hf_status status; // READ
    struct core_view view;
    uint64_t now_ms;
};

struct door_frame {
    uint8_t *payload; // the loop's; what came in is in `bytes`
    struct packet_header header;
    uint8_t key[PACKET_KEY_BYTES];
    bool tagged;
    uint32_t item_count, line_count;
    uint8_t bytes[PACKET_BYTES_MAX];
    struct core_line lines[PACKET_LINES_MAX];
    struct core_line_answer told[PACKET_LINES_MAX];
    struct door_item items[PACKET_ITEMS_MAX];
};

struct door_port {
    struct ingest_port port;
    struct sim *s;
    uint32_t number, burst;
    struct ingest_queue *queue;
    struct core_worker *worker;
    bool closing;
    struct {
        uint8_t *payload;
        uint32_t bytes;
    } waiting[PORT_WAITING];
    uint32_t waiting_count;
    struct door_frame *inside[DOOR_INSIDE];
    uint32_t inside_count;
    uint32_t at_frame, at_item; // what the engine has to be asked next
    uint64_t dropped[INGEST_DROP_COUNT], answered, held_busy;
};

// ------------------------------------------------------------------------------- the shop

struct wire_frame {
    uint8_t *bytes; // owned
    uint32_t count;
    bool to_shop;
    uint32_t queue;
};

struct shop_session {
    uint32_t number;
    uint8_t key[PACKET_KEY_BYTES];
    bool tagged;
    uint64_t sequence;
    uint32_t queue;
};

struct shop_frame {
    uint32_t count; // items; 0: this place is free
    uint32_t session;
    uint64_t sequence; // 0: not sent yet
    uint32_t age, tries, bytes;
    uint8_t frame[PACKET_BYTES_MAX]; // its items; the header is written when it is sent
};

// What a client was told of a new id: DONE, or that an order was refused.
struct told {
    struct hf_uuid id;
    uint64_t body;
    uint64_t fresh; // the answer that told it as decided just now; 0: none yet
    uint8_t verb, outcome;
    uint64_t ticket; // of those that wait to be told
};
#define SHOP_GIVES_UP 3 // a session that never answers

struct sim_packets {
    struct prng prng; // its own
    uint32_t queues, lose_in_100, copy_in_100, damage_in_100, late_in_100, replay_in_100;
    uint32_t frames_max[DOOR_QUEUES], burst[DOOR_QUEUES], items_max;
    struct ingest_sessions *table;
    struct door_port ports[DOOR_QUEUES];
    struct door_session sessions[DOOR_SESSIONS];
    struct door_port *stepping_port; // whose step this is

    struct wire_frame wire[WIRE_MAX], recorded[WIRE_RECORDED];
    uint32_t wire_count, recorded_count;
    struct shop_session shops[SHOP_SESSIONS];
    struct shop_frame frames[SHOP_FRAMES], *filling;
    struct told *book, pending[BOOK_PENDING];
    uint32_t book_count, pending_count;
    uint64_t answers; // a number for each
};

// ------------------------------------------------------------------------------- parts

// Takes a payload off the port as the queue would; NULL with *why: to be dropped. busy: no more
// frames may wait for the disk.
struct door_frame *door_admit(struct sim *s, struct door_port *p, uint8_t *payload, uint32_t bytes,
                              bool busy, enum ingest_drop *why);
// The next item that asks something of the engine. NULL: none.
struct door_item *door_next(struct door_port *p, struct door_frame **frame);
bool door_reply(struct sim *s, const struct door_frame *f, const uint8_t *reply, uint32_t bytes);
bool door_session_open(struct sim *s, struct shop_session *out);
void door_session_end(struct sim *s); // closes, extends or sweeps
void door_sessions_forget(struct sim *s);

void wire_put(struct sim *s, const uint8_t *bytes, uint32_t count, bool to_shop, uint32_t queue);
bool wire_move(struct sim *s, uint32_t count); // delivers up to so many
void port_put(struct door_port *p, const uint8_t *bytes, uint32_t count);

bool shop_receive(struct sim *s, const uint8_t *bytes, uint32_t count);
bool shop_act(struct sim *s); // asks again
uint32_t shop_unanswered(const struct sim *s);
bool book_settle(struct sim *s); // tells what has become durable

#endif
