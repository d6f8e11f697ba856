// Layout (docs/archive-format.md): a header block, chunks, a trailer block; every part is a
// multiple of 4 KiB, so that files are written past the page cache and a checkpoint never leaves
// a mountain of dirty pages in front of the journal's next sync.
//
//    0        4096                                                size - 4096
//    +--------+---------------+---------------+-----+------------+---------+
//    | header | chunk 0       | chunk 1       | ... | last chunk | trailer |
//    +--------+---------------+---------------+-----+------------+---------+
//
// Every byte of the file is under a checksum. Each chunk and the trailer name the checksum of what
// stands before them (the chain starts at the header), so a chunk of another place or another file
// does not fit. Chunks are full but for the last, so the file's size fixes where each begins.
#include "journal/chunkfile.h"

#include "base/crc32c.h"
#include "base/limits.h"
#include "base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES_MAX (64u << 20)

static const char header_magic[8] = "HFCHUNKS";
static const char trailer_magic[8] = "HFCHKEND";
#define CHUNK_MAGIC 0x4b434648u // "HFCK"
#define LAYOUT      1u          // of this container; chunkfile_header.version is its content's

struct disk_header {
    char magic[8];
    uint32_t crc; // CRC32C of the block from offset 12 on
    uint32_t layout;
    char kind[8];
    uint32_t version;
    uint32_t chunk_bytes;
    uint64_t engine_hi, engine_lo;
    uint64_t lsn;
    uint64_t time_ms;
    unsigned char zero[HF_BLOCK - 64];
};
static_assert(sizeof(struct disk_header) == HF_BLOCK, "header block");
static_assert(offsetof(struct disk_header, layout) == 12, "the crc covers the rest");
static_assert(offsetof(struct disk_header, time_ms) == 56, "no padding");

struct disk_chunk {
    uint32_t magic;
    uint32_t crc;      // CRC32C from offset 8 to the chunk's end, padding included
    uint64_t number;   // 0, 1, 2 ...
    uint32_t bytes;    // of the stream in this chunk; zeros follow up to a multiple of 4 KiB
    uint32_t previous; // crc of the part before
    uint64_t position; // in the stream, of the first byte
};
static_assert(sizeof(struct disk_chunk) == 32, "chunk header");
static_assert(offsetof(struct disk_chunk, number) == 8, "the crc covers the rest");

struct disk_trailer {
    char magic[8];
    uint32_t crc; // CRC32C of the block from offset 12 on
    uint32_t previous;
    uint64_t chunks;
    uint64_t bytes; // of the stream
    unsigned char zero[HF_BLOCK - 32];
};
static_assert(sizeof(struct disk_trailer) == HF_BLOCK, "trailer block");
static_assert(offsetof(struct disk_trailer, previous) == 12, "the crc covers the rest");

static uint32_t block_crc(const void *block)
{
    return hf_crc32c(0, (const char *)block + 12, HF_BLOCK - 12);
}

static uint32_t chunk_crc(const void *chunk, size_t bytes)
{
    return hf_crc32c(0, (const char *)chunk + 8, bytes - 8);
}

static size_t block_round(size_t bytes)
{
    return (bytes + HF_BLOCK - 1) / HF_BLOCK * HF_BLOCK;
}

// ------------------------------------------------------------------------------------- writing

struct chunkfile_writer {
    struct storage *storage;
    unsigned char *buffer; // one chunk, 4 KiB-aligned
    uint32_t chunk_bytes;
    uint32_t fill; // bytes in buffer, the chunk's header included
    uint32_t previous;
    int file;
    enum hf_status status; // the first failure; everything after it is refused
    uint64_t chunks, position, offset;
    char name[STORAGE_NAME_BYTES];
    char temporary[STORAGE_NAME_BYTES];
};

static void writer_free(struct chunkfile_writer *w, bool remove)
{
    if (w->file >= 0)
        w->storage->ops->close(w->storage, w->file);
    if (remove)
        (void)w->storage->ops->unlink(w->storage, w->temporary);
    free(w->buffer);
    free(w);
}

static enum hf_status temporary_open(struct chunkfile_writer *w)
{
    struct storage *s = w->storage;
    const unsigned flags = STORAGE_READ | STORAGE_WRITE | STORAGE_CREATE | STORAGE_DIRECT;
    enum hf_status status = s->ops->open(s, w->temporary, flags, &w->file);
    if (status != HF_EXISTS)
        return status;
    status = s->ops->unlink(s, w->temporary);
    return status != HF_OK ? status : s->ops->open(s, w->temporary, flags, &w->file);
}

static enum hf_status header_write(struct chunkfile_writer *w, const struct chunkfile_header *h)
{
    struct disk_header *d = (struct disk_header *)w->buffer;
    memset(d, 0, sizeof *d);
    memcpy(d->magic, header_magic, sizeof d->magic);
    memcpy(d->kind, h->kind, sizeof d->kind);
    d->layout = LAYOUT;
    d->version = h->version;
    d->chunk_bytes = w->chunk_bytes;
    d->engine_hi = h->engine_id.hi;
    d->engine_lo = h->engine_id.lo;
    d->lsn = h->lsn;
    d->time_ms = h->time_ms;
    d->crc = block_crc(d);
    w->previous = d->crc;
    w->offset = HF_BLOCK;
    w->fill = sizeof(struct disk_chunk);
    return w->storage->ops->pwrite(w->storage, w->file, d, HF_BLOCK, 0);
}

enum hf_status chunkfile_writer_create(struct storage *s, const char *name,
                                       const struct chunkfile_header *h, uint32_t chunk_bytes,
                                       struct chunkfile_writer **out)
{
    *out = NULL;
    if (chunk_bytes == 0 || chunk_bytes % HF_BLOCK || chunk_bytes > CHUNK_BYTES_MAX ||
        strlen(name) + sizeof ".tmp" > STORAGE_NAME_BYTES)
        return HF_INVALID;
    struct chunkfile_writer *w = calloc(1, sizeof *w);
    if (!w)
        return HF_NO_MEMORY;
    w->storage = s;
    w->chunk_bytes = chunk_bytes;
    w->file = -1;
    snprintf(w->name, sizeof w->name, "%s", name);
    snprintf(w->temporary, sizeof w->temporary, "%.58s.tmp", name);
    w->buffer = aligned_alloc(HF_BLOCK, chunk_bytes);
    if (!w->buffer) {
        writer_free(w, false);
        return HF_NO_MEMORY;
    }
    enum hf_status status = temporary_open(w);
    bool made = status == HF_OK;
    if (made)
        status = header_write(w, h);
    if (status != HF_OK) {
        writer_free(w, made);
        return status;
    }
    *out = w;
    return HF_OK;
}

static enum hf_status chunk_flush(struct chunkfile_writer *w)
{
    const size_t bytes = block_round(w->fill);
    memset(w->buffer + w->fill, 0, bytes - w->fill);
    struct disk_chunk *d = (struct disk_chunk *)w->buffer;
    d->magic = CHUNK_MAGIC;
    d->number = w->chunks;
    d->bytes = w->fill - (uint32_t)sizeof *d;
    d->previous = w->previous;
    d->position = w->position;
    d->crc = chunk_crc(d, bytes);
    enum hf_status status = HF_OK;
    for (size_t at = 0, piece; at < bytes && status == HF_OK; at += piece) {
        piece = bytes - at < STORAGE_PIECE_BYTES ? bytes - at : STORAGE_PIECE_BYTES;
        status =
            w->storage->ops->pwrite(w->storage, w->file, w->buffer + at, piece, w->offset + at);
    }
    w->previous = d->crc;
    w->position += d->bytes;
    w->chunks++;
    w->offset += bytes;
    w->fill = sizeof *d;
    return status;
}

enum hf_status chunkfile_write(struct chunkfile_writer *w, const void *data, size_t bytes)
{
    const unsigned char *from = data;
    while (bytes && w->status == HF_OK) {
        size_t n = w->chunk_bytes - w->fill;
        if (n > bytes)
            n = bytes;
        memcpy(w->buffer + w->fill, from, n);
        w->fill += (uint32_t)n;
        from += n;
        bytes -= n;
        if (w->fill == w->chunk_bytes)
            w->status = chunk_flush(w);
    }
    return w->status;
}

static enum hf_status trailer_write(struct chunkfile_writer *w)
{
    struct disk_trailer *d = (struct disk_trailer *)w->buffer;
    memset(d, 0, sizeof *d);
    memcpy(d->magic, trailer_magic, sizeof d->magic);
    d->previous = w->previous;
    d->chunks = w->chunks;
    d->bytes = w->position;
    d->crc = block_crc(d);
    return w->storage->ops->pwrite(w->storage, w->file, d, HF_BLOCK, w->offset);
}

enum hf_status chunkfile_finish(struct chunkfile_writer *w)
{
    struct storage *s = w->storage;
    enum hf_status status = w->status;
    if (status == HF_OK && w->fill > sizeof(struct disk_chunk))
        status = chunk_flush(w);
    if (status == HF_OK)
        status = trailer_write(w);
    if (status == HF_OK)
        status = s->ops->sync(s, w->file);
    s->ops->close(s, w->file);
    w->file = -1;
    if (status == HF_OK)
        status = s->ops->rename(s, w->temporary, w->name);
    bool remove = status != HF_OK;
    if (status == HF_OK)
        status = s->ops->sync_folder(s);
    writer_free(w, remove);
    return status;
}

void chunkfile_abandon(struct chunkfile_writer *w)
{
    if (w)
        writer_free(w, true);
}

// ------------------------------------------------------------------------------------- reading

struct chunkfile_reader {
    struct storage *storage;
    unsigned char *buffer; // one chunk, 4 KiB-aligned
    uint32_t chunk_bytes;
    uint32_t at, end; // of what is left in buffer
    uint32_t previous;
    uint32_t last_crc; // that the trailer names
    int file;
    enum hf_status status;     // the first failure
    uint64_t chunks, position; // consumed from the file so far
    uint64_t chunks_total, bytes_total;
    uint64_t offset;      // of the chunk in hand
    uint64_t next_offset; // of the one after it
    uint64_t body_end;    // where the trailer begins
    char name[STORAGE_NAME_BYTES];
};

static enum hf_status damaged(struct chunkfile_reader *r, uint64_t offset, const char *why)
{
    r->offset = offset;
    hf_log(HF_LOG_ERROR, "chunkfile_damaged", "file=%s offset=%" PRIu64 " why=\"%s\"", r->name,
           offset, why);
    return HF_DAMAGED;
}

static enum hf_status block_read(struct chunkfile_reader *r, size_t bytes, uint64_t offset)
{
    size_t done = 0;
    enum hf_status status =
        r->storage->ops->pread(r->storage, r->file, r->buffer, bytes, offset, &done);
    if (status == HF_OK && done != bytes)
        status = damaged(r, offset, "the file ends early");
    return status;
}

static enum hf_status header_check(struct chunkfile_reader *r, const char kind[8],
                                   uint32_t max_version, struct hf_uuid expected,
                                   struct chunkfile_header *h)
{
    enum hf_status status = block_read(r, HF_BLOCK, 0);
    if (status != HF_OK)
        return status;
    const struct disk_header *d = (const struct disk_header *)r->buffer;
    if (memcmp(d->magic, header_magic, sizeof d->magic) != 0)
        return damaged(r, 0, "not a chunk file");
    if (d->crc != block_crc(d))
        return damaged(r, 0, "the header's checksum fails");
    if (memcmp(d->kind, kind, sizeof d->kind) != 0)
        return damaged(r, 0, "a file of another kind stands under this name");
    if (d->layout > LAYOUT || d->version > max_version)
        return HF_TOO_NEW;
    struct hf_uuid engine = {d->engine_hi, d->engine_lo};
    if (!hf_uuid_is_nil(expected) && !hf_uuid_equal(engine, expected))
        return HF_FOREIGN;
    if (d->layout != LAYOUT || d->chunk_bytes == 0 || d->chunk_bytes % HF_BLOCK ||
        d->chunk_bytes > CHUNK_BYTES_MAX)
        return damaged(r, 0, "the header's chunk size is out of range");
    *h = (struct chunkfile_header){.version = d->version, .engine_id = engine};
    memcpy(h->kind, d->kind, sizeof h->kind);
    h->lsn = d->lsn;
    h->time_ms = d->time_ms;
    r->chunk_bytes = d->chunk_bytes;
    r->previous = d->crc;
    return HF_OK;
}

// The trailer is checked first: a lost tail shows before any of the stream is handed out.
static enum hf_status trailer_check(struct chunkfile_reader *r)
{
    enum hf_status status = block_read(r, HF_BLOCK, r->body_end);
    if (status != HF_OK)
        return status;
    const struct disk_trailer *d = (const struct disk_trailer *)r->buffer;
    if (memcmp(d->magic, trailer_magic, sizeof d->magic) != 0 || d->crc != block_crc(d))
        return damaged(r, r->body_end, "no trailer at the end of the file");
    const uint64_t body = r->body_end - HF_BLOCK;
    const uint64_t chunk_payload = r->chunk_bytes - sizeof(struct disk_chunk);
    if (d->chunks != (body + r->chunk_bytes - 1) / r->chunk_bytes ||
        d->bytes > d->chunks * chunk_payload)
        return damaged(r, r->body_end, "the file's size contradicts its trailer");
    r->chunks_total = d->chunks;
    r->bytes_total = d->bytes;
    r->last_crc = d->previous;
    return HF_OK;
}

static enum hf_status reader_open(struct chunkfile_reader *r, const char kind[8],
                                  uint32_t max_version, struct hf_uuid expected,
                                  struct chunkfile_header *h)
{
    struct storage *s = r->storage;
    uint64_t size = 0;
    enum hf_status status = s->ops->open(s, r->name, STORAGE_READ | STORAGE_DIRECT, &r->file);
    if (status != HF_OK)
        return status;
    status = s->ops->size(s, r->file, &size);
    if (status != HF_OK)
        return status;
    if (size < 2 * HF_BLOCK || size % HF_BLOCK)
        return damaged(r, size, "the file's size is not that of a whole file");
    r->body_end = size - HF_BLOCK;
    r->buffer = aligned_alloc(HF_BLOCK, HF_BLOCK);
    if (!r->buffer)
        return HF_NO_MEMORY;
    status = header_check(r, kind, max_version, expected, h);
    if (status == HF_OK)
        status = trailer_check(r);
    if (status != HF_OK)
        return status;
    free(r->buffer);
    r->buffer = aligned_alloc(HF_BLOCK, r->chunk_bytes);
    r->next_offset = r->offset = HF_BLOCK;
    return r->buffer ? HF_OK : HF_NO_MEMORY;
}

enum hf_status chunkfile_reader_create(struct storage *s, const char *name, const char kind[8],
                                       uint32_t max_version, struct hf_uuid expected,
                                       struct chunkfile_header *h, struct chunkfile_reader **out)
{
    *out = NULL;
    if (strlen(name) >= STORAGE_NAME_BYTES)
        return HF_INVALID;
    struct chunkfile_reader *r = calloc(1, sizeof *r);
    if (!r)
        return HF_NO_MEMORY;
    r->storage = s;
    r->file = -1;
    snprintf(r->name, sizeof r->name, "%s", name);
    enum hf_status status = reader_open(r, kind, max_version, expected, h);
    if (status != HF_OK) {
        chunkfile_reader_destroy(r);
        return status;
    }
    *out = r;
    return HF_OK;
}

void chunkfile_reader_destroy(struct chunkfile_reader *r)
{
    if (!r)
        return;
    if (r->file >= 0)
        r->storage->ops->close(r->storage, r->file);
    free(r->buffer);
    free(r);
}

static enum hf_status chunk_next(struct chunkfile_reader *r)
{
    if (r->next_offset == r->body_end)
        return damaged(r, r->body_end, "the stream ends early");
    uint64_t bytes = r->body_end - r->next_offset;
    const bool last = bytes <= r->chunk_bytes;
    if (!last)
        bytes = r->chunk_bytes;
    r->offset = r->next_offset;
    enum hf_status status = block_read(r, bytes, r->offset);
    if (status != HF_OK)
        return status;
    const struct disk_chunk *d = (const struct disk_chunk *)r->buffer;
    if (d->magic != CHUNK_MAGIC || d->crc != chunk_crc(d, bytes))
        return damaged(r, r->offset, "a chunk's checksum fails");
    if (d->number != r->chunks || d->previous != r->previous || d->position != r->position)
        return damaged(r, r->offset, "a chunk stands where another belongs");
    const size_t payload = bytes - sizeof *d;
    if (d->bytes == 0 || d->bytes > payload || (!last && d->bytes != payload))
        return damaged(r, r->offset, "a chunk's length contradicts its place");
    r->at = sizeof *d;
    r->end = (uint32_t)sizeof *d + d->bytes;
    r->previous = d->crc;
    r->position += d->bytes;
    r->chunks++;
    r->next_offset += bytes;
    return HF_OK;
}

enum hf_status chunkfile_read(struct chunkfile_reader *r, void *data, size_t bytes)
{
    unsigned char *to = data;
    while (r->status == HF_OK) {
        size_t n = r->end - r->at;
        if (n > bytes)
            n = bytes;
        memcpy(to, r->buffer + r->at, n);
        r->at += (uint32_t)n;
        to += n;
        bytes -= n;
        if (!bytes)
            break;
        r->status = chunk_next(r);
    }
    return r->status;
}

enum hf_status chunkfile_read_end(struct chunkfile_reader *r)
{
    if (r->status != HF_OK)
        return r->status;
    if (r->at != r->end || r->next_offset != r->body_end)
        r->status = damaged(r, r->offset, "the stream goes on after its expected end");
    else if (r->chunks != r->chunks_total || r->position != r->bytes_total ||
             r->previous != r->last_crc)
        r->status = damaged(r, r->body_end, "the trailer contradicts the chunks");
    return r->status;
}

uint64_t chunkfile_offset(const struct chunkfile_reader *r)
{
    return r->offset;
}
