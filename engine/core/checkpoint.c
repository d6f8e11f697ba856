// The checkpointer: recovery, run in the background into a stock of its own.
//
// It follows the durable journal with recovery's code, and when enough has come together it stands
// still and writes what it has: first the ids that ended since the last time, into an id file that
// is never changed again; then everything else, into a checkpoint that names all id files still
// needed. No hot structure is touched. The ended ids then leave the shadow, so it stays small.
//
// Two checkpoints are kept, with the segments and id files that the older one needs.
#include "core/files_format.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITE_CHUNK_BYTES (1u << 20)
#define FILES_OVERHEAD    (128u << 10) // headers, and the last blocks of both files
#define RECORD_BYTES_MIN  64           // of one that makes a slot
#define STARVED_PACE_MS   10           // between checkpoints that only want to free segments
#define STARVED_TOLD_MS   10000        // without a refusal: there is room again
#define STARVED_PART      8            // of all segments, that one frees at least when it is behind
#define PRESSED_PART      8            // of lag_max_bytes

// Cells and slots that a step loads, counts, writes or drops for each unit of its budget: some
// milliseconds with the keeper's 16. Nothing is followed meanwhile, and segments are kept.
#define LOAD_PIECE  512u
#define COUNT_PIECE 16384u
#define WRITE_PIECE 8192u
#define DROP_PIECE  2048u
#define DROP_AHEAD  16u // slots whose buckets are fetched before they are dropped

enum shadow_phase { LOAD, FOLLOW, COUNT_IDS, WRITE_IDS, WRITE_BODY, DROP_IDS };

struct core_shadow {
    struct stock stock;
    struct stock_thread thread;
    struct replay replay;
    struct journal_reader *reader;
    enum shadow_phase phase;
    struct core_checkpoints kept;
    struct core_id_files now, before; // named by the newest, and by the one before
    uint64_t bytes;                   // followed since the last checkpoint
    uint64_t last_lsn, last_ms;
    uint64_t starved_ms; // when requests were last refused for room
    bool forced, files_full;
    bool waits;        // a checkpoint found no room; told
    bool starved_told; // requests are refused for room
    // While writing:
    struct chunkfile_writer *writer;
    uint64_t cursor; // slot or cell
    uint32_t section;
    uint64_t ended, live, time_max;
    struct core_compare compare;
    struct checkpoint_loader loader; // of what was newest at the start
};

// Segments are kept for the older checkpoint, in case the newest is damaged. When the journal has
// no more room, `alone` gives that second chance up.
static void keep_publish(struct core *c, const struct core_checkpoints *k, bool alone)
{
    hf_store_release(&c->keep_after, alone ? k->lsn[0] : k->count == 2 ? k->lsn[1] : 0);
}

uint64_t shadow_bytes(const struct core *c)
{
    return stock_bytes(&c->shadow->stock);
}

enum hf_status shadow_create(struct core *c, const struct core_checkpoints *kept)
{
    struct core_shadow *s = calloc(1, sizeof *s);
    if (!s)
        return HF_NO_MEMORY;
    c->shadow = s;
    s->now.files = calloc(CORE_ID_FILES_MAX, sizeof *s->now.files);
    s->before.files = calloc(CORE_ID_FILES_MAX, sizeof *s->before.files);
    struct stock_sizes sizes = c->stock.sizes;
    sizes.timers = false;
    sizes.prefault = false; // touched as it fills
    sizes.threads = 1;
    if (!s->now.files || !s->before.files)
        return HF_NO_MEMORY;
    enum hf_status status = stock_init(&s->stock, &sizes);
    if (status != HF_OK)
        return status;
    stock_thread_init(&s->stock, &s->thread, 0);
    s->replay =
        (struct replay){.stock = &s->stock, .thread = &s->thread, .skew_ms = c->options.skew_ms};
    s->phase = kept->count ? LOAD : FOLLOW;
    s->loader.lsn = s->last_lsn = kept->count ? kept->lsn[0] : 0;
    s->kept = *kept;
    keep_publish(c, kept, false);
    s->last_ms = core_now(c);
    s->compare.lsn = UINT64_MAX; // of no record: begin anew
    hf_store_relaxed(&c->checkpoint_lsn, s->last_lsn);
    return HF_OK;
}

void shadow_destroy(struct core *c)
{
    struct core_shadow *s = c->shadow;
    if (!s)
        return;
    if (s->reader)
        journal_reader_destroy(s->reader);
    if (s->writer)
        chunkfile_abandon(s->writer);
    loader_close(&s->loader);
    if (s->stock.directory)
        stock_fini(&s->stock);
    free(s->now.files);
    free(s->before.files);
    free(s);
    c->shadow = NULL;
}

// ------------------------------------------------------------------------------- the start
// The engine read this checkpoint a moment ago. The ids that it names stay away.

static enum hf_status load(struct core *c, struct core_shadow *s, uint32_t budget)
{
    bool open = s->loader.reader != NULL;
    enum hf_status status =
        open ? loader_step(c, &s->replay, &s->now, &s->loader, budget * LOAD_PIECE)
             : loader_open(c, &s->replay, &s->now, &s->loader);
    if (status == HF_AGAIN || (status == HF_OK && !open))
        return HF_OK;
    loader_close(&s->loader);
    if (status == HF_NO_MEMORY) { // or no descriptor: from the beginning, later
        s->loader = (struct checkpoint_loader){.lsn = s->last_lsn};
        status = loader_undo(&s->replay, &s->now);
        return status == HF_OK ? HF_AGAIN : status;
    }
    if (status != HF_OK) {
        hf_log(HF_LOG_ERROR, "shadow_not_loaded", "why=\"%s\"", s->replay.why);
        return status;
    }
    s->before.count = s->now.count;
    memcpy(s->before.files, s->now.files, s->now.count * sizeof *s->now.files);
    s->phase = FOLLOW;
    return HF_OK;
}

// ------------------------------------------------------------------------------- following

static enum hf_status follow_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                   const struct journal_record *record)
{
    struct core_shadow *s = ctx;
    if (lsn <= s->replay.lsn)
        return HF_OK; // a group that was left in the middle
    s->bytes += journal_record_bytes(record);
    return replay_record(&s->replay, lsn, time_ms, record);
}

static void follow_ahead(void *ctx, const struct journal_record *record, unsigned stage)
{
    replay_ahead(&((struct core_shadow *)ctx)->replay, record, stage);
}

static void reader_drop(struct core_shadow *s)
{
    if (s->reader)
        journal_reader_destroy(s->reader);
    s->reader = NULL;
}

static enum hf_status follow(struct core *c, struct core_shadow *s, uint32_t budget)
{
    enum hf_status status = HF_OK;
    if (!s->reader) {
        status = journal_reader_create(c->journal, s->replay.lsn, &s->reader);
        if (status != HF_OK) {
            s->reader = NULL;
            return status == HF_NOT_FOUND ? HF_DAMAGED : status;
        }
        journal_reader_look_ahead(s->reader, follow_ahead);
    }
    status = journal_reader_step(s->reader, budget, follow_visit, s);
    if (status == HF_NOT_FOUND) {
        reader_drop(s); // it stood at the end of a segment that was recycled: begin at the next
        return HF_OK;
    }
    if (status == HF_FULL && s->replay.stuck) {
        reader_drop(s);
        if (s->forced && s->replay.lsn == s->last_lsn)
            return HF_FULL; // even an empty shadow has no room: as large as the live one
        s->forced = true;
        return HF_OK;
    }
    if (status == HF_DAMAGED)
        hf_log(HF_LOG_ERROR, "shadow_damaged", "lsn=%llu why=\"%s\"",
               (unsigned long long)s->replay.lsn, s->replay.why);
    hf_store_relaxed(&c->shadow_lsn, s->replay.lsn);
    uint64_t behind = journal_appended(c->journal) - s->replay.lsn;
    hf_store_relaxed(&c->lagging, behind * 64 > c->options.lag_max_bytes);
    return status;
}

bool core_pressed(const struct core *c)
{
    struct journal_space space;
    journal_space(c->journal, &space);
    uint64_t behind = journal_appended(c->journal) - hf_load_relaxed(&c->shadow_lsn);
    return behind * 64 > c->options.lag_max_bytes / PRESSED_PART ||
           space.segments - space.segments_free > c->options.journal.segments_max / 2;
}

// ------------------------------------------------------------------------------- writing

static bool slot_ended(const struct stock_slot *slot)
{
    return stock_word_state(slot->word) >= CORE_STATE_COMMITTED;
}

static uint64_t slots_end(const struct core_shadow *s)
{
    const struct stock_pool *p = &s->stock.slots.slot_pool;
    return p->fresh > p->max ? p->max + UINT64_C(1) : p->fresh;
}

uint64_t shadow_files_bytes(struct core *c)
{
    const struct core_shadow *s = c->shadow;
    const struct stock_pool *pool = &s->stock.slots.slot_pool, *blocks = &s->stock.slots.block_pool;
    // An ended slot goes into the id file, a live one into the checkpoint; so will what is not
    // followed yet, and what the segments that are there, and one more, can still take: a record
    // a slot at most.
    struct journal_space space;
    journal_space(c->journal, &space);
    uint64_t slots = pool->max - stock_pool_free(pool) +
                     (journal_appended(c->journal) - s->replay.lsn) +
                     (space.usable_bytes + c->options.journal.segment_bytes) / RECORD_BYTES_MIN;
    if (slots > pool->max)
        slots = pool->max;
    uint64_t used = blocks->max - stock_pool_free(blocks);
    return FILES_OVERHEAD + s->now.count * sizeof(struct core_id_file) +
           stock_directory_count(s->stock.directory) *
               (sizeof(struct file_cell) + HF_SKU_BYTES_MAX + HF_LOCATION_BYTES_MAX) +
           slots * (sizeof(struct file_live) + sizeof(struct stock_line)) + used * blocks->stride;
}

static void header_fill(struct core *c, struct core_shadow *s, const char *kind,
                        struct chunkfile_header *h)
{
    *h = (struct chunkfile_header){.version = CORE_FILE_VERSION,
                                   .engine_id = c->engine_id,
                                   .lsn = s->replay.lsn,
                                   .time_ms = s->replay.time_ms};
    memcpy(h->kind, kind, sizeof h->kind);
}

static void count_begin(struct core_shadow *s)
{
    s->ended = s->live = s->time_max = 0;
    s->cursor = 1;
    s->phase = COUNT_IDS;
}

static bool id_file_needed(const struct core *c, const struct core_shadow *s, uint32_t i)
{
    return s->now.files[i].time_max_ms + c->options.skew_ms >= s->replay.floor_ms;
}

// Whether the checkpoint can name one id file more. If not it waits until the floor has passed
// some: the journal keeps everything meanwhile, and when it has no more room, requests are BUSY.
static bool id_files_room(const struct core *c, struct core_shadow *s)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->now.count; i++)
        kept += id_file_needed(c, s, i);
    bool full = kept >= c->id_files_max;
    if (full && !s->files_full)
        hf_log(HF_LOG_ERROR, "id_files_full", "files=%u lsn=%llu", kept,
               (unsigned long long)s->replay.lsn);
    s->files_full = full;
    return !full;
}

static enum hf_status ids_begin(struct core *c, struct core_shadow *s)
{
    s->cursor = 1;
    s->section = 0;
    s->phase = WRITE_IDS;
    if (s->ended == 0)
        return HF_OK;
    if (!id_files_room(c, s))
        return HF_NO_SPACE;
    struct chunkfile_header h;
    char name[STORAGE_NAME_BYTES];
    header_fill(c, s, CORE_IDS_KIND, &h);
    id_file_name(s->replay.lsn, name);
    enum hf_status status =
        chunkfile_writer_create(c->options.storage, name, &h, WRITE_CHUNK_BYTES, &s->writer);
    if (status != HF_OK) {
        s->writer = NULL;
        return status;
    }
    return chunkfile_write(s->writer, &s->ended, sizeof s->ended);
}

static enum hf_status ids_count(struct core *c, struct core_shadow *s, uint32_t budget)
{
    uint64_t end = slots_end(s);
    for (uint64_t n = (uint64_t)budget * COUNT_PIECE; s->cursor < end && n > 0; n--) {
        const struct stock_slot *slot = &s->stock.slots.slots[s->cursor++];
        if (slot_ended(slot)) {
            s->ended++;
            if (stock_slot_time(slot) > s->time_max)
                s->time_max = stock_slot_time(slot);
        } else if (stock_word_state(slot->word) == CORE_STATE_HELD) {
            s->live++;
        }
    }
    return s->cursor < end ? HF_OK : ids_begin(c, s);
}

static enum hf_status writer_finish(struct core_shadow *s)
{
    struct chunkfile_writer *w = s->writer;
    s->writer = NULL;
    return chunkfile_finish(w);
}

static enum hf_status body_begin(struct core *c, struct core_shadow *s)
{
    // Id files that the floor has passed whole are no longer named.
    uint32_t kept = 0;
    s->before.count = s->now.count;
    memcpy(s->before.files, s->now.files, s->now.count * sizeof *s->now.files);
    for (uint32_t i = 0; i < s->now.count; i++)
        if (id_file_needed(c, s, i))
            s->now.files[kept++] = s->now.files[i];
    s->now.count = kept;
    if (s->ended) {
        HF_ASSERT(kept < CORE_ID_FILES_MAX); // id_files_room said so
        s->now.files[s->now.count++] = (struct core_id_file){s->replay.lsn, s->time_max};
    }
    struct chunkfile_header h;
    char name[STORAGE_NAME_BYTES];
    header_fill(c, s, CORE_CHECKPOINT_KIND, &h);
    checkpoint_name(s->replay.lsn, name);
    s->phase = WRITE_BODY;
    s->section = 0;
    s->cursor = 0;
    enum hf_status status =
        chunkfile_writer_create(c->options.storage, name, &h, WRITE_CHUNK_BYTES, &s->writer);
    if (status != HF_OK)
        s->writer = NULL;
    return status;
}

static enum hf_status ids_write(struct core *c, struct core_shadow *s, uint32_t budget)
{
    uint64_t end = slots_end(s);
    for (uint64_t n = (uint64_t)budget * WRITE_PIECE; s->ended && s->cursor < end && n > 0; n--) {
        const struct stock_slot *slot = &s->stock.slots.slots[s->cursor++];
        if (!slot_ended(slot))
            continue;
        struct file_entry e;
        entry_from_slot(&e, slot);
        enum hf_status status = chunkfile_write(s->writer, &e, sizeof e);
        if (status != HF_OK)
            return status;
    }
    if (s->ended && s->cursor < end)
        return HF_OK;
    if (s->ended) {
        enum hf_status status = writer_finish(s);
        if (status != HF_OK)
            return status;
    }
    return body_begin(c, s);
}

static enum hf_status head_write(struct core_shadow *s)
{
    struct stock_directory *d = s->stock.directory;
    struct file_meta m = {.lsn = s->replay.lsn,
                          .time_ms = s->replay.time_ms,
                          .floor_ms = s->replay.floor_ms,
                          .slots = s->live,
                          .cells = stock_directory_count(d),
                          .channels = stock_channel_count(d),
                          .id_files = s->now.count};
    enum hf_status status = chunkfile_write(s->writer, &m, sizeof m);
    if (status == HF_OK)
        status = chunkfile_write(s->writer, s->now.files, s->now.count * sizeof *s->now.files);
    for (uint16_t i = 1; i <= m.channels && status == HF_OK; i++) {
        struct file_channel ch = {0};
        const char *name = stock_channel_name(d, i);
        ch.bytes = (uint8_t)strlen(name);
        memcpy(ch.name, name, ch.bytes);
        status = chunkfile_write(s->writer, &ch, sizeof ch);
    }
    return status;
}

static enum hf_status cell_write(struct core_shadow *s, uint32_t handle)
{
    const struct stock_cell *cell = &s->stock.cells.cells[handle];
    struct stock_name n = stock_directory_name(s->stock.directory, handle);
    struct file_cell fc = {.available = stock_word_available(cell->decision.lo),
                           .on_hand = cell->on_hand,
                           .committed = cell->committed,
                           .external = cell->external,
                           .safety = cell->safety,
                           .backorder = cell->backorder,
                           .active = (cell->decision.lo & STOCK_FLAG_ACTIVE) != 0,
                           .scale = s->stock.scales[handle],
                           .sku_bytes = n.sku_bytes,
                           .location_bytes = n.location_bytes};
    char names[HF_SKU_BYTES_MAX + HF_LOCATION_BYTES_MAX + 8] = {0};
    memcpy(names, n.sku, n.sku_bytes);
    memcpy(names + n.sku_bytes, n.location, n.location_bytes);
    enum hf_status status = chunkfile_write(s->writer, &fc, sizeof fc);
    if (status == HF_OK)
        status = chunkfile_write(s->writer, names, (n.sku_bytes + n.location_bytes + 7u) & ~7u);
    return status;
}

static enum hf_status live_write(struct core_shadow *s, const struct stock_slot *slot)
{
    struct file_live live;
    struct stock_line lines[HF_LINES_MAX];
    uint8_t text[CORE_TEXT_WORDS * 4] = {0};
    unsigned flags = stock_word_flags(slot->word);
    entry_from_slot(&live.entry, slot);
    live.line_count = stock_lines_load(&s->stock.slots, slot, flags, lines, HF_LINES_MAX);
    live.text_bytes = stock_text_load(&s->stock.slots, slot, flags, text, sizeof text);
    enum hf_status status = chunkfile_write(s->writer, &live, sizeof live);
    if (status == HF_OK)
        status = chunkfile_write(s->writer, lines, live.line_count * sizeof *lines);
    if (status == HF_OK)
        status = chunkfile_write(s->writer, text, (live.text_bytes + 7u) & ~7u);
    return status;
}

struct cleanup {
    const struct core_shadow *shadow;
    struct core *core;
    uint32_t count;
    char names[256][STORAGE_NAME_BYTES];
};

static bool files_name(const struct core_id_files *f, uint64_t lsn)
{
    for (uint32_t i = 0; i < f->count; i++)
        if (f->files[i].lsn == lsn)
            return true;
    return false;
}

static void cleanup_seen(void *ctx, const char *name)
{
    struct cleanup *k = ctx;
    const struct core_shadow *s = k->shadow;
    uint64_t lsn;
    bool drop = false;
    if (file_name_lsn(name, "ckpt-", ".hfc", &lsn))
        drop = lsn != s->kept.lsn[0] && lsn != s->kept.lsn[1];
    else if (file_name_lsn(name, "ids-", ".hfi", &lsn))
        drop = !files_name(&s->now, lsn) && !files_name(&s->before, lsn);
    else if (strncmp(name, "ckpt-", 5) == 0 || strncmp(name, "ids-", 4) == 0)
        drop = true; // an attempt that a crash cut short
    if (drop && k->count < 256)
        memcpy(k->names[k->count++], name, strlen(name) + 1);
}

// What neither of the two kept checkpoints needs.
static enum hf_status files_clean(struct core *c, struct core_shadow *s)
{
    struct storage *st = c->options.storage;
    struct cleanup *k = calloc(1, sizeof *k);
    if (!k)
        return HF_NO_MEMORY;
    k->shadow = s;
    lock_acquire(&c->folder);
    enum hf_status status = st->ops->list(st, cleanup_seen, k);
    lock_release(&c->folder);
    for (uint32_t i = 0; i < k->count && status == HF_OK; i++)
        status = st->ops->unlink(st, k->names[i]);
    if (status == HF_OK && k->count)
        status = st->ops->sync_folder(st);
    free(k);
    return status;
}

static enum hf_status body_finish(struct core *c, struct core_shadow *s, uint64_t now_ms)
{
    enum hf_status status = writer_finish(s);
    if (status != HF_OK)
        return status;
    uint64_t lsn = s->replay.lsn;
    if (s->waits)
        hf_log(HF_LOG_INFO, "checkpoint_written", "lsn=%llu note=\"it had waited for room\"",
               (unsigned long long)lsn);
    s->waits = false;
    s->kept.lsn[1] = s->kept.lsn[0];
    s->kept.lsn[0] = lsn;
    s->kept.count = s->kept.count < 2 ? s->kept.count + 1 : 2;
    keep_publish(c, &s->kept, false);
    s->cursor = 1;
    s->phase = DROP_IDS;
    s->bytes = 0;
    s->last_lsn = lsn;
    s->last_ms = now_ms;
    hf_store_relaxed(&c->checkpoint_lsn, lsn);
    hf_store_relaxed(&c->checkpoints, c->checkpoints + 1);
    return files_clean(c, s);
}

static enum hf_status body_write(struct core *c, struct core_shadow *s, uint32_t budget,
                                 uint64_t now_ms)
{
    enum hf_status status = HF_OK;
    uint64_t n = (uint64_t)budget * WRITE_PIECE;
    uint64_t cells = stock_directory_count(s->stock.directory), slots = slots_end(s);
    if (s->section == 0) {
        status = head_write(s);
        s->section = 1;
        s->cursor = 0;
    }
    for (; s->section == 1 && n > 0 && status == HF_OK; n--) {
        if (s->cursor < cells) {
            status = cell_write(s, (uint32_t)s->cursor++);
        } else {
            s->section = 2;
            s->cursor = 1;
        }
    }
    for (; s->section == 2 && n > 0 && status == HF_OK; n--) {
        if (s->cursor >= slots)
            return body_finish(c, s, now_ms);
        const struct stock_slot *slot = &s->stock.slots.slots[s->cursor++];
        if (stock_word_state(slot->word) == CORE_STATE_HELD)
            status = live_write(s, slot);
    }
    return status;
}

// The ended ids leave: the next id file holds those that end from here on.
static enum hf_status ids_drop(struct core_shadow *s, uint32_t budget)
{
    struct stock_slots *slots = &s->stock.slots;
    uint64_t end = slots_end(s), stop = s->cursor + (uint64_t)budget * DROP_PIECE;
    for (; s->cursor < end && s->cursor < stop; s->cursor++) {
        if (s->cursor + DROP_AHEAD < end) {
            const struct stock_slot *ahead = &slots->slots[s->cursor + DROP_AHEAD];
            if (slot_ended(ahead))
                hf_prefetch_write(stock_bucket(slots, stock_hash(slots, &ahead->id)));
        }
        if (slot_ended(&slots->slots[s->cursor]))
            replay_drop_slot(&s->replay, (uint32_t)s->cursor);
    }
    if (s->cursor >= end) {
        s->phase = FOLLOW;
        s->forced = false;
    }
    return HF_OK;
}

// Refusals for room, at their begin and when there were none for a while.
static void starved_tell(struct core_shadow *s, const struct journal_space *space, bool starved,
                         uint64_t now_ms)
{
    if (starved)
        s->starved_ms = now_ms;
    if (starved && !s->starved_told)
        hf_log(HF_LOG_WARN, "journal_full",
               "usable_bytes=%llu promised_bytes=%llu pressure=%d "
               "note=\"requests that need room are refused as BUSY\"",
               (unsigned long long)space->usable_bytes, (unsigned long long)space->promised_bytes,
               space->pressure);
    else if (s->starved_told && !starved && now_ms - s->starved_ms >= STARVED_TOLD_MS)
        hf_log(HF_LOG_INFO, "journal_room", "usable_bytes=%llu promised_bytes=%llu",
               (unsigned long long)space->usable_bytes, (unsigned long long)space->promised_bytes);
    else
        return;
    s->starved_told = starved;
}

static enum hf_status shadow_step(struct core *c, struct core_shadow *s, uint64_t now_ms,
                                  uint32_t budget)
{
    switch (s->phase) {
    case LOAD:
        return load(c, s, budget);
    case COUNT_IDS:
        return ids_count(c, s, budget);
    case WRITE_IDS:
        return ids_write(c, s, budget);
    case WRITE_BODY:
        return body_write(c, s, budget, now_ms);
    case DROP_IDS:
        return ids_drop(s, budget);
    case FOLLOW:
        break;
    }
    enum hf_status status = follow(c, s, budget);
    if (status != HF_OK && status != HF_AGAIN)
        return status;
    struct journal_space space;
    journal_space(c->journal, &space);
    // A checkpoint frees what was followed since the last one, and costs a pass over all cells: it
    // waits until that is worth it, or nothing is left to follow.
    uint64_t whole = (uint64_t)c->options.journal.segments_max * c->options.journal.segment_bytes;
    bool starved = (hf_load_relaxed(&c->starved) || space.pressure) &&
                   now_ms - s->last_ms >= STARVED_PACE_MS &&
                   (status == HF_AGAIN || s->bytes >= whole / STARVED_PART);
    starved_tell(s, &space, starved, now_ms);
    bool due = starved || s->bytes >= c->options.checkpoint_bytes ||
               now_ms - s->last_ms >= c->options.checkpoint_ms;
    if (s->forced || (due && s->replay.lsn > s->last_lsn)) {
        hf_store_relaxed(&c->starved, 0); // whoever is refused after this one says so again
        count_begin(s);
        return HF_OK;
    }
    if (starved) {
        hf_store_relaxed(&c->starved, 0);
        s->last_ms = now_ms;
        if (s->kept.count)
            keep_publish(c, &s->kept, true);
    }
    return status == HF_AGAIN ? compare_step(c, &s->stock, s->replay.lsn, now_ms, &s->compare)
                              : status;
}

enum hf_status core_step_checkpoint(struct core *c, uint64_t now_ms, uint32_t budget)
{
    struct core_shadow *s = c->shadow;
    enum hf_status status = core_status(c);
    if (status != HF_OK)
        return status;
    status = shadow_step(c, s, now_ms, budget);
    if ((status == HF_NO_SPACE || status == HF_NO_MEMORY) && s->phase != LOAD) {
        // Try again later: what was acknowledged is in the journal all the same.
        if (s->writer)
            chunkfile_abandon(s->writer);
        s->writer = NULL;
        if (s->phase == WRITE_BODY) { // `now` was already made the new checkpoint's
            s->now.count = s->before.count;
            memcpy(s->now.files, s->before.files, s->before.count * sizeof *s->now.files);
        }
        s->phase = FOLLOW;
        s->last_ms = now_ms;
        if (!s->waits)
            hf_log(HF_LOG_WARN, "checkpoint_waits",
                   "status=%s lsn=%llu note=\"no segment is given back until one is written\"",
                   hf_status_name(status), (unsigned long long)s->replay.lsn);
        s->waits = true;
        return HF_AGAIN;
    }
    if (status != HF_OK && status != HF_AGAIN)
        core_stop(c, status);
    return status;
}
