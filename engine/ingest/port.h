// What a loop needs of a network port: frames in, answers out. One port is one queue's.
//
// A frame is a payload in the port's own memory. The loop decides it, writes the answer over it and
// hands it back by `answer` or `drop`, at once or when the disk has it: until then its memory is
// the loop's. All calls but `ring` come from the queue's thread; none but `wait` blocks.
#ifndef HOLDFAST_INGEST_PORT_H
#define HOLDFAST_INGEST_PORT_H

#include <stdbool.h>
#include <stdint.h>

#define INGEST_BURST_MAX 64 // frames a call

struct ingest_frame {
    uint8_t *payload;
    void *cookie;    // the port's
    uint64_t ticket; // the loop's: may be answered once durable >= ticket; the port says 0
    uint32_t bytes;
    uint32_t unused;
};

struct ingest_port;

// What the device behind a port tells, of all its queues together.
#define INGEST_DEVICE_METRIC_TABLE(X)                                                              \
    X(missed, "frames that the device had no room for")                                            \
    X(errors_in, "frames that the device found bad")                                               \
    X(errors_out, "frames that the device could not send")                                         \
    X(no_mbuf, "frames lost for want of a buffer to receive into")
struct ingest_device {
#define X(name, help) uint64_t name;
    INGEST_DEVICE_METRIC_TABLE(X)
#undef X
    bool link_up;
    uint32_t link_mbps; // 0: not known
};

struct ingest_port_ops {
    // By the queue's thread, before anything else. May be NULL.
    void (*attach)(struct ingest_port *p);
    // Up to max frames that have arrived. Answers what is the port's own (ARP, echo), and counts
    // what is nobody's.
    uint32_t (*receive)(struct ingest_port *p, struct ingest_frame *frames, uint32_t max);
    // Sends each payload back to where its frame came from. What the network does not take is
    // lost, as on the wire, and counted.
    void (*answer)(struct ingest_port *p, const struct ingest_frame *frames, uint32_t count);
    void (*drop)(struct ingest_port *p, const struct ingest_frame *frames, uint32_t count);
    // Sleeps until something may have arrived, `ring` was called since the last wait, or timeout_ms
    // passed. Some ports only sleep a moment.
    void (*wait)(struct ingest_port *p, uint32_t timeout_ms);
    // Any thread.
    void (*ring)(struct ingest_port *p);
    void (*destroy)(struct ingest_port *p); // every frame is back
    // Any thread. NULL: there is no device to tell of.
    void (*device)(const struct ingest_port *p, struct ingest_device *out);
};

#define INGEST_PORT_METRIC_TABLE(X)                                                                \
    X(frames_in, "frames received, of whatever kind")                                              \
    X(bytes_in, "their payloads' bytes")                                                           \
    X(frames_out, "answers handed to the network")                                                 \
    X(bytes_out, "their payloads' bytes")                                                          \
    X(send_lost, "answers that the network did not take")                                          \
    X(no_buffer, "frames lost for want of a buffer, where the port counts them")                   \
    X(foreign, "frames for somebody else, or of no protocol that is spoken here")                  \
    X(bad_checksum, "frames with a wrong IPv4 or UDP checksum")                                    \
    X(fragments, "fragments and frames with IP options or extension headers: not taken")           \
    X(arp, "ARP requests answered")                                                                \
    X(neighbours, "IPv6 neighbour solicitations answered")                                         \
    X(members, "reports that this address's IPv6 group is listened to (MLD)")                      \
    X(echo, "pings answered")
struct ingest_port_metrics {
#define X(name, help) uint64_t name;
    INGEST_PORT_METRIC_TABLE(X)
#undef X
};

struct ingest_port {
    const struct ingest_port_ops *ops;
    uint32_t frames_max;                // that the loop may keep at once, a burst in work included
    struct ingest_port_metrics metrics; // written by the queue's thread; read by any, relaxed
};

#endif
