// Damage that an input describes, done to bytes that were good; and checksums made right again, so
// that what reads them gets further than the first of those.
#ifndef HOLDFAST_TESTS_FUZZ_PATCH_H
#define HOLDFAST_TESTS_FUZZ_PATCH_H

#include "fuzz/fuzz.h"

#include "sim/fake_storage.h"

// One change, of up to `bytes` bytes at `data`:
//
//   byte 0: kind; 2 or 3 bytes: place, as many as tell all places, modulo; then by kind:
//   0 set: 1 byte of length, bytes; 1 add: a signed byte, to a 32-bit word; 2 the same to a 64-bit
//   word; 3 zero: 1 byte of length; 4 copy: length, place; 5 a special 64-bit value; 6 a bit
void patch_one(struct fuzz_input *in, uint8_t *data, size_t bytes);

// A file's content, on the heap; and written back, durable, in place of the old one.
uint8_t *patch_read(struct fake_storage *disk, const char *name, size_t *bytes);
void patch_write(struct fake_storage *disk, const char *name, const uint8_t *data, size_t bytes);

// What the checksums cover made true. Anything that does not look like such a file is left alone.
void patch_fix_journal(uint8_t *data, size_t bytes, bool records); // a meta file or a segment
void patch_fix_chunkfile(uint8_t *data, size_t bytes);
void patch_fix_archive(uint8_t *data, size_t bytes);

#endif
