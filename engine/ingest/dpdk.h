// Packets past the kernel: a device that DPDK drives, one port (port.h) for each of its queues.
//
// The environment (EAL) is a process's only one. A device is opened once all of its queues are
// known, and closed when their loops have ended. Built where libdpdk is found (option `dpdk`).
#ifndef HOLDFAST_INGEST_DPDK_H
#define HOLDFAST_INGEST_DPDK_H

#include "ingest/port.h"

#include "base/status.h"

#define INGEST_DPDK_QUEUES_MAX 16

// EAL's arguments in one string, separated by spaces, such as "--no-huge --no-pci
// --vdev=net_af_packet0,iface=eth1". Without a list of cores, EAL gets the first one that this
// thread may use; the thread's own set of processors is as before afterwards. No telemetry socket.
// HF_INVALID: EAL refuses, why says so; HF_EXISTS: it was started before. Set-up, blocking.
enum hf_status ingest_dpdk_start(const char *arguments, char why[200]) HF_CHECKED;
// At the end, after every device. Nothing can be started again.
void ingest_dpdk_stop(void);

struct ingest_dpdk_options {
    const char *device; // its name, as in --vdev or on the bus; "": the first there is
    const char *host;   // address that is answered for, IPv4 or IPv6
    const char *also;   // one of the other family; "": none
    uint16_t port;      // UDP
    uint16_t vlan;      // that frames are tagged with, 1 .. 4094; 0: none
    uint32_t queues;    // 1 .. INGEST_DPDK_QUEUES_MAX
    uint32_t frames;    // of a queue, that the loop may keep at once
    uint32_t burst;
    uint32_t descriptors; // of each ring of the device; the driver rounds
    uint32_t idle_us;     // what a wait sleeps, at least, before it looks again
    bool polling;         // nobody waits: the device's interrupts are not asked for
};

struct ingest_dpdk;

// HF_NOT_FOUND: no such device; HF_INVALID, HF_NO_MEMORY, HF_IO: why says what. Set-up.
enum hf_status ingest_dpdk_open(const struct ingest_dpdk_options *o, struct ingest_dpdk **out,
                                char why[200]) HF_CHECKED;
struct ingest_port *ingest_dpdk_port(struct ingest_dpdk *d, uint32_t queue);
// Stops the device. Returns how many buffers are not back: 0, or there is a bug. The ports are
// gone with it; their ops->destroy does nothing.
uint32_t ingest_dpdk_close(struct ingest_dpdk *d);

#endif
