// The archive's side of the journal: which segment is next, and its records as a source.
#include "journal/archive_internal.h"

#include <stdlib.h>

#define CLOSED_FIRST 64u // room for that many segments at first

static enum hf_status reader_next(void *ctx, journal_visit visit, void *visit_ctx)
{
    return journal_reader_step(ctx, 1, visit, visit_ctx);
}

// All closed segments into a->closed.
static enum hf_status closed_list(struct archive *a, struct journal *j, uint32_t *count)
{
    for (;;) {
        if (a->closed_capacity) {
            *count = journal_closed_segments(j, a->closed, a->closed_capacity);
            if (*count < a->closed_capacity)
                return HF_OK;
        }
        const uint32_t capacity = a->closed_capacity ? 2 * a->closed_capacity : CLOSED_FIRST;
        struct journal_segment *grown = realloc(a->closed, capacity * sizeof *grown);
        if (!grown)
            return HF_NO_MEMORY;
        a->closed = grown;
        a->closed_capacity = capacity;
    }
}

static enum hf_status segment_begin(struct archive *a, struct journal *j)
{
    uint32_t count, i = 0;
    enum hf_status status = closed_list(a, j, &count);
    if (status != HF_OK)
        return status;
    const uint64_t done = archive_lsn(a);
    // A segment of empty groups only has no LSNs.
    while (i < count && (a->closed[i].last_lsn <= done || !a->closed[i].first_lsn ||
                         a->closed[i].last_lsn < a->closed[i].first_lsn))
        i++;
    if (i == count)
        return HF_AGAIN;
    a->behind = count - i;
    status = archive_take_begin(a, &a->closed[i]);
    if (status != HF_OK)
        return status;
    status = journal_reader_create(j, a->closed[i].first_lsn - 1, &a->source);
    if (status != HF_OK)
        archive_take_abandon(a);
    // Segments are kept until they are archived: one that is gone is lost.
    return archive_fail(a, status == HF_NOT_FOUND ? HF_DAMAGED : status, "open");
}

enum hf_status archive_step(struct archive *a, struct journal *j)
{
    enum hf_status status = a->failed;
    if (status == HF_OK && !a->writer)
        status = segment_begin(a, j);
    if (status != HF_OK)
        return status;
    const struct archive_source source = {reader_next, a->source};
    status = archive_take_step(a, &source);
    if (!a->writer) {
        journal_reader_destroy(a->source);
        a->source = NULL;
    }
    return status;
}

void archive_destroy(struct archive *a)
{
    if (!a)
        return;
    archive_take_abandon(a);
    if (a->source)
        journal_reader_destroy(a->source);
    lock_fini(&a->lock);
    free(a->closed);
    free(a->files);
    free(a);
}
