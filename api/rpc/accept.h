// Who is let in when descriptors run short: stands between gRPC's listener and the kernel's accept.
//
// A stranger needs no key to open connections, and each takes a descriptor. Beyond a limit they are
// closed at once, so that the engine keeps its share, for segments and checkpoints; and accept4
// never fails in a way that would end gRPC's listening for good.
//
// The limit is a descriptor's number: the kernel gives out the lowest one that is free, so one
// beyond it says that at least as many are in use.
#ifndef HOLDFAST_API_ACCEPT_H
#define HOLDFAST_API_ACCEPT_H

#include <stdint.h>

// Of the descriptors that are free when the listener starts, so many are kept back: ACCEPT_KEPT, or
// half where that is less.
#define ACCEPT_KEPT 256

// The bound port, 0: of a unix: address. From here on its connections are looked at; all listeners
// of a process have one limit, of the last that came. Any thread.
void accept_guard_add(uint16_t port);
void accept_guard_remove(uint16_t port);
uint64_t accept_refused(void); // connections closed for the limit since the start; any thread

#endif
