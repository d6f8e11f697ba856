// A disk in memory behind storage_ops, with every failure that a real one is allowed.
//
// Each file has a durable content and a list of writes since its last sync; the folder has durable
// names and a list of changes since its last sync. What the process reads is both together. A
// power loss decides, by a seeded generator, for every 512-byte sector of every unsynced write
// whether it is there, is not, or is torn; and which of the unsynced folder changes happened. A
// process that is merely killed loses nothing, but what it had not synced stays at risk.
//
// Deterministic: the same seed and the same calls give the same disk. One mutex makes it safe for
// several threads (whose order is then not reproducible). Faults and helpers below are for one
// thread while no other is in a call.
#ifndef HOLDFAST_TESTS_SIM_FAKE_STORAGE_H
#define HOLDFAST_TESTS_SIM_FAKE_STORAGE_H

#include "sim/fake_clock.h"
#include "sys/storage.h"

#include <stdbool.h>

#define FAKE_SECTOR 512

// Countdowns: 1 is the next call of that kind, 0 never. A fault that strikes resets its countdown.
struct fake_faults {
    // Power fails inside this call: it is applied in part, answers HF_IO, and so does every later
    // call until a restart. Counts create, pwrite, sync, rename, unlink, sync_folder.
    uint64_t crash_in;
    bool crash_counts_reads; // and open, pread, size, list
    uint64_t read_error_in;  // pread answers HF_IO
    uint64_t write_error_in; // create, pwrite, rename, unlink answer HF_IO; part may be done
    uint64_t sync_error_in;  // sync, sync_folder answer HF_IO; part of what was unsynced is lost
    uint64_t capacity_bytes; // of all files together; 0: endless
    uint64_t latency_ns_max; // every call moves the clock by up to this
    uint32_t slow_one_in;    // one call in so many ...
    uint64_t slow_ns_max;    // ... takes up to this much longer
};

// What a power loss may do to what was not synced.
struct fake_loss {
    bool torn_sectors;   // a sector may be half old, half new
    bool folder_reorder; // folder changes survive independently; else a prefix of them
};

struct fake_counts {
    uint64_t opens, creates, reads, writes, syncs, sizes, renames, unlinks, folder_syncs, lists;
    uint64_t read_bytes, written_bytes;
    uint64_t crashes, power_losses, read_errors, write_errors, sync_errors, no_space, slow;
    uint64_t sectors_lost, sectors_torn, folder_changes_lost;
};

struct fake_disk; // names, files, contents

struct fake_storage {
    struct storage base; // hand out &fake->base
    struct fake_faults faults;
    struct fake_loss loss;
    struct fake_counts counts; // only ever grows
    struct fake_clock *clock;  // borrowed; NULL: latencies are not simulated
    uint64_t calls;            // all calls so far, in the order of crash_in with crash_counts_reads
    uint64_t changes;          // of those, the mutating ones
    uint64_t hash;             // running, over every mutating call with its content
    bool crashed;
    bool trace; // print every call that changes something
    struct fake_disk *disk;
};

// Empty disk. storage_destroy(&fs->base) frees it. Aborts when memory runs out, as all of this
// does. Both loss options are on.
struct fake_storage *fake_storage_create(uint64_t seed, struct fake_clock *clock);
// A deep copy, faults and generator included; no open handles and no lock.
struct fake_storage *fake_storage_clone(const struct fake_storage *fs);
// Another stream for the choices that follow.
void fake_storage_reseed(struct fake_storage *fs, uint64_t seed);

// Power fails now, between two calls.
void fake_storage_crash(struct fake_storage *fs);
// The machine comes back after a power loss (also when `crashed` is not set): decides what
// survived; handles and lock are gone, countdowns cleared (capacity and latency stay).
void fake_storage_restart(struct fake_storage *fs);
// The process was killed, the machine runs on: nothing is lost, nothing became durable; handles
// and lock are gone, countdowns cleared. Not after a crash.
void fake_storage_kill(struct fake_storage *fs);

// ------------------------------------------------------------------------------- looking
// Names in sorted order, as the process sees them. Returns the count; fills up to max.
uint32_t fake_storage_names(const struct fake_storage *fs, char (*names)[STORAGE_NAME_BYTES],
                            uint32_t max);
bool fake_storage_exists(const struct fake_storage *fs, const char *name);
uint64_t fake_storage_used_bytes(const struct fake_storage *fs);
// Bytes of unsynced writes and folder changes, counted.
uint64_t fake_storage_unsynced(const struct fake_storage *fs);
// Content as the process sees it; NULL when there is no such file. Valid until the next call.
const uint8_t *fake_storage_content(const struct fake_storage *fs, const char *name,
                                    uint64_t *bytes);
// Hash over names and durable contents, in sorted order.
uint64_t fake_storage_image_hash(const struct fake_storage *fs);

// ------------------------------------------------------------------------------- latent damage
// Done to the durable content and to what the process sees. False: no such file or place.
bool fake_storage_flip_bit(struct fake_storage *fs, const char *name, uint64_t offset,
                           unsigned bit);
bool fake_storage_zero(struct fake_storage *fs, const char *name, uint64_t offset,
                       uint64_t bytes);
// Content of one place written to another, in the same or another file.
bool fake_storage_misdirect(struct fake_storage *fs, const char *from, uint64_t from_offset,
                            const char *to, uint64_t to_offset, uint64_t bytes);
bool fake_storage_truncate(struct fake_storage *fs, const char *name, uint64_t bytes);

enum fake_damage { FAKE_FLIP, FAKE_ZERO, FAKE_MISDIRECT, FAKE_DAMAGE_COUNT };
struct fake_damage_place {
    char name[STORAGE_NAME_BYTES];
    uint64_t offset, bytes;
    bool changed; // the bytes differ from before
};
// At a random place of a random file whose name starts with `prefix` ("": any). False: no file
// with content.
bool fake_storage_damage(struct fake_storage *fs, enum fake_damage kind, const char *prefix,
                         struct fake_damage_place *place);

#endif
