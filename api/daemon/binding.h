// A data folder is bound to the machine and the file system that it was used on, by a file in it:
// a copy, a restored backup or a disk in another machine shows, and is not served unasked.
#ifndef HOLDFAST_API_DAEMON_BINDING_H
#define HOLDFAST_API_DAEMON_BINDING_H

#include "base/status.h"

#include <stdbool.h>

enum binding_state {
    BINDING_NONE,  // a new folder, or one of before there were bindings
    BINDING_HERE,  // as it was left
    BINDING_MOVED, // it was last used elsewhere: *why tells what differs
};
struct binding {
    enum binding_state state;
    bool posting_off; // the folder is a copy, and never posts
    char why[120];
};

// Blocking, set-up; reads only. HF_INVALID: this process may not; HF_DAMAGED, HF_IO,
// HF_NO_MEMORY (no descriptor).
enum hf_status binding_read(const char *folder, struct binding *out) HF_CHECKED;
// Binds the folder to where it is now; durable when HF_OK. Who calls has the folder locked.
// HF_INVALID, HF_NO_SPACE, HF_IO, HF_NO_MEMORY.
enum hf_status binding_write(const char *folder, bool posting_off) HF_CHECKED;

#endif
