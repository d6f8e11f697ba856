// Data folders on the fake disk, made once and cloned for every input.
#ifndef HOLDFAST_TESTS_FUZZ_FOLDER_H
#define HOLDFAST_TESTS_FUZZ_FOLDER_H

#include "fuzz/fuzz_shape.h"
#include "unit/core_world.h"

// A small engine: little to allocate, everything within reach of a few requests.
void folder_options(struct world *w);
// A world on an empty disk, with these options and the time that ids are made for; not opened.
void folder_world(struct world *w);
// Cells A@main (100), A@W2 (5), B@main (2^40), C@main (0, inactive), channels web and app; closed,
// so the folder has records of these only.
struct fake_storage *folder_simple(void);
// The same, then records of every kind, all of them in the segments; closed. The ids are those of
// shape_id.
struct fake_storage *folder_records(void);
// The same, then two checkpoints, an id file and archive files; closed.
struct fake_storage *folder_full(void);
// A world on a copy of this folder; not opened.
void folder_clone(struct world *w, const struct fake_storage *image);
// All the time that passes: holds expire, ids leave the window; nothing is written yet.
void folder_pass(struct world *w, uint64_t ms);
// Checkpoints and archives as far as there is something to do.
void folder_housekeep(struct world *w);

#endif
