// Byte layouts inside checkpoints and id files (streams of chunkfile.h). Little-endian.
//
// checkpoint: file_meta, id files, channels, cells (each with its names), live slots (each with
// its lines and text). id file: u64 count, entries.
#ifndef HOLDFAST_CORE_FILES_FORMAT_H
#define HOLDFAST_CORE_FILES_FORMAT_H

#include "core/core_internal.h"
#include "journal/chunkfile.h"

struct file_meta {
    uint64_t lsn, time_ms, floor_ms, slots;
    uint32_t cells, channels, id_files, zero;
};
static_assert(sizeof(struct file_meta) == 48, "checkpoint head");

static_assert(sizeof(struct core_id_file) == 16, "id file's name and newest time");

struct file_channel {
    uint8_t bytes;
    char name[39];
};
static_assert(sizeof(struct file_channel) == 40, "channel");

struct file_cell { // followed by SKU and location, padded to 8 bytes
    int64_t available, on_hand, committed, external, safety, backorder;
    uint8_t active, scale, sku_bytes, location_bytes;
    uint32_t zero;
};
static_assert(sizeof(struct file_cell) == 56, "cell");

struct file_entry {
    struct hf_uuid id;
    uint64_t body_hash, ticket, time_channel, word; // word as in stock/slot.h, low half
    uint32_t end_hash, a, b, zero;
};
static_assert(sizeof(struct file_entry) == 64, "id entry");

struct file_live { // followed by lines (struct stock_line) and text, padded to 8 bytes
    struct file_entry entry;
    uint32_t line_count, text_bytes;
};
static_assert(sizeof(struct file_live) == 72, "live slot");
static_assert(sizeof(struct stock_line) == 16, "line");

// A checkpoint on its way into an empty stock. One thread. Errors are told in r->why.
struct checkpoint_loader {
    uint64_t lsn;  // which one
    bool with_ids; // and the id files that it names
    char name[STORAGE_NAME_BYTES];
    struct chunkfile_reader *reader; // NULL: closed
    struct file_meta meta;
    uint32_t cells, id_files; // loaded so far
    uint64_t slots;
};
// lsn and with_ids are set, the rest is zero. Close it whatever is answered.
enum hf_status loader_open(struct core *c, struct replay *r, struct core_id_files *files,
                           struct checkpoint_loader *l);
// At most `budget` cells or live slots, or one id file. HF_AGAIN: there is more; HF_OK: all.
enum hf_status loader_step(struct core *c, struct replay *r, const struct core_id_files *files,
                           struct checkpoint_loader *l, uint32_t budget);
void loader_close(struct checkpoint_loader *l);
// Makes the stock empty again, after a loading that failed in the middle. HF_NO_MEMORY: there is no
// stock any more.
enum hf_status loader_undo(struct replay *r, struct core_id_files *files);

bool file_name_lsn(const char *name, const char *prefix, const char *suffix, uint64_t *lsn);
void entry_from_slot(struct file_entry *e, const struct stock_slot *s);

#endif
