// ErpService, what stands still: status, dead letters, discards, open batches. The flusher belongs
// to one thread; it is asked between two of its steps.
#include "service/erp.h"

#include <string.h>

#define ASK_MS        2000 // the slow lane is one thread
#define PAGE_SIZE     100
#define PAGE_SIZE_MAX 1000

typedef Holdfast__V1__DeadLetter Letter;
typedef Holdfast__V1__Discard Discard;

// ------------------------------------------------------------------------------- shared

void erp_fail(struct rpc_call *call, enum rpc_code code, const char *reason, const char *field,
              const char *message)
{
    struct rpc_error error = rpc_invalid(field, message);
    error.code = code;
    error.reason = reason;
    rpc_fail(call, &error);
}

void erp_fail_memory(struct rpc_call *call)
{
    call_fail_memory(call);
}

void erp_fail_status(struct rpc_call *call, enum hf_status s)
{
    if (s == HF_NO_MEMORY)
        erp_fail_memory(call);
    else if (s == HF_BUSY || s == HF_AGAIN)
        erp_fail(call, RPC_UNAVAILABLE, "BUSY", "", "segments moved meanwhile: ask again");
    else if (s == HF_FULL)
        erp_fail(call, RPC_RESOURCE_EXHAUSTED, "TOO_MUCH", "", "more lines than can be looked at");
    else if (s == HF_NOT_FOUND)
        erp_fail(call, RPC_NOT_FOUND, "EXPIRED", "", "older than what the archive keeps");
    else
        erp_fail(call, RPC_INTERNAL, hf_status_name(s), "", hf_status_help(s));
}

struct flush_desk *erp_desk(struct service_local *l, struct rpc_call *call)
{
    struct flush_desk *d = l->service->options.desk;
    if (!d)
        erp_fail(call, RPC_FAILED_PRECONDITION, "NO_ERP", "",
                 "this server posts to no ERP: odoo_url is not set");
    return d;
}

bool erp_ask(struct service_local *l, struct rpc_call *call, flush_desk_work work, void *ctx)
{
    struct flush_desk *d = erp_desk(l, call);
    if (!d)
        return false;
    enum hf_status s = d->ask(d, work, ctx, ASK_MS);
    if (s == HF_AGAIN)
        erp_fail(call, RPC_UNAVAILABLE, "ERP_SLOW", "",
                 "a call to the ERP takes its time: ask again");
    else if (s != HF_OK)
        erp_fail(call, RPC_FAILED_PRECONDITION, "FLUSHER_ENDED", "",
                 "the flusher has ended: see the log");
    return s == HF_OK;
}

bool erp_cell(struct core *c, struct arena *a, uint32_t handle, char **sku, char **location,
              uint32_t *scale)
{
    struct core_name name;
    struct core_cell cell;
    if (core_cell_name(c, handle, &name) != HF_OK || core_cell_read(c, handle, &cell) != HF_OK)
        return true; // it stays without a name
    *sku = arena_text(a, name.sku, name.sku_bytes);
    *location = arena_text(a, name.location, name.location_bytes);
    *scale = cell.scale;
    return *sku && *location;
}

char *erp_uuid(struct arena *a, struct hf_uuid id)
{
    char text[HF_UUID_TEXT_BYTES] = "";
    if (!hf_uuid_is_nil(id))
        hf_uuid_format(id, text);
    return arena_text(a, text, strlen(text));
}

void *erp_list_grow(struct arena *a, void *list, size_t count, uint32_t *room)
{
    if (count < *room)
        return list;
    uint32_t want = *room ? 2 * *room : 8;
    void *more = arena_take(a, want * sizeof(void *));
    if (more && count)
        memcpy(more, list, count * sizeof(void *));
    *room = more ? want : *room;
    return more;
}

// 0: the call has failed.
static uint32_t page_size(struct rpc_call *call, uint32_t asked)
{
    if (asked > PAGE_SIZE_MAX)
        erp_fail(call, RPC_INVALID_ARGUMENT, NULL, "page_size", "1..1,000");
    return asked > PAGE_SIZE_MAX ? 0 : asked ? asked : PAGE_SIZE;
}

static char *static_text(const char *text)
{
    return (char *)(uintptr_t)text; // protobuf-c's fields are not const
}

// ------------------------------------------------------------------------------- the copy

struct copying {
    struct flush_fates *fates;
    enum hf_status status;
};

static void copy_work(struct flush *f, struct core_worker *w, uint64_t now_ms, void *ctx)
{
    struct copying *k = ctx;
    (void)w, (void)now_ms;
    k->status = flush_fates_create(f, &k->fates);
}

struct flush_fates *erp_fates(struct service_local *l, struct rpc_call *call)
{
    struct copying k = {0};
    if (!erp_ask(l, call, copy_work, &k))
        return NULL;
    if (k.status != HF_OK)
        erp_fail_status(call, k.status);
    return k.status == HF_OK ? k.fates : NULL;
}

// ------------------------------------------------------------------------------- status

void erp_status(void *ctx, void *local, struct rpc_call *call)
{
    Holdfast__V1__GetPostingStatusResponse out = HOLDFAST__V1__GET_POSTING_STATUS_RESPONSE__INIT;
    struct core *c = local_core(local);
    struct flush_desk *d = erp_desk(local, call);
    struct flush_metrics m;
    (void)ctx;
    if (!d)
        return;
    d->metrics(d, &m);
    uint64_t now_ms = core_now(c);
    out.pause = static_text(flush_pause_name((enum flush_pause)m.pause));
    out.pause_help = static_text(flush_pause_help((enum flush_pause)m.pause));
    out.read_lsn = m.read_lsn;
    out.taken_lsn = m.taken_lsn;
    out.durable_lsn = core_durable(c);
    out.lag_ms = m.oldest_ms && m.oldest_ms < now_ms ? (int64_t)(now_ms - m.oldest_ms) : 0;
    out.window_movements = m.window_movements;
    out.window_lines = m.window_lines;
    out.open_batches = m.open_batches;
    out.open_movements = m.open_movements;
    out.dead_letters = m.dead_letters;
    out.batches_posted = m.batches_posted;
    out.lines_posted = m.lines_posted;
    out.calls = m.calls;
    out.calls_failed = m.calls_failed;
    out.discards = m.discards;
    rpc_reply(call, &out.base, 0);
}

// ------------------------------------------------------------------------------- dead letters

static bool letter_fill(struct core *c, struct arena *a, const struct flush_dead_letter *d,
                        Letter *out)
{
    holdfast__v1__dead_letter__init(out);
    out->id = d->id;
    out->kind = static_text(flush_kind_name(d->kind));
    out->quantity = d->quantity;
    out->movements = d->movements;
    out->first_lsn = d->first_lsn;
    out->last_lsn = d->last_lsn;
    out->since_ms = (int64_t)d->since_ms;
    out->dead_ms = (int64_t)d->dead_ms;
    out->batch = d->batch;
    out->cause = static_text(flush_cause_name(d->cause));
    out->cause_help = static_text(flush_cause_help(d->cause));
    out->why = arena_text(a, d->why, strlen(d->why));
    out->retrying = d->retrying;
    return out->why && erp_cell(c, a, d->handle, &out->sku, &out->location, &out->unit_scale);
}

static bool discard_fill(struct core *c, struct arena *a, const struct flush_discarded *d,
                         Discard *out)
{
    holdfast__v1__discard__init(out);
    out->letter = arena_take(a, sizeof *out->letter);
    out->operation_id = erp_uuid(a, d->request_id);
    out->record_id = erp_uuid(a, d->op_id);
    out->time_ms = (int64_t)d->time_ms;
    out->actor = arena_text(a, d->actor, strlen(d->actor));
    out->reason = arena_text(a, d->reason, strlen(d->reason));
    out->booked = d->booked;
    return out->letter && out->operation_id && out->record_id && out->actor && out->reason &&
           letter_fill(c, a, &d->letter, out->letter);
}

struct letters {
    uint64_t after;
    struct flush_dead_letter *list;
    uint32_t count, max;
};

static void letters_work(struct flush *f, struct core_worker *w, uint64_t now_ms, void *ctx)
{
    struct letters *k = ctx;
    (void)w, (void)now_ms;
    k->count = flush_dead_list(f, k->after, k->list, k->max);
}

void erp_letters(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__ListDeadLettersRequest *in = (const void *)call->request;
    Holdfast__V1__ListDeadLettersResponse out = HOLDFAST__V1__LIST_DEAD_LETTERS_RESPONSE__INIT;
    uint32_t size = page_size(call, in->page_size);
    (void)ctx;
    if (!size)
        return;
    struct letters k = {.after = in->after, .max = size};
    k.list = arena_take(&call->arena, size * sizeof *k.list);
    if (!k.list) {
        erp_fail_memory(call);
        return;
    }
    if (!erp_ask(local, call, letters_work, &k))
        return;
    Letter *told = arena_take(&call->arena, (k.count + 1) * sizeof *told);
    out.letters = arena_take(&call->arena, (k.count + 1) * sizeof(void *));
    bool enough = told && out.letters;
    for (uint32_t i = 0; enough && i < k.count; i++) {
        out.letters[i] = &told[i];
        enough = letter_fill(local_core(local), &call->arena, &k.list[i], &told[i]);
    }
    out.n_letters = k.count;
    out.next = k.count == size ? k.list[k.count - 1].id : 0;
    if (enough)
        rpc_reply(call, &out.base, 0);
    else
        erp_fail_memory(call);
}

struct one_letter {
    uint64_t id;
    bool found, discarded;
    struct flush_dead_letter letter;
    struct flush_discarded discard;
};

static void one_letter_work(struct flush *f, struct core_worker *w, uint64_t now_ms, void *ctx)
{
    struct one_letter *k = ctx;
    (void)w, (void)now_ms;
    k->found = flush_dead_list(f, k->id - 1, &k->letter, 1) == 1 && k->letter.id == k->id;
    for (uint32_t i = 0; !k->found && flush_discard_list(f, i, &k->discard, 1) == 1; i++)
        if (k->discard.letter.id == k->id) {
            k->discarded = true;
            return;
        }
}

void erp_letter(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__GetDeadLetterRequest *in = (const void *)call->request;
    Holdfast__V1__GetDeadLetterResponse out = HOLDFAST__V1__GET_DEAD_LETTER_RESPONSE__INIT;
    struct one_letter k = {.id = in->id};
    Letter letter;
    Discard discard;
    (void)ctx;
    if (in->id == 0) {
        erp_fail(call, RPC_INVALID_ARGUMENT, NULL, "id", "not 0");
        return;
    }
    if (!erp_ask(local, call, one_letter_work, &k))
        return;
    if (!k.found && !k.discarded) {
        erp_fail(call, RPC_NOT_FOUND, "UNKNOWN_LETTER", "id", "no dead letter has this id");
        return;
    }
    bool enough = k.found ? letter_fill(local_core(local), &call->arena, &k.letter, &letter)
                          : discard_fill(local_core(local), &call->arena, &k.discard, &discard);
    out.letter = k.found ? &letter : discard.letter;
    out.discard = k.found ? NULL : &discard;
    if (enough)
        rpc_reply(call, &out.base, 0);
    else
        erp_fail_memory(call);
}

// A wish that could not be written down now.
static void wish_refused(struct rpc_call *call, enum hf_status s)
{
    if (s == HF_NO_SPACE)
        erp_fail(call, RPC_UNAVAILABLE, "DISK_FULL", "", "the wish could not be written down");
    else if (s == HF_AGAIN)
        erp_fail(call, RPC_UNAVAILABLE, "RECOVERING", "",
                 "the flusher begins anew after an error of its files: ask again");
    else
        erp_fail_status(call, s);
}

struct retrying {
    uint64_t id;
    enum hf_status status;
};

static void retry_work(struct flush *f, struct core_worker *w, uint64_t now_ms, void *ctx)
{
    struct retrying *k = ctx;
    (void)w;
    k->status = flush_dead_retry(f, k->id, now_ms);
}

void erp_retry(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__RetryDeadLetterRequest *in = (const void *)call->request;
    Holdfast__V1__RetryDeadLetterResponse out = HOLDFAST__V1__RETRY_DEAD_LETTER_RESPONSE__INIT;
    struct retrying k = {.id = in->id};
    (void)ctx;
    if (!erp_ask(local, call, retry_work, &k))
        return;
    if (k.status == HF_OK)
        rpc_reply(call, &out.base, 0);
    else if (k.status == HF_NOT_FOUND)
        erp_fail(call, RPC_NOT_FOUND, "UNKNOWN_LETTER", "id", "no dead letter has this id");
    else
        wish_refused(call, k.status);
}

struct discarding {
    struct flush_discarding wish;
    enum hf_status status;
};

static void discard_work(struct flush *f, struct core_worker *w, uint64_t now_ms, void *ctx)
{
    struct discarding *k = ctx;
    (void)w;
    k->status = flush_dead_discard(f, &k->wish, now_ms);
}

static bool text_ok(const char *text, size_t max)
{
    size_t n = strnlen(text, max + 1);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == '"' || text[i] == 127)
            return false;
    return n > 0 && n <= max;
}

static void discard_refused(struct rpc_call *call, enum hf_status s)
{
    if (s == HF_NOT_FOUND)
        erp_fail(call, RPC_NOT_FOUND, "UNKNOWN_LETTER", "id", "no dead letter has this id");
    else if (s == HF_EXISTS)
        erp_fail(call, RPC_ALREADY_EXISTS, "DISCARDED", "id",
                 "it was discarded by another operation, or the operation discarded another");
    else if (s == HF_FULL)
        erp_fail(call, RPC_RESOURCE_EXHAUSTED, "DISCARDS_FULL", "", "16,384 are kept");
    else if (s == HF_BUSY)
        erp_fail(call, RPC_FAILED_PRECONDITION, "RETRYING", "id", "it is being retried");
    else
        wish_refused(call, s);
}

void erp_discard(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__DiscardDeadLetterRequest *in = (const void *)call->request;
    Holdfast__V1__DiscardDeadLetterResponse out = HOLDFAST__V1__DISCARD_DEAD_LETTER_RESPONSE__INIT;
    struct discarding k = {.wish = {.letter = in->id, .actor = in->actor, .reason = in->reason}};
    struct rpc_error error;
    (void)ctx;
    if (!text_ok(in->actor, FLUSH_ACTOR_BYTES - 1)) {
        erp_fail(call, RPC_INVALID_ARGUMENT, NULL, "actor",
                 "who: 1..47 bytes, no quotes or control characters");
    } else if (!text_ok(in->reason, FLUSH_REASON_BYTES - 1)) {
        erp_fail(call, RPC_INVALID_ARGUMENT, NULL, "reason",
                 "why: 1..159 bytes, no quotes or control characters");
    } else if (!convert_uuid(in->operation_id, "operation_id", &k.wish.request_id, &error)) {
        rpc_fail(call, &error);
    } else if (hf_uuid_version(k.wish.request_id) != 7) {
        erp_fail(call, RPC_INVALID_ARGUMENT, NULL, "operation_id", "a UUID of version 7");
    } else if (erp_ask(local, call, discard_work, &k)) {
        if (k.status == HF_OK)
            rpc_reply(call, &out.base, 0);
        else
            discard_refused(call, k.status);
    }
}

struct discards {
    uint32_t from, count, max;
    struct flush_discarded *list;
};

static void discards_work(struct flush *f, struct core_worker *w, uint64_t now_ms, void *ctx)
{
    struct discards *k = ctx;
    (void)w, (void)now_ms;
    k->count = flush_discard_list(f, k->from, k->list, k->max);
}

void erp_discards(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__ListDiscardsRequest *in = (const void *)call->request;
    Holdfast__V1__ListDiscardsResponse out = HOLDFAST__V1__LIST_DISCARDS_RESPONSE__INIT;
    uint32_t size = page_size(call, in->page_size);
    (void)ctx;
    if (!size)
        return;
    struct discards k = {.from = in->from, .max = size};
    k.list = arena_take(&call->arena, size * sizeof *k.list);
    if (!k.list) {
        erp_fail_memory(call);
        return;
    }
    if (!erp_ask(local, call, discards_work, &k))
        return;
    Discard *told = arena_take(&call->arena, (k.count + 1) * sizeof *told);
    out.discards = arena_take(&call->arena, (k.count + 1) * sizeof(void *));
    bool enough = told && out.discards;
    for (uint32_t i = 0; enough && i < k.count; i++) {
        out.discards[i] = &told[i];
        enough = discard_fill(local_core(local), &call->arena, &k.list[i], &told[i]);
    }
    out.n_discards = k.count;
    out.next = k.count == size ? in->from + size : 0;
    if (enough)
        rpc_reply(call, &out.base, 0);
    else
        erp_fail_memory(call);
}

// ------------------------------------------------------------------------------- open batches

struct open_batches {
    struct flush_open_batch *list;
    uint32_t count;
};

static void batches_work(struct flush *f, struct core_worker *w, uint64_t now_ms, void *ctx)
{
    struct open_batches *k = ctx;
    (void)w, (void)now_ms;
    k->count = flush_open_batches(f, k->list, FLUSH_BATCHES_MAX);
}

static bool batch_fill(struct arena *a, const struct flush_open_batch *b,
                       Holdfast__V1__OpenBatch *out)
{
    holdfast__v1__open_batch__init(out);
    out->number = b->number;
    out->name = arena_text(a, b->name, strlen(b->name));
    out->kind = static_text(flush_kind_name(b->kind));
    out->back = b->back;
    out->booked = b->posted;
    out->step = static_text(b->step);
    out->lines = b->lines;
    out->movements = b->movements;
    out->attempts = b->attempts;
    out->document = b->picking;
    out->retry_at_ms = (int64_t)b->retry_at_ms;
    out->since_ms = (int64_t)b->since_ms;
    out->why = arena_text(a, b->why, strlen(b->why));
    return out->name && out->why;
}

void erp_batches(void *ctx, void *local, struct rpc_call *call)
{
    Holdfast__V1__ListBatchesResponse out = HOLDFAST__V1__LIST_BATCHES_RESPONSE__INIT;
    struct open_batches k = {0};
    (void)ctx;
    k.list = arena_take(&call->arena, FLUSH_BATCHES_MAX * sizeof *k.list);
    if (!k.list) {
        erp_fail_memory(call);
        return;
    }
    if (!erp_ask(local, call, batches_work, &k))
        return;
    Holdfast__V1__OpenBatch *told = arena_take(&call->arena, (k.count + 1) * sizeof *told);
    out.batches = arena_take(&call->arena, (k.count + 1) * sizeof(void *));
    bool enough = told && out.batches;
    for (uint32_t i = 0; enough && i < k.count; i++) {
        out.batches[i] = &told[i];
        enough = batch_fill(&call->arena, &k.list[i], &told[i]);
    }
    out.n_batches = k.count;
    if (enough)
        rpc_reply(call, &out.base, 0);
    else
        erp_fail_memory(call);
}
