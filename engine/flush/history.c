// A file begins with a head of 64 bytes; entries follow, each with its lines. The first that is not
// whole is the end: whatever was told as durable lies before it, and the writer goes on there.
#include "flush/history.h"

#include "flush/flush_internal.h"

#include "base/crc32c.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAGIC   "HFPOSTED"
#define VERSION 1
#define PREFIX  "posted-"
#define SUFFIX  ".hfp"
#define RENEWED "posted.new"

#define PIECE_BYTES (64u << 10)

struct file_head {
    char magic[8];
    uint32_t version, crc; // crc: of what follows
    struct hf_uuid engine_id;
    uint64_t day, zero[3];
};
static_assert(sizeof(struct file_head) == 64, "head");

struct entry_room {
    struct history_entry e;
    struct flush_line lines[HF_LINES_MAX];
};

static void file_name(uint64_t day, char name[STORAGE_NAME_BYTES])
{
    time_t seconds = (time_t)(day * (HISTORY_DAY_MS / 1000));
    struct tm utc;
    char text[16];
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%Y%m%d", &utc);
    snprintf(name, STORAGE_NAME_BYTES, PREFIX "%s" SUFFIX, text);
}

static uint32_t entry_crc(const struct history_entry *e, const struct flush_line *lines)
{
    uint32_t c = hf_crc32c(0, (const char *)e + sizeof e->crc, sizeof *e - sizeof e->crc);
    return hf_crc32c(c, lines, e->lines * sizeof *lines);
}

// ------------------------------------------------------------------------------- reading

// HF_NOT_FOUND: the file ends here.
static enum hf_status entry_read(struct storage *s, int file, uint64_t at, struct entry_room *room)
{
    size_t done, bytes;
    enum hf_status st = s->ops->pread(s, file, &room->e, sizeof room->e, at, &done);
    if (st != HF_OK)
        return st;
    if (done < sizeof room->e || room->e.lines == 0 || room->e.lines > HF_LINES_MAX)
        return HF_NOT_FOUND;
    bytes = room->e.lines * sizeof *room->lines;
    st = s->ops->pread(s, file, room->lines, bytes, at + sizeof room->e, &done);
    if (st != HF_OK)
        return st;
    return done == bytes && entry_crc(&room->e, room->lines) == room->e.crc ? HF_OK : HF_NOT_FOUND;
}

// HF_NOT_FOUND: the head was never whole, so nothing was told.
static enum hf_status head_read(struct storage *s, int file, struct hf_uuid engine_id)
{
    struct file_head h;
    size_t done;
    enum hf_status st = s->ops->pread(s, file, &h, sizeof h, 0, &done);
    if (st != HF_OK)
        return st;
    if (done < sizeof h || memcmp(h.magic, MAGIC, sizeof h.magic) != 0 ||
        hf_crc32c(0, &h.engine_id, sizeof h - offsetof(struct file_head, engine_id)) != h.crc)
        return HF_NOT_FOUND;
    if (h.version > VERSION)
        return HF_TOO_NEW;
    return hf_uuid_equal(h.engine_id, engine_id) ? HF_OK : HF_FOREIGN;
}

static enum hf_status file_walk(struct storage *s, int file, struct entry_room *room,
                                history_visit visit, void *ctx, uint64_t *end)
{
    enum hf_status st = HF_OK;
    *end = sizeof(struct file_head);
    while ((st = entry_read(s, file, *end, room)) == HF_OK) {
        st = visit ? visit(ctx, &room->e, room->lines) : HF_OK;
        if (st != HF_OK)
            return st;
        *end += sizeof room->e + room->e.lines * sizeof *room->lines;
    }
    return st == HF_NOT_FOUND ? HF_OK : st;
}

enum hf_status history_walk(struct storage *s, struct hf_uuid engine_id, uint64_t first_day,
                            uint64_t last_day, history_visit visit, void *ctx)
{
    struct entry_room *room = malloc(sizeof *room);
    enum hf_status st = room ? HF_OK : HF_NO_MEMORY;
    for (uint64_t day = first_day; day <= last_day && st == HF_OK; day++) {
        char name[STORAGE_NAME_BYTES];
        int file;
        uint64_t end;
        file_name(day, name);
        st = s->ops->open(s, name, STORAGE_READ, &file);
        if (st == HF_NOT_FOUND) {
            st = HF_OK;
            continue;
        }
        if (st != HF_OK)
            break;
        st = head_read(s, file, engine_id);
        st = st == HF_OK          ? file_walk(s, file, room, visit, ctx, &end)
             : st == HF_NOT_FOUND ? HF_OK
                                  : st;
        s->ops->close(s, file);
    }
    free(room);
    return st;
}

// ------------------------------------------------------------------------------- writing

void history_init(struct history *h, struct storage *s, struct hf_uuid engine_id)
{
    *h = (struct history){.storage = s, .engine_id = engine_id, .file = -1};
}

void history_fini(struct history *h)
{
    if (h->file >= 0)
        h->storage->ops->close(h->storage, h->file);
    h->file = -1;
}

static enum hf_status head_write(struct history *h)
{
    struct storage *s = h->storage;
    struct file_head head = {.version = VERSION, .engine_id = h->engine_id, .day = h->day};
    memcpy(head.magic, MAGIC, sizeof head.magic);
    head.crc = hf_crc32c(0, &head.engine_id, sizeof head - offsetof(struct file_head, engine_id));
    enum hf_status st = s->ops->pwrite(s, h->file, &head, sizeof head, 0);
    if (st == HF_OK)
        st = s->ops->sync(s, h->file);
    if (st == HF_OK)
        st = s->ops->sync_folder(s);
    h->at = sizeof head;
    return st;
}

static enum hf_status file_open(struct history *h, uint64_t day)
{
    struct storage *s = h->storage;
    char name[STORAGE_NAME_BYTES];
    history_fini(h);
    h->day = day;
    file_name(day, name);
    enum hf_status st = s->ops->open(s, name, STORAGE_READ | STORAGE_WRITE, &h->file);
    if (st == HF_NOT_FOUND)
        st = s->ops->open(s, name, STORAGE_READ | STORAGE_WRITE | STORAGE_CREATE, &h->file);
    if (st != HF_OK) {
        h->file = -1;
        return st;
    }
    struct entry_room *room = malloc(sizeof *room);
    st = room ? head_read(s, h->file, h->engine_id) : HF_NO_MEMORY;
    st = st == HF_OK          ? file_walk(s, h->file, room, NULL, NULL, &h->at)
         : st == HF_NOT_FOUND ? head_write(h)
                              : st;
    free(room);
    if (st != HF_OK)
        history_fini(h);
    return st;
}

enum hf_status history_append(struct history *h, struct history_entry *e,
                              const struct flush_line *lines)
{
    struct storage *s = h->storage;
    uint64_t day = e->posted_ms / HISTORY_DAY_MS;
    size_t bytes = e->lines * sizeof *lines;
    enum hf_status st = h->file >= 0 && h->day == day ? HF_OK : file_open(h, day);
    struct entry_room *room = st == HF_OK ? malloc(sizeof *room) : NULL;
    if (!room)
        return st == HF_OK ? HF_NO_MEMORY : st;
    e->crc = entry_crc(e, lines);
    room->e = *e;
    memcpy(room->lines, lines, bytes);
    st = s->ops->pwrite(s, h->file, room, sizeof *e + bytes, h->at);
    free(room);
    if (st == HF_OK)
        st = s->ops->sync(s, h->file);
    if (st == HF_OK)
        h->at += sizeof *e + bytes;
    return st;
}

static enum hf_status file_copy(struct storage *s, int from, int to, uint64_t bytes)
{
    enum hf_status st = HF_OK;
    unsigned char *piece = malloc(PIECE_BYTES);
    if (!piece)
        return HF_NO_MEMORY;
    for (uint64_t at = 0; at < bytes && st == HF_OK; at += PIECE_BYTES) {
        size_t n = bytes - at < PIECE_BYTES ? (size_t)(bytes - at) : PIECE_BYTES, done;
        st = s->ops->pread(s, from, piece, n, at, &done);
        if (st == HF_OK && done < n)
            st = HF_IO; // it was there a moment ago
        if (st == HF_OK)
            st = s->ops->pwrite(s, to, piece, n, at);
    }
    free(piece);
    return st == HF_OK ? s->ops->sync(s, to) : st;
}

static enum hf_status file_replace(struct history *h, int from, const char *name, uint64_t bytes)
{
    struct storage *s = h->storage;
    int to;
    enum hf_status st = s->ops->unlink(s, RENEWED);
    if (st == HF_OK || st == HF_NOT_FOUND)
        st = s->ops->open(s, RENEWED, STORAGE_READ | STORAGE_WRITE | STORAGE_CREATE, &to);
    if (st != HF_OK)
        return st;
    st = file_copy(s, from, to, bytes);
    s->ops->close(s, to);
    if (st == HF_OK)
        st = s->ops->rename(s, RENEWED, name);
    return st == HF_OK ? s->ops->sync_folder(s) : st;
}

enum hf_status history_renew(struct history *h)
{
    struct storage *s = h->storage;
    char name[STORAGE_NAME_BYTES];
    uint64_t end;
    int file;
    history_fini(h);
    if (h->day == 0)
        return HF_OK; // nothing was written
    file_name(h->day, name);
    enum hf_status st = s->ops->open(s, name, STORAGE_READ, &file);
    if (st != HF_OK)
        return st == HF_NOT_FOUND ? HF_OK : st;
    struct entry_room *room = malloc(sizeof *room);
    st = room ? head_read(s, file, h->engine_id) : HF_NO_MEMORY;
    bool whole = st != HF_NOT_FOUND; // else nothing was told
    if (st == HF_OK)
        st = file_walk(s, file, room, NULL, NULL, &end);
    if (st == HF_OK)
        st = file_replace(h, file, name, end);
    free(room);
    s->ops->close(s, file);
    return whole ? st : s->ops->unlink(s, name);
}

struct expiring {
    char oldest[STORAGE_NAME_BYTES]; // the first that is kept
    char found[STORAGE_NAME_BYTES];
};

static void expired_find(void *ctx, const char *name)
{
    struct expiring *k = ctx;
    size_t n = strlen(name);
    if (n == strlen(k->oldest) && strncmp(name, PREFIX, strlen(PREFIX)) == 0 &&
        strcmp(name + n - strlen(SUFFIX), SUFFIX) == 0 && strcmp(name, k->oldest) < 0)
        snprintf(k->found, sizeof k->found, "%s", name);
}

enum hf_status history_expire(struct history *h, uint64_t first_day)
{
    struct expiring k;
    file_name(first_day, k.oldest);
    for (;;) {
        k.found[0] = '\0';
        enum hf_status st = h->storage->ops->list(h->storage, expired_find, &k);
        if (st != HF_OK || k.found[0] == '\0')
            return st;
        st = h->storage->ops->unlink(h->storage, k.found);
        if (st != HF_OK && st != HF_NOT_FOUND)
            return st;
    }
}

// ------------------------------------------------------------------------------- the flusher's

bool history_note(struct flush *f, const struct flush_batch *b, struct hf_uuid op_id,
                  uint64_t now_ms)
{
    struct history_entry e = {.lines = b->line_count,
                              .number = b->number,
                              .hash = b->hash,
                              .incarnation = f->incarnation,
                              .op_id = op_id,
                              .posted_ms = now_ms,
                              .company = b->company,
                              .type = b->type,
                              .source = b->source,
                              .destination = b->destination,
                              .picking = b->picking,
                              .attempts = b->attempts,
                              .kind = (uint8_t)b->kind,
                              .back = b->back};
    uint64_t day = now_ms / HISTORY_DAY_MS, keep = f->options.history_days;
    if (day != f->history.day && day > keep && history_expire(&f->history, day - keep) != HF_OK)
        hf_log(HF_LOG_WARN, "flush_history", "note=\"old files could not be removed\"");
    enum hf_status s = history_append(&f->history, &e, b->lines);
    if (s == HF_NO_SPACE)
        flush_hold(f, FLUSH_PAUSE_DISK_FULL, now_ms, hf_status_help(s));
    else if (s != HF_OK && s != HF_NO_MEMORY)
        flush_fail(f, s, "what was posted could not be written down");
    return s == HF_OK;
}
