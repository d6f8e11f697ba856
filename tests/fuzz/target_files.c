// Checkpoints and id files: damaged as they lie on the disk, with checksums or without, or with
// another content under good checksums.
//
//   byte 0: flags; byte 1: file; then changes as fuzz_patch.h says
#include "fuzz/fuzz_engine.h"
#include "fuzz/fuzz_patch.h"

#include "core/files_format.h"

#include <stdio.h>

#define CHANGES_MAX 16
#define FILES_MAX   8

enum { CONTENT = 1, FIX = 2, EXERCISE = 4, CUT = 8 };

struct stream {
    char name[STORAGE_NAME_BYTES];
    struct chunkfile_header header;
    uint8_t *bytes;
    size_t count;
};
static struct fake_storage *image;
static struct stream streams[FILES_MAX];
static unsigned stream_count;

static void stream_read(const char *name, const char kind[8])
{
    struct stream *s = &streams[stream_count++];
    struct chunkfile_reader *r;
    struct hf_uuid any = {0, 0};
    snprintf(s->name, sizeof s->name, "%s", name);
    HF_ASSERT(chunkfile_reader_create(&image->base, name, kind, CORE_FILE_VERSION, any, &s->header,
                                      &r) == HF_OK);
    uint64_t bytes, count;
    const uint8_t *content = fake_storage_content(image, name, &bytes);
    memcpy(&count, content + bytes - HF_BLOCK + 24, sizeof count); // the trailer tells it
    s->count = count;
    s->bytes = malloc(s->count);
    HF_ASSERT(s->bytes && chunkfile_read(r, s->bytes, s->count) == HF_OK);
    HF_ASSERT(chunkfile_read_end(r) == HF_OK);
    chunkfile_reader_destroy(r);
}

void fuzz_set_up(void)
{
    char names[64][STORAGE_NAME_BYTES];
    image = folder_full();
    uint32_t count = fake_storage_names(image, names, 64);
    HF_ASSERT(count <= 64);
    for (uint32_t i = 0; i < count; i++) {
        if (strncmp(names[i], "ckpt-", 5) == 0)
            stream_read(names[i], CORE_CHECKPOINT_KIND);
        else if (strncmp(names[i], "ids-", 4) == 0)
            stream_read(names[i], CORE_IDS_KIND);
    }
    HF_ASSERT(stream_count >= 2 && stream_count <= FILES_MAX);
}

static void seed(unsigned file, uint8_t flags, unsigned kind, unsigned at, unsigned value)
{
    char name[64];
    uint8_t bytes[] = {flags,
                       (uint8_t)file,
                       (uint8_t)kind,
                       (uint8_t)at,
                       (uint8_t)(at >> 8),
                       (uint8_t)value,
                       1,
                       2,
                       3,
                       4};
    snprintf(name, sizeof name, "file-%u-flags-%u-kind-%u-at-%u", file, flags, kind, at);
    fuzz_seed(name, bytes, sizeof bytes);
}

// Every word of the contents with a special value, and some of each kind in the file as it lies.
void fuzz_seeds(void)
{
    for (unsigned i = 0; i < stream_count; i++) {
        for (unsigned at = 0, n = i; at + 16 < streams[i].count; at += 8, n++)
            seed(i, n % 2 ? CONTENT | EXERCISE : CONTENT, 5, at, n * 3 + 2);
        for (unsigned kind = 0; kind < 7; kind++)
            for (unsigned at = 0; at < 3; at++)
                seed(i, kind % 2 ? FIX : 0, kind, at * 24 + 4096 * (at & 1), 4);
    }
}

static void stream_write(struct world *w, const struct stream *s, struct fuzz_input *in)
{
    struct chunkfile_writer *out;
    uint8_t *copy = malloc(s->count);
    HF_ASSERT(copy);
    memcpy(copy, s->bytes, s->count);
    for (int i = 0; i < CHANGES_MAX && fuzz_left(in) > 0; i++)
        patch_one(in, copy, s->count);
    HF_ASSERT(chunkfile_writer_create(&w->disk->base, s->name, &s->header, HF_BLOCK, &out) ==
              HF_OK);
    HF_ASSERT(chunkfile_write(out, copy, s->count) == HF_OK);
    HF_ASSERT(chunkfile_finish(out) == HF_OK);
    free(copy);
}

static void file_write(struct world *w, const struct stream *s, struct fuzz_input *in,
                       uint8_t flags)
{
    size_t bytes;
    uint8_t *copy = patch_read(w->disk, s->name, &bytes);
    for (int i = 0; i < CHANGES_MAX && fuzz_left(in) > 0; i++)
        patch_one(in, copy, bytes);
    if (flags & CUT)
        bytes -= HF_BLOCK;
    if (flags & FIX)
        patch_fix_chunkfile(copy, bytes);
    patch_write(w->disk, s->name, copy, bytes);
    free(copy);
}

void fuzz_one(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, data + bytes};
    struct engine_cells cells;
    struct world w;
    uint8_t flags = fuzz_byte(&in);
    const struct stream *s = &streams[fuzz_byte(&in) % stream_count];
    folder_clone(&w, image);
    fake_clock_advance_ms(&w.clock, 4000);
    if (flags & CONTENT)
        stream_write(&w, s, &in);
    else
        file_write(&w, s, &in, flags);
    if (engine_start(&w, &cells)) {
        if (flags & EXERCISE)
            engine_exercise(&w);
        else
            engine_restart(&w, &cells);
    }
    world_fini(&w);
}
