// The flusher in a thread of its own: what the options say of Odoo, made into engine/flush.
#ifndef HOLDFAST_API_POSTER_H
#define HOLDFAST_API_POSTER_H

#include "daemon/config.h"
#include "flush/desk.h"
#include "flush/flush.h"

struct poster;

// Loads the flusher's state and starts its thread; Odoo need not be there. Texts of `c` are
// borrowed until poster_destroy. Set-up. HF_INVALID, HF_NOT_FOUND, HF_IO (why names the option or
// the file), HF_DAMAGED, HF_FOREIGN, HF_NO_MEMORY. The engine was opened with `outbox`, and has a
// worker to spare.
enum hf_status poster_create(const struct config *c, struct core *core, struct poster **out,
                             char why[200]) HF_CHECKED;
// Ends the thread after the call to Odoo that it may be in. NULL does nothing.
void poster_destroy(struct poster *p);
// Reads the key file again, soon. Any thread.
void poster_reload(struct poster *p);
// HF_OK, or why the flusher has ended; decisions are not concerned. Any thread, wait-free.
enum hf_status poster_status(const struct poster *p);
// The first line of a key file; the caller frees it. HF_INVALID, HF_NOT_FOUND, HF_IO, HF_NO_MEMORY.
enum hf_status poster_key_read(const char *path, char **key, char why[200]) HF_CHECKED;
// For others to ask the flusher; lives as long as the poster.
struct flush_desk *poster_desk(struct poster *p);
void poster_metrics(const struct poster *p, struct flush_metrics *out); // any thread

#endif
