// Packets in the daemon: the table of sessions, a port and a thread for each queue.
//
//   packets_create --> taking frames in --packets_drain_begin--> answering what waits -->
//   packets_destroy
#ifndef HOLDFAST_API_PACKETS_H
#define HOLDFAST_API_PACKETS_H

#include "daemon/config.h"
#include "ingest/ingest.h"
#include "service/service.h"

struct packets;

// Threads that packets_create will start, each with a worker of the engine: 0 when packets are off.
uint32_t packets_workers(const struct config *c);
// Opens the ports and starts the threads. The configuration is borrowed. Set-up. HF_INVALID,
// HF_EXISTS (the address), HF_IO, HF_NO_MEMORY; why says what.
enum hf_status packets_create(const struct config *c, struct core *core, struct packets **out,
                              char why[200]) HF_CHECKED;
// What the service opens sessions with.
void packets_to_service(const struct packets *p, struct service_packets *out);
uint16_t packets_port(const struct packets *p); // as it came out

// More is durable than before. Any thread.
void packets_durable_advanced(struct packets *p);
// No new frames; what waits for the disk is answered, for at most timeout_ms from here on.
void packets_drain_begin(struct packets *p, uint32_t timeout_ms);
// Until that is over. Blocking.
void packets_drain_end(struct packets *p);
void packets_destroy(struct packets *p); // NULL does nothing

void packets_metrics(const struct packets *p, struct ingest_metrics *out); // any thread
// What the device tells, all queues together; false: there is none. Any thread.
bool packets_device(const struct packets *p, struct ingest_device *out);
const struct ingest_sessions *packets_sessions(const struct packets *p);

#endif
