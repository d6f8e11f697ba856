// inbound.hfs: a chunk file, replaced as a whole. docs/flush-format.md.
#include "flush/inbound_internal.h"

#include "journal/chunkfile.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME        "inbound.hfs"
#define KIND        "HFINBND"
#define VERSION     2
#define CHUNK_BYTES (256u << 10)

struct head {
    uint64_t watermark_ms, known_ms;
    uint32_t lines, intents, kept, zero;
};
static_assert(sizeof(struct head) == 32, "head");

static int line_order(const void *a, const void *b)
{
    const struct inbound_line *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

struct inbound_line *inbound_find(struct inbound *in, uint32_t id)
{
    struct inbound_line key = {.id = id};
    return in->line_count ? bsearch(&key, in->lines, in->line_count, sizeof key, line_order) : NULL;
}

static enum hf_status state_write(struct inbound *in, uint64_t now_ms)
{
    struct chunkfile_header h = {.version = VERSION,
                                 .engine_id = journal_engine_id(core_journal(in->options.core)),
                                 .time_ms = now_ms};
    struct head head = {.watermark_ms = in->watermark_ms,
                        .known_ms = in->known_ms,
                        .lines = in->line_count,
                        .intents = in->intent_count,
                        .kept = in->kept_count};
    struct chunkfile_writer *w;
    memcpy(h.kind, KIND, sizeof h.kind);
    enum hf_status s = chunkfile_writer_create(in->options.storage, NAME, &h, CHUNK_BYTES, &w);
    if (s != HF_OK)
        return s;
    s = chunkfile_write(w, &head, sizeof head);
    if (s == HF_OK)
        s = chunkfile_write(w, in->lines, in->line_count * sizeof *in->lines);
    if (s == HF_OK)
        s = chunkfile_write(w, in->intents, in->intent_count * sizeof *in->intents);
    if (s == HF_OK)
        s = chunkfile_write(w, in->kept, in->kept_count * sizeof *in->kept);
    if (s == HF_OK)
        return chunkfile_finish(w);
    chunkfile_abandon(w);
    return s;
}

enum hf_status inbound_save(struct inbound *in, uint64_t now_ms)
{
    enum hf_status s = state_write(in, now_ms);
    return s == HF_NO_SPACE || s == HF_NO_MEMORY ? HF_AGAIN : s;
}

// Version 1 knew no mode external.
static enum hf_status lines_read(struct inbound *in, struct chunkfile_reader *r, uint32_t version,
                                 uint32_t count)
{
    const size_t bytes = version == 1 ? offsetof(struct inbound_line, ref) : sizeof *in->lines;
    enum hf_status s = HF_OK;
    for (uint32_t i = 0; i < count && s == HF_OK; i++) {
        in->lines[i] = (struct inbound_line){0};
        s = chunkfile_read(r, &in->lines[i], bytes);
    }
    return s;
}

static enum hf_status kept_read(struct inbound *in, struct chunkfile_reader *r, uint32_t count)
{
    if (count == 0)
        return HF_OK;
    in->kept = calloc(INBOUND_KEPT_MAX, sizeof *in->kept);
    if (!in->kept)
        return HF_NO_MEMORY;
    enum hf_status s = chunkfile_read(r, in->kept, count * sizeof *in->kept);
    for (uint32_t i = 0; i < count && s == HF_OK; i++)
        if (in->kept[i].reference[HF_REFERENCE_BYTES_MAX])
            s = HF_DAMAGED;
    in->kept_count = s == HF_OK ? count : 0;
    return s;
}

static enum hf_status body_read(struct inbound *in, struct chunkfile_reader *r, uint32_t version)
{
    struct head head;
    uint32_t cells = core_cell_count(in->options.core);
    enum hf_status s = chunkfile_read(r, &head, sizeof head);
    if (s == HF_OK && (head.lines > INBOUND_LINES_MAX || head.intents > 6 * INBOUND_LINES_MAX ||
                       head.kept > INBOUND_KEPT_MAX || head.zero))
        s = HF_DAMAGED;
    if (s != HF_OK)
        return s;
    in->line_room = head.lines + 1;
    in->intent_room = head.intents + 1;
    in->lines = malloc(in->line_room * sizeof *in->lines);
    in->intents = malloc(in->intent_room * sizeof *in->intents);
    if (!in->lines || !in->intents)
        return HF_NO_MEMORY;
    s = lines_read(in, r, version, head.lines);
    if (s == HF_OK)
        s = chunkfile_read(r, in->intents, head.intents * sizeof *in->intents);
    if (s == HF_OK)
        s = kept_read(in, r, head.kept);
    for (uint32_t i = 1; i < head.lines && s == HF_OK; i++)
        s = in->lines[i - 1].id < in->lines[i].id ? HF_OK : HF_DAMAGED;
    for (uint32_t i = 0; i < head.intents && s == HF_OK; i++)
        s = in->intents[i].handle < cells ? HF_OK : HF_DAMAGED;
    if (s != HF_OK)
        return s;
    in->watermark_ms = head.watermark_ms;
    in->known_ms = head.known_ms;
    in->line_count = head.lines;
    in->intent_count = head.intents;
    return chunkfile_read_end(r);
}

enum hf_status inbound_load(struct inbound *in, char why[200])
{
    struct chunkfile_header h;
    struct chunkfile_reader *r;
    enum hf_status s =
        chunkfile_reader_create(in->options.storage, NAME, KIND, VERSION,
                                journal_engine_id(core_journal(in->options.core)), &h, &r);
    if (s == HF_OK) {
        s = body_read(in, r, h.version);
        chunkfile_reader_destroy(r);
    }
    if (s != HF_OK)
        snprintf(why, 200, "%s: %s", NAME, hf_status_help(s));
    return s;
}
