// Reading checkpoints and id files. Writing is in checkpoint.c; the layouts are in
// core/files_format.h and docs/journal-format.md.
#include "core/files_format.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_AT_ONCE 1024

void checkpoint_name(uint64_t lsn, char name[STORAGE_NAME_BYTES])
{
    snprintf(name, STORAGE_NAME_BYTES, "ckpt-%020llu.hfc", (unsigned long long)lsn);
}

void id_file_name(uint64_t lsn, char name[STORAGE_NAME_BYTES])
{
    snprintf(name, STORAGE_NAME_BYTES, "ids-%020llu.hfi", (unsigned long long)lsn);
}

bool file_name_lsn(const char *name, const char *prefix, const char *suffix, uint64_t *lsn)
{
    size_t p = strlen(prefix);
    if (strncmp(name, prefix, p) != 0 || strlen(name) != p + 20 + strlen(suffix) ||
        strcmp(name + p + 20, suffix) != 0)
        return false;
    *lsn = 0;
    for (const char *d = name + p; d < name + p + 20; d++) {
        if (*d < '0' || *d > '9')
            return false;
        *lsn = *lsn * 10 + (uint64_t)(*d - '0');
    }
    return true;
}

void entry_from_slot(struct file_entry *e, const struct stock_slot *s)
{
    *e = (struct file_entry){s->id, s->body_hash, s->ticket, s->time_channel, s->word, s->end_hash,
                             s->a,  s->b,         0};
}

// Puts an entry into its slot; a later version replaces an earlier one. NULL: no slot left.
static struct stock_slot *entry_apply(struct replay *r, const struct file_entry *e)
{
    struct stock_slots *slots = &r->stock->slots;
    uint64_t hash = stock_hash(&r->stock->slots, &e->id);
    uint32_t found = stock_find(slots, e->id, hash);
    uint32_t index = found ? found : stock_acquire(&r->thread->slots);
    if (!index)
        return NULL;
    struct stock_slot *slot = &slots->slots[index];
    if (found && e->ticket <= slot->ticket)
        return slot;
    if (found)
        stock_lines_drop(slots, &r->thread->blocks, slot, stock_word_flags(slot->word));
    uint64_t generation = (slot->word + (UINT64_C(1) << 32)) & ~UINT64_C(0xffffffff);
    uint64_t word = e->word & UINT64_C(0xffffffff);
    *slot = (struct stock_slot){
        generation | word, e->id,       e->body_hash, e->ticket, e->time_channel,
        slot->next,        e->end_hash, e->a,         e->b};
    if (!found) {
        found = stock_insert(slots, index, hash);
        HF_ASSERT(found == 0);
    }
    return slot;
}

static enum hf_status entries_read(struct chunkfile_reader *f, struct replay *r, uint64_t count,
                                   struct file_entry *block)
{
    const struct stock_slots *ids = &r->stock->slots;
    for (uint64_t done = 0; done < count;) {
        uint64_t n = count - done < ENTRIES_AT_ONCE ? count - done : ENTRIES_AT_ONCE;
        enum hf_status s = chunkfile_read(f, block, n * sizeof *block);
        if (s != HF_OK)
            return s;
        for (uint64_t i = 0; i < n; i++) {
            if (i + 16 < n)
                hf_prefetch_write(stock_bucket(ids, stock_hash(ids, &block[i + 16].id)));
            if (i + 8 < n) {
                uint32_t head = *stock_bucket(ids, stock_hash(ids, &block[i + 8].id));
                hf_prefetch(&ids->slots[head]);
            }
            const struct file_entry *e = &block[i];
            if ((e->time_channel >> 16) + r->skew_ms < r->floor_ms)
                continue;
            if (stock_word_state(e->word) < CORE_STATE_COMMITTED ||
                stock_word_state(e->word) >= CORE_STATE_COUNT ||
                (stock_word_flags(e->word) & STOCK_SLOT_BLOCKS))
                return HF_DAMAGED;
            if (!entry_apply(r, e))
                return r->stuck = true, HF_FULL;
        }
        done += n;
    }
    return HF_OK;
}

static enum hf_status id_file_load(struct core *c, struct replay *r, uint64_t lsn,
                                   struct file_entry *block)
{
    char name[STORAGE_NAME_BYTES];
    id_file_name(lsn, name);
    struct chunkfile_header h;
    struct chunkfile_reader *f;
    enum hf_status s = chunkfile_reader_create(c->options.storage, name, CORE_IDS_KIND,
                                               CORE_FILE_VERSION, c->engine_id, &h, &f);
    uint64_t count = 0;
    if (s != HF_OK) {
        snprintf(r->why, sizeof r->why, "id file %s: %s", name, hf_status_help(s));
        return s == HF_NOT_FOUND ? HF_DAMAGED : s;
    }
    s = chunkfile_read(f, &count, sizeof count);
    if (s == HF_OK)
        s = entries_read(f, r, count, block);
    if (s == HF_OK)
        s = chunkfile_read_end(f);
    if (s == HF_DAMAGED)
        snprintf(r->why, sizeof r->why, "id file %s is damaged at byte %llu", name,
                 (unsigned long long)chunkfile_offset(f));
    else if (s != HF_OK && s != HF_FULL)
        snprintf(r->why, sizeof r->why, "id file %s: %s", name, hf_status_help(s));
    chunkfile_reader_destroy(f);
    return s;
}

static enum hf_status channels_load(struct chunkfile_reader *f, struct replay *r, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct file_channel ch;
        uint16_t number;
        enum hf_status s = chunkfile_read(f, &ch, sizeof ch);
        if (s != HF_OK)
            return s;
        if (!stock_name_valid(ch.name, ch.bytes, HF_CHANNEL_BYTES_MAX) ||
            stock_channel_add(r->stock->directory, ch.name, ch.bytes, &number) != HF_OK)
            return HF_DAMAGED;
    }
    return HF_OK;
}

// Sums of a cell's terms are formed without a look at each.
static bool terms_ok(const struct file_cell *fc)
{
    const int64_t terms[] = {fc->available, fc->on_hand, fc->committed,
                             fc->external,  fc->safety,  fc->backorder};
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++)
        if (terms[i] > INT64_MAX / 8 || terms[i] < -(INT64_MAX / 8))
            return false;
    return fc->scale <= HF_UNIT_SCALE_MAX;
}

static enum hf_status cells_load(struct chunkfile_reader *f, struct replay *r, uint32_t from,
                                 uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        struct file_cell fc;
        char names[HF_SKU_BYTES_MAX + HF_LOCATION_BYTES_MAX + 8];
        uint32_t handle;
        enum hf_status s = chunkfile_read(f, &fc, sizeof fc);
        if (s != HF_OK)
            return s;
        uint32_t bytes = (fc.sku_bytes + fc.location_bytes + 7u) & ~7u;
        if (fc.sku_bytes > HF_SKU_BYTES_MAX || fc.location_bytes > HF_LOCATION_BYTES_MAX)
            return HF_DAMAGED;
        s = chunkfile_read(f, names, bytes);
        if (s != HF_OK)
            return s;
        if (!terms_ok(&fc) || !stock_name_valid(names, fc.sku_bytes, HF_SKU_BYTES_MAX) ||
            !stock_name_valid(names + fc.sku_bytes, fc.location_bytes, HF_LOCATION_BYTES_MAX))
            return HF_DAMAGED;
        if (stock_directory_add(r->stock->directory, names, fc.sku_bytes, names + fc.sku_bytes,
                                fc.location_bytes, &handle) != HF_OK ||
            handle != i)
            return HF_DAMAGED;
        struct stock_cell *cell = &r->stock->cells.cells[i];
        cell->decision.lo = stock_word(fc.available, fc.active ? STOCK_FLAG_ACTIVE : 0);
        cell->on_hand = fc.on_hand;
        cell->committed = fc.committed;
        cell->external = fc.external;
        cell->safety = fc.safety;
        cell->backorder = fc.backorder;
        r->stock->scales[i] = fc.scale;
    }
    return HF_OK;
}

// A live hold's entry names blocks of the process that wrote it: its lines follow in the file.
static struct stock_slot *live_apply(struct replay *r, struct file_entry *e)
{
    unsigned flags = stock_word_flags(e->word) & ~(unsigned)STOCK_SLOT_BLOCKS;
    e->word = stock_word_make(e->word, CORE_STATE_HELD, stock_word_kind(e->word), flags,
                              stock_word_version(e->word));
    e->a = e->b = 0;
    return entry_apply(r, e);
}

static enum hf_status slots_load(struct chunkfile_reader *f, struct replay *r, uint64_t count)
{
    struct stock_line lines[HF_LINES_MAX];
    uint8_t text[CORE_TEXT_WORDS * 4];
    for (uint64_t i = 0; i < count; i++) {
        struct file_live live;
        enum hf_status s = chunkfile_read(f, &live, sizeof live);
        if (s != HF_OK)
            return s;
        if (live.line_count > HF_LINES_MAX || live.text_bytes > sizeof text ||
            stock_word_state(live.entry.word) != CORE_STATE_HELD)
            return HF_DAMAGED;
        if ((s = chunkfile_read(f, lines, live.line_count * sizeof *lines)) != HF_OK ||
            (s = chunkfile_read(f, text, (live.text_bytes + 7u) & ~7u)) != HF_OK)
            return s;
        for (uint32_t k = 0; k < live.line_count; k++)
            if (lines[k].handle >= stock_directory_count(r->stock->directory))
                return HF_DAMAGED;
        struct stock_slot *slot = live_apply(r, &live.entry);
        if (!slot)
            return r->stuck = true, HF_FULL;
        unsigned flags = stock_word_flags(slot->word);
        if (!stock_lines_store(&r->stock->slots, &r->thread->blocks, slot, lines, live.line_count,
                               text, live.text_bytes, &flags))
            return r->stuck = true, HF_FULL;
        slot->word = stock_word_make(slot->word, CORE_STATE_HELD, stock_word_kind(slot->word),
                                     flags, stock_word_version(slot->word));
    }
    return HF_OK;
}

// ------------------------------------------------------------------------------- piece by piece

static enum hf_status head_load(struct replay *r, struct core_id_files *files,
                                struct checkpoint_loader *l)
{
    struct file_meta *m = &l->meta;
    enum hf_status s = chunkfile_read(l->reader, m, sizeof *m);
    if (s != HF_OK)
        return s;
    r->lsn = m->lsn;
    r->time_ms = m->time_ms;
    r->floor_ms = m->floor_ms;
    if (m->lsn != l->lsn || m->id_files > CORE_ID_FILES_MAX || m->channels > HF_CHANNELS_MAX)
        return HF_DAMAGED;
    s = chunkfile_read(l->reader, files->files, m->id_files * sizeof *files->files);
    if (s != HF_OK)
        return s;
    files->count = m->id_files;
    if (m->cells > r->stock->sizes.cells) {
        snprintf(r->why, sizeof r->why, "cells_max %u is smaller than the folder's %u cells",
                 r->stock->sizes.cells, m->cells);
        return HF_FULL;
    }
    return channels_load(l->reader, r, m->channels);
}

static enum hf_status ids_load(struct core *c, struct replay *r, uint64_t lsn)
{
    struct file_entry *block = malloc(ENTRIES_AT_ONCE * sizeof *block);
    if (!block)
        return HF_NO_MEMORY;
    enum hf_status s = id_file_load(c, r, lsn, block);
    free(block);
    return s;
}

static enum hf_status piece_load(struct core *c, struct replay *r,
                                 const struct core_id_files *files, struct checkpoint_loader *l,
                                 uint32_t budget)
{
    const struct file_meta *m = &l->meta;
    enum hf_status s = HF_OK;
    if (l->cells < m->cells) {
        uint32_t to = m->cells - l->cells > budget ? l->cells + budget : m->cells;
        s = cells_load(l->reader, r, l->cells, to);
        l->cells = to;
    } else if (l->with_ids && l->id_files < files->count) {
        s = ids_load(c, r, files->files[l->id_files++].lsn);
    } else if (l->slots < m->slots) {
        // Live slots last: an id file may hold an older state of the same reservation.
        uint64_t n = m->slots - l->slots > budget ? budget : m->slots - l->slots;
        s = slots_load(l->reader, r, n);
        l->slots += n;
    } else {
        return chunkfile_read_end(l->reader);
    }
    return s == HF_OK ? HF_AGAIN : s;
}

// Says in r->why what stopped the loading.
static enum hf_status loader_failed(struct replay *r, const struct checkpoint_loader *l,
                                    enum hf_status s)
{
    if (r->why[0] != '\0')
        return s;
    if (s == HF_DAMAGED && l->reader)
        snprintf(r->why, sizeof r->why, "checkpoint %s is damaged at byte %llu", l->name,
                 (unsigned long long)chunkfile_offset(l->reader));
    else if (s == HF_FULL)
        snprintf(r->why, sizeof r->why,
                 "ids_max or blocks_max is smaller than what the folder holds");
    else
        snprintf(r->why, sizeof r->why, "checkpoint %s: %s", l->name, hf_status_help(s));
    return s;
}

enum hf_status loader_open(struct core *c, struct replay *r, struct core_id_files *files,
                           struct checkpoint_loader *l)
{
    struct chunkfile_header h;
    checkpoint_name(l->lsn, l->name);
    enum hf_status s = chunkfile_reader_create(c->options.storage, l->name, CORE_CHECKPOINT_KIND,
                                               CORE_FILE_VERSION, c->engine_id, &h, &l->reader);
    if (s != HF_OK)
        l->reader = NULL;
    else
        s = head_load(r, files, l);
    return s == HF_OK ? s : loader_failed(r, l, s);
}

enum hf_status loader_step(struct core *c, struct replay *r, const struct core_id_files *files,
                           struct checkpoint_loader *l, uint32_t budget)
{
    enum hf_status s = piece_load(c, r, files, l, budget);
    return s == HF_OK || s == HF_AGAIN ? s : loader_failed(r, l, s);
}

void loader_close(struct checkpoint_loader *l)
{
    if (l->reader)
        chunkfile_reader_destroy(l->reader);
    l->reader = NULL;
}

enum hf_status loader_undo(struct replay *r, struct core_id_files *files)
{
    struct stock_sizes sizes = r->stock->sizes;
    uint32_t number = r->thread->taker.number;
    stock_thread_fini(r->thread);
    stock_fini(r->stock);
    enum hf_status s = stock_init(r->stock, &sizes);
    if (s != HF_OK)
        return s;
    stock_thread_init(r->stock, r->thread, number);
    *r = (struct replay){.stock = r->stock, .thread = r->thread, .skew_ms = r->skew_ms};
    files->count = 0;
    return HF_OK;
}

static enum hf_status one_load(struct core *c, struct replay *r, struct core_id_files *files,
                               struct checkpoint_loader *l)
{
    enum hf_status s = loader_open(c, r, files, l);
    if (s == HF_OK)
        do
            s = loader_step(c, r, files, l, UINT32_MAX);
        while (s == HF_AGAIN);
    loader_close(l);
    return s;
}

static void checkpoint_seen(void *ctx, const char *name)
{
    struct core_checkpoints *k = ctx;
    uint64_t lsn;
    if (!file_name_lsn(name, "ckpt-", ".hfc", &lsn))
        return;
    if (k->count < 2)
        k->count++;
    if (lsn > k->lsn[0]) {
        k->lsn[1] = k->lsn[0];
        k->lsn[0] = lsn;
    } else if (lsn > k->lsn[1]) {
        k->lsn[1] = lsn;
    }
}

enum hf_status checkpoint_load(struct core *c, struct replay *r, struct core_checkpoints *kept,
                               struct core_id_files *files, struct core_report *report)
{
    struct storage *st = c->options.storage;
    *kept = (struct core_checkpoints){{0, 0}, 0};
    files->count = 0;
    enum hf_status s = st->ops->list(st, checkpoint_seen, kept);
    if (s != HF_OK)
        return s;
    uint32_t candidates = kept->count;
    char why[sizeof r->why] = "";
    for (uint32_t i = 0; i < candidates; i++) {
        struct checkpoint_loader l = {.lsn = kept->lsn[0], .with_ids = true};
        s = one_load(c, r, files, &l);
        if (s == HF_OK)
            memcpy(report->checkpoint, l.name, sizeof l.name);
        if (s != HF_DAMAGED)
            return s;
        hf_log(HF_LOG_ERROR, "checkpoint_damaged", "file=%s why=\"%s\" next=older", l.name, r->why);
        memcpy(why, r->why, sizeof why);
        if ((s = loader_undo(r, files)) != HF_OK)
            return s;
        kept->lsn[0] = kept->lsn[1];
        kept->lsn[1] = 0;
        kept->count--;
    }
    // Two that are both bad: the journal before the older one is gone. One: it is all there.
    if (candidates == 2)
        snprintf(r->why, sizeof r->why, "neither checkpoint is whole; the older: %.100s", why);
    return candidates == 2 ? HF_DAMAGED : HF_OK;
}
