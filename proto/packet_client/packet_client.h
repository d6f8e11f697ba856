// Orders and holds by packet, for programs that sell: batches items into frames, sends them until
// the outcome is known, and tells each by a callback. docs/packet-client.md is the way in.
//
//   submit --> queued --frame--> flying --answer--> done (ANSWERED)
//                ^                  | BUSY, IN_PROGRESS, RATE_LIMITED: waits as told, at least
//                +------------------+ no answer in time: a new frame with the same id
//                                   | give_up_ms after submit
//                                   +--> done (UNKNOWN): ask again later, with the same id
//
//   no session --control: open--> session --3/4 of its life, or nobody answers--> the next session
//                                    |
//                                    +--no answer is awaited in it any more--> closed
//
// The same id acts once, however often it is sent, in whichever session and over gRPC as well.
// Items of one id must not be on their way together, unless that is what is wanted: their order is
// not promised.
//
// Three parts, each of which can be replaced: the client (this page, no system call of its own), a
// transport (frames to and from a door; kernel UDP is here), and a control (sessions, over gRPC).
//
// One thread at a time per client. Nothing blocks but packet_client_poll, for as long as it is
// told, and what its name says. Everything else is memory that was taken at packet_client_create.
#ifndef HOLDFAST_PACKET_CLIENT_H
#define HOLDFAST_PACKET_CLIENT_H

#include "packet/packet.h"

#define PACKET_CLIENT_API __attribute__((visibility("default")))

#define PACKET_CLIENT_WHY 200 // bytes of a sentence that says what is wrong

enum packet_client_status {
    PACKET_CLIENT_OK,
    PACKET_CLIENT_INVALID,   // an option or an item that cannot be
    PACKET_CLIENT_NO_MEMORY, // at set-up
    PACKET_CLIENT_FULL,      // items_max items are open: poll first
};

// ------------------------------------------------------------------------------- items

// How an item ended here.
enum packet_client_end {
    PACKET_CLIENT_ANSWERED,
    PACKET_CLIENT_UNKNOWN, // nobody said what happened: the server may have done it
};

// The caller's memory; stays put and is not changed between packet_client_submit and `done`.
struct packet_client_item {
    uint8_t id[16];                          // UUID in network order
    uint8_t kind;                            // enum packet_kind
    uint8_t flags;                           // enum packet_item_flags
    uint8_t line_count;                      // 0..PACKET_LINES_MAX
    uint32_t time_ms;                        // HOLD: until the deadline; else 0
    const struct packet_line *lines;         // handles of the session's generation. They stay of
                                             // it: STALE_DIRECTORY once the server has another
    struct packet_line_answer *line_answers; // NULL, or line_count entries to be filled
    void *owner;

    // Filled before `done`.
    enum packet_client_end end;
    uint8_t outcome;     // enum packet_outcome; of an UNKNOWN one: the last that was told, or 0
    uint8_t state;       // enum packet_state
    uint8_t reply_flags; // enum packet_reply_flags
    uint32_t detail;     // see struct packet_answer
    uint32_t tries;      // frames that it was in. Above 1: an earlier one may have acted, and the
                         // answer is a repeat's (PACKET_REPEAT; see `amount` in packet.h for what
                         // its lines then tell); INVALID and the like then say nothing of it
    uint64_t generation; // the server's directory, as the reply told it; 0: none told
    uint64_t submitted_ns, answered_ns; // by the transport's clock
};

// ------------------------------------------------------------------------------- transport

struct packet_buffer {
    uint8_t *bytes;
    uint32_t count; // in; of what is received: the room, then the bytes
};

// Frames to one door and back. Implementations embed it. By the client's thread.
struct packet_transport {
    // Where frames go from now on. False: the address is none of this transport's.
    bool (*connect)(struct packet_transport *t, const char *address, uint16_t port);
    // How many of the frames, from the first on, were taken. What is not is dropped: it will be
    // sent again.
    uint32_t (*send)(struct packet_transport *t, const struct packet_buffer *frames, uint32_t n);
    // What has come, without waiting. Each buffer has room for PACKET_BYTES_MAX bytes, a longer
    // frame is left out.
    uint32_t (*receive)(struct packet_transport *t, struct packet_buffer *frames, uint32_t n);
    // Until something can be received, or `until_ns`.
    void (*wait)(struct packet_transport *t, uint64_t until_ns);
    uint64_t (*now_ns)(struct packet_transport *t); // monotonic
    void (*destroy)(struct packet_transport *t);
};

// Kernel UDP. local: an address and port to bind, such as "192.0.2.7:0"; NULL: any. NULL: why says.
PACKET_CLIENT_API struct packet_transport *packet_transport_udp(const char *local,
                                                                char why[PACKET_CLIENT_WHY]);

// ------------------------------------------------------------------------------- control

// A session as it was opened: OpenSessionResponse of holdfast.v1.PacketService.
struct packet_grant {
    uint32_t session;
    bool tagged;
    uint8_t key[PACKET_KEY_BYTES]; // secret
    uint64_t generation;
    uint64_t life_ms; // from now
    uint32_t frame_bytes_max;
    uint32_t kinds;            // 1 << enum packet_kind: what its items may ask, else FORBIDDEN
    uint32_t items_per_second; // 0: no bound
    uint32_t window_frames;
    char door[64]; // address
    uint16_t port;
};

enum packet_control_step {
    PACKET_CONTROL_IDLE,    // nothing is under way
    PACKET_CONTROL_WAITING, // an opening or a closing is: ask again
    PACKET_CONTROL_OPENED,  // *grant is filled
    PACKET_CONTROL_AWAY,    // not now: the server is away or busy
    PACKET_CONTROL_REFUSED, // no: see `why`; asking again is of no use before something changes
};

// Where sessions come from. Implementations embed it. By the client's thread; nothing blocks but
// destroy.
struct packet_control {
    void (*open)(struct packet_control *c); // begins; one at a time
    enum packet_control_step (*step)(struct packet_control *c, struct packet_grant *grant,
                                     char why[PACKET_CLIENT_WHY]);
    void (*close)(struct packet_control *c, uint32_t session); // begins; as far as possible, may
                                                               // be NULL; `step` and destroy go on
    void (*destroy)(struct packet_control *c);
};

struct packet_control_options {
    const char *address; // of the gRPC listener: host:port, [v6]:port, unix:/path
    bool tls;
    bool clear_anywhere;            // in clear, keys included, beyond this machine
    const char *ca_pem;             // roots to trust, PEM text; NULL: the system's
    const char *cert_pem, *key_pem; // client's certificate, both or none
    const char *server_name;        // that the certificate must carry; NULL: the address's
    const char *api_key;            // NULL: none
    const char *channel;            // that the sessions sell through; NULL: none
    const char *door;               // of the doors told, the first of this address; NULL: the first
    uint32_t call_ms;               // a call may take so long; 0: 2,000
    uint32_t life_ms;               // asked for; 0: the server's most
    uint32_t items_per_second;      // asked for; 0: the server's most
};

// Sessions over gRPC. NULL: why says what is wrong. Texts are copied.
PACKET_CLIENT_API struct packet_control *packet_control_grpc(const struct packet_control_options *o,
                                                             char why[PACKET_CLIENT_WHY]);

#define PACKET_HANDLE_NONE UINT32_MAX
struct packet_name {
    const char *sku, *location;
    uint32_t handle;    // told; PACKET_HANDLE_NONE: there is no such cell, or not for this key
    uint8_t unit_scale; // told
    bool active;        // told: may be taken
};

// Looks names up, of a control that packet_control_grpc made: any number, a thousand a call.
// Blocking, at most call_ms a call. False: why says. *generation is what the handles belong to.
PACKET_CLIENT_API bool packet_control_handles(struct packet_control *c, struct packet_name *names,
                                              size_t count, uint64_t *generation,
                                              char why[PACKET_CLIENT_WHY]);

// ------------------------------------------------------------------------------- the client

// name, default, least, most, help. A 0 stands for the default.
#define PACKET_CLIENT_OPTION_TABLE(X)                                                              \
    X(items_max, 4096, 1, 1 << 20, "items open at once")                                           \
    X(frame_items, 32, 1, 59, "items of a frame, at most")                                         \
    X(frames_max, 64, 1, 4096, "frames on their way; half the session's window holds too")         \
    X(linger_us, 0, 0, 1000000, "an item waits so long for company in its frame")                  \
    X(try_ms, 100, 1, 60000, "no answer for so long: sent again; doubling, with jitter")           \
    X(try_ms_max, 2000, 1, 600000, "of the doubling")                                              \
    X(again_ms, 5, 1, 60000, "after BUSY and the like, at least; doubling, with jitter")           \
    X(give_up_ms, 60000, 1, 86400000, "after submit: UNKNOWN")                                     \
    X(silence_ms, 500, 10, 600000, "nobody answers: the next session is asked for; doubling")      \
    X(open_ms, 100, 1, 60000, "between two tries to open a session, doubling")                     \
    X(open_ms_max, 2000, 1, 600000, "of both doublings")

struct packet_client_options {
#define X(name, value, least, most, help) uint32_t name;
    PACKET_CLIENT_OPTION_TABLE(X)
#undef X
    uint64_t seed;                      // of the jitter
    struct packet_transport *transport; // the client's from a good create on
    struct packet_control *control;     // the client's from a good create on
    // In packet_client_poll; may submit, the item at hand too. Owns the item again.
    void (*done)(void *ctx, struct packet_client_item *item);
    // A session begins (why NULL), or none could be opened. NULL: silent.
    void (*session)(void *ctx, const struct packet_grant *grant, const char *why);
    void *ctx;
};

#define PACKET_CLIENT_COUNT_TABLE(X)                                                               \
    X(submitted, "items")                                                                          \
    X(answered, "items whose outcome was told")                                                    \
    X(unknown, "items given up")                                                                   \
    X(frames, "sent")                                                                              \
    X(tries, "items in frames that were sent")                                                     \
    X(lost, "items sent again as no answer came in time")                                          \
    X(again, "items sent again as BUSY, IN_PROGRESS or RATE_LIMITED was told")                     \
    X(replies, "frames that answered something")                                                   \
    X(late, "replies that told nothing: answered already, or a later try's answer counts")         \
    X(foreign, "frames that are no reply to this client: form, session or sequence")               \
    X(forged, "replies whose tag does not fit")                                                    \
    X(not_sent, "frames that the transport did not take")                                          \
    X(sessions, "opened")                                                                          \
    X(silences, "sessions that nobody answered in any more")                                       \
    X(open_failures, "sessions that could not be opened")
struct packet_client_counts {
#define X(name, help) uint64_t name;
    PACKET_CLIENT_COUNT_TABLE(X)
#undef X
};

struct packet_client;

// Asks for a session at the first poll. Set-up. Not OK: why says, transport and control are still
// the caller's.
PACKET_CLIENT_API enum packet_client_status
packet_client_create(const struct packet_client_options *o, struct packet_client **out,
                     char why[PACKET_CLIENT_WHY]);
// Items that are open are dropped without a callback. Closes the sessions, the transport and the
// control.
PACKET_CLIENT_API void packet_client_destroy(struct packet_client *c);

// INVALID: the item's form is bad, or it fits no frame; FULL. Sent at the next poll.
PACKET_CLIENT_API enum packet_client_status packet_client_submit(struct packet_client *c,
                                                                 struct packet_client_item *item);
PACKET_CLIENT_API uint32_t packet_client_open(const struct packet_client *c); // submitted, not done
// The session that is in use; NULL: none yet.
PACKET_CLIENT_API const struct packet_grant *packet_client_grant(const struct packet_client *c);
// Sends, receives, runs callbacks; waits until `until_ns` (the transport's clock) at most, and only
// while nothing happens. 0: does not wait.
PACKET_CLIENT_API void packet_client_poll(struct packet_client *c, uint64_t until_ns);
PACKET_CLIENT_API uint64_t packet_client_now_ns(const struct packet_client *c);
PACKET_CLIENT_API const struct packet_client_counts *
packet_client_counts(const struct packet_client *c);

PACKET_CLIENT_API const char *packet_outcome_name(unsigned outcome); // static; "unknown" for others
PACKET_CLIENT_API const char *packet_outcome_help(unsigned outcome); // static

#endif
