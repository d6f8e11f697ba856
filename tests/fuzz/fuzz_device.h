// A device of rings for the target `packets`, driven by DPDK where this is built with it: the
// buffers that frames come in are real ones, and counted.
#ifndef HOLDFAST_TESTS_FUZZ_DEVICE_H
#define HOLDFAST_TESTS_FUZZ_DEVICE_H

#include "ingest/port.h"

#include <stddef.h>

#define FUZZ_DEVICE_IP6  "fd77::3:402"
#define FUZZ_DEVICE_IP   "10.0.0.2"
#define FUZZ_DEVICE_PORT 7422
#define FUZZ_DEVICE_MAX  2040 // bytes of a frame

// Once. NULL: there is no DPDK. It has the Ethernet address 0, the addresses above and no VLAN.
struct ingest_port *fuzz_device_open(void);
void fuzz_device_put(const uint8_t *frame, size_t bytes); // on the wire, towards the device
void fuzz_device_clear(void);                             // what the device has sent
uint32_t fuzz_device_used(void); // buffers that are not back: 0, when nothing is held

#endif
