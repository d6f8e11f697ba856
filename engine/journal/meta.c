// The meta file: the engine's id, the format's version, the epoch.
//
// Two slots of 4 KiB, written in turn with a rising sequence and synced: a torn write of one leaves
// the other. The epoch is raised before a start writes anything, so a slot that did not get through
// names an epoch under which nothing was written. The file is born under a temporary name, whole.
#include "journal/journal_internal.h"

#include <stdlib.h>
#include <string.h>

enum slot_kind { SLOT_BAD, SLOT_NEWER, SLOT_GOOD };

static enum slot_kind slot_read(const void *block, struct journal_meta *m)
{
    struct journal_meta_slot s;
    memcpy(&s, block, sizeof s);
    if (s.magic != JOURNAL_MAGIC_META || s.crc != journal_header_crc(block, HF_BLOCK))
        return SLOT_BAD;
    if (s.version > JOURNAL_FORMAT_VERSION || s.format > JOURNAL_FORMAT_VERSION)
        return SLOT_NEWER;
    if (s.version == 0 || hf_uuid_is_nil(s.engine_id))
        return SLOT_BAD;
    m->engine_id = s.engine_id;
    m->sequence = s.sequence;
    m->epoch = s.epoch;
    return SLOT_GOOD;
}

static void slot_fill(void *block, const struct journal_meta *m)
{
    struct journal_meta_slot s = {
        .magic = JOURNAL_MAGIC_META,
        .version = JOURNAL_FORMAT_VERSION,
        .engine_id = m->engine_id,
        .sequence = m->sequence,
        .epoch = m->epoch,
        .format = JOURNAL_FORMAT_VERSION,
    };
    memset(block, 0, HF_BLOCK);
    memcpy(block, &s, sizeof s);
    s.crc = journal_header_crc(block, HF_BLOCK);
    memcpy(block, &s, sizeof s);
}

static enum hf_status slots_choose(const unsigned char *blocks, struct journal_meta *m,
                                   struct journal_report *report)
{
    struct journal_meta found[2] = {0};
    enum slot_kind a = slot_read(blocks, &found[0]);
    enum slot_kind b = slot_read(blocks + HF_BLOCK, &found[1]);
    if (a == SLOT_NEWER || b == SLOT_NEWER) {
        journal_report_say(report, JOURNAL_META_NAME, a == SLOT_NEWER ? 0 : HF_BLOCK,
                           "the folder was written by a newer version of the program");
        return HF_TOO_NEW;
    }
    if (a == SLOT_BAD && b == SLOT_BAD) {
        journal_report_say(report, JOURNAL_META_NAME, 0, "neither slot of the meta file is valid");
        return HF_DAMAGED;
    }
    if (a == SLOT_GOOD && b == SLOT_GOOD &&
        !hf_uuid_equal(found[0].engine_id, found[1].engine_id)) {
        journal_report_say(report, JOURNAL_META_NAME, 0, "the two slots name different engines");
        return HF_DAMAGED;
    }
    bool second = b == SLOT_GOOD && (a == SLOT_BAD || found[1].sequence > found[0].sequence);
    *m = found[second];
    return HF_OK;
}

enum hf_status journal_meta_read(struct storage *s, struct journal_meta *m,
                                 struct journal_report *report)
{
    int file;
    enum hf_status st = s->ops->open(s, JOURNAL_META_NAME, STORAGE_READ | STORAGE_DIRECT, &file);
    if (st != HF_OK)
        return st;
    unsigned char *blocks = journal_blocks_alloc(2 * HF_BLOCK);
    size_t done = 0;
    st = blocks ? s->ops->pread(s, file, blocks, 2 * HF_BLOCK, 0, &done) : HF_NO_MEMORY;
    if (st == HF_OK)
        st = slots_choose(blocks, m, report); // what a short file lacks is zero, so invalid
    s->ops->close(s, file);
    free(blocks);
    return st;
}

static enum hf_status meta_write_new(struct storage *s, const unsigned char *blocks)
{
    int file;
    enum hf_status st =
        s->ops->open(s, JOURNAL_TEMP_NAME,
                     STORAGE_READ | STORAGE_WRITE | STORAGE_CREATE | STORAGE_DIRECT, &file);
    if (st != HF_OK)
        return st;
    st = s->ops->pwrite(s, file, blocks, 2 * HF_BLOCK, 0);
    if (st == HF_OK)
        st = s->ops->sync(s, file);
    s->ops->close(s, file);
    if (st == HF_OK)
        st = s->ops->rename(s, JOURNAL_TEMP_NAME, JOURNAL_META_NAME);
    return st == HF_OK ? s->ops->sync_folder(s) : st;
}

enum hf_status journal_meta_create(struct storage *s, struct hf_uuid fresh_id,
                                   struct journal_meta *m)
{
    if (hf_uuid_is_nil(fresh_id))
        return HF_INVALID;
    unsigned char *blocks = journal_blocks_alloc(2 * HF_BLOCK);
    if (!blocks)
        return HF_NO_MEMORY;
    *m = (struct journal_meta){.engine_id = fresh_id, .sequence = 1};
    memset(blocks, 0, 2 * HF_BLOCK); // the second slot is empty, not what the heap held
    slot_fill(blocks, m);
    enum hf_status st = s->ops->unlink(s, JOURNAL_TEMP_NAME);
    if (st == HF_OK || st == HF_NOT_FOUND)
        st = meta_write_new(s, blocks);
    free(blocks);
    return st;
}

enum hf_status journal_meta_raise(struct storage *s, struct journal_meta *m, uint64_t epoch)
{
    int file;
    unsigned char *block = journal_blocks_alloc(HF_BLOCK);
    if (!block)
        return HF_NO_MEMORY;
    enum hf_status st =
        s->ops->open(s, JOURNAL_META_NAME, STORAGE_READ | STORAGE_WRITE | STORAGE_DIRECT, &file);
    if (st == HF_OK) {
        struct journal_meta next = *m;
        next.sequence++;
        next.epoch = epoch;
        slot_fill(block, &next);
        // Sequence 1 is in slot 0, 2 in slot 1, and so on: always over the older one.
        st = s->ops->pwrite(s, file, block, HF_BLOCK, (next.sequence + 1) % 2 * HF_BLOCK);
        if (st == HF_OK)
            st = s->ops->sync(s, file);
        s->ops->close(s, file);
        if (st == HF_OK)
            *m = next;
    }
    free(block);
    return st;
}
