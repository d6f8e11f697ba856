// Where libdpdk was not found at build time.
#include "load/wire.h"

#include <stdio.h>

struct packet_transport *wire_transport(const struct wire_options *o, char why[PACKET_CLIENT_WHY])
{
    (void)o;
    snprintf(why, PACKET_CLIENT_WHY, "this program was built without DPDK");
    return NULL;
}
