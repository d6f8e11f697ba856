// Packets over a kernel socket: the port for machines without a device that DPDK drives.
#ifndef HOLDFAST_INGEST_UDP_H
#define HOLDFAST_INGEST_UDP_H

#include "ingest/port.h"

#include "sys/udp.h"

struct ingest_udp_options {
    struct udp_options udp;
    uint32_t buffers; // frames that may be out at once, about 1.6 KB each
};

// As udp_os_create. Set-up; the port is its queue's, destroyed by its ops.
enum hf_status ingest_udp_create(const struct ingest_udp_options *o, struct ingest_port **out,
                                 char why[200]) HF_CHECKED;
uint16_t ingest_udp_port(const struct ingest_port *p); // the number, as it came out

#endif
