#include "core/core_internal.h"

#include <string.h>

// A line to be sorted: its cell, then its place in the request.
static uint64_t sort_key(uint32_t cell, uint32_t place)
{
    return ((uint64_t)cell << 32) | place;
}

static void sift_down(uint64_t *k, uint32_t root, uint32_t count)
{
    for (uint32_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && k[child] < k[child + 1])
            child++;
        if (k[root] >= k[child])
            return;
        uint64_t swap = k[root];
        k[root] = k[child];
        k[child] = swap;
    }
}

// Insertion for baskets, heap sort for the widest: no recursion, no memory.
static void sort_keys(uint64_t *k, uint32_t count)
{
    if (count <= 64) {
        for (uint32_t i = 1; i < count; i++) {
            uint64_t x = k[i];
            uint32_t at = i;
            for (; at > 0 && k[at - 1] > x; at--)
                k[at] = k[at - 1];
            k[at] = x;
        }
        return;
    }
    for (uint32_t i = count / 2; i-- > 0;)
        sift_down(k, i, count);
    for (uint32_t end = count - 1; end > 0; end--) {
        uint64_t swap = k[0];
        k[0] = k[end];
        k[end] = swap;
        sift_down(k, 0, end);
    }
}

uint32_t lines_merge(const struct core_line *lines, uint32_t count, struct stock_take *out)
{
    uint64_t keys[HF_LINES_MAX];
    if (count == 0)
        return 0;
    if (count == 1) {
        *out = (struct stock_take){lines->handle, 0, lines->quantity};
        return 1;
    }
    for (uint32_t i = 0; i < count; i++)
        keys[i] = sort_key(lines[i].handle, i);
    sort_keys(keys, count);
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t cell = (uint32_t)(keys[i] >> 32), place = (uint32_t)keys[i];
        if (n && out[n - 1].cell == cell)
            out[n - 1].quantity += lines[place].quantity;
        else
            out[n++] = (struct stock_take){cell, place, lines[place].quantity};
    }
    return n;
}

uint64_t body_hash(unsigned kind, unsigned flags, uint32_t ttl_ms, const struct stock_take *takes,
                   uint32_t count)
{
    uint64_t seed = body_seed(kind, flags, ttl_ms);
    if (count == 1)
        return body_hash_one(seed, takes->cell, takes->quantity);
    struct {
        uint64_t cell;
        int64_t quantity;
    } packed[64];
    uint64_t h = seed ^ count;
    for (uint32_t done = 0; done < count;) {
        uint32_t n = 0;
        for (; n < 64 && done < count; n++, done++) {
            packed[n].cell = takes[done].cell;
            packed[n].quantity = takes[done].quantity;
        }
        h = hf_hash(packed, n * sizeof packed[0], h);
    }
    return h;
}

bool op_id_valid(struct hf_uuid id)
{
    return hf_uuid_version(id) == 7 && hf_uuid_variant_ok(id);
}

static bool text_valid(const struct core_text *t, struct core_answer *a)
{
    if (t->reference_bytes &&
        !stock_name_valid(t->reference, t->reference_bytes, HF_REFERENCE_BYTES_MAX)) {
        answer_invalid(a, CORE_FIELD_REFERENCE, 0);
        return false;
    }
    if (t->buyer_bytes > HF_BUYER_BYTES_MAX) {
        answer_invalid(a, CORE_FIELD_BUYER, 0);
        return false;
    }
    return true;
}

static bool reason_valid(const struct core_text *t, struct core_answer *a)
{
    if (t->reason_bytes == 0 || stock_name_valid(t->reason, t->reason_bytes, HF_REASON_BYTES_MAX))
        return true;
    answer_invalid(a, CORE_FIELD_REASON, 0);
    return false;
}

static bool lines_valid(const struct core *c, const struct core_request *r, struct core_answer *a)
{
    uint32_t cells = hf_load_acquire(&c->cell_count);
    int64_t sum = 0;
    for (uint32_t i = 0; i < r->line_count; i++) {
        const struct core_line *l = &r->lines[i];
        if (l->handle >= cells) {
            answer_invalid(a, CORE_FIELD_HANDLE, i);
            return false;
        }
        if (l->quantity < 1 || l->quantity > HF_QUANTITY_MAX ||
            (sum += l->quantity) > HF_QUANTITY_MAX) {
            answer_invalid(a, CORE_FIELD_QUANTITY, i);
            return false;
        }
    }
    return true;
}

bool request_valid(const struct core *c, const struct core_request *r, struct core_answer *a)
{
    bool take = r->verb <= CORE_RECORD, op = r->verb >= CORE_EXTEND;
    bool has_ttl = r->verb == CORE_RESERVE || r->verb == CORE_EXTEND;
    static const uint32_t flags_of[CORE_VERB_COUNT] = {[CORE_RESERVE] = CORE_BEST_EFFORT,
                                                       [CORE_ORDER] = CORE_BEST_EFFORT,
                                                       [CORE_COMMIT] = CORE_RETAKE,
                                                       [CORE_RETURN] = CORE_SCRAP};
    enum core_field bad = CORE_FIELD_NONE;
    if ((unsigned)r->verb >= CORE_VERB_COUNT) {
        answer_invalid(a, CORE_FIELD_VERB, 0);
        return false;
    }
    unsigned version = hf_uuid_version(r->id);
    bool no_lines = r->verb == CORE_EXTEND, any_lines = r->verb == CORE_COMMIT ||
                                                        r->verb == CORE_RELEASE;
    op = op || (r->verb == CORE_RELEASE && r->line_count > 0);
    if (r->flags & ~flags_of[r->verb])
        bad = CORE_FIELD_FLAGS;
    else if (!hf_uuid_variant_ok(r->id) ||
             (version != 7 && !(version == 4 && (!take || r->verb == CORE_RESERVE))) ||
             (version == 4 && !c->options.allow_v4))
        bad = CORE_FIELD_ID;
    else if (op ? !op_id_valid(r->op_id) || hf_uuid_equal(r->op_id, r->id)
                : !hf_uuid_is_nil(r->op_id))
        bad = CORE_FIELD_OPERATION_ID;
    else if (r->line_count > HF_LINES_MAX || (no_lines && r->line_count) ||
             (!no_lines && !any_lines && r->line_count == 0))
        bad = CORE_FIELD_LINES;
    else if (has_ttl ? r->ttl_ms == 0 || r->ttl_ms > c->options.ttl_max_ms : r->ttl_ms != 0)
        bad = CORE_FIELD_TTL;
    else if (take ? r->channel > stock_channel_count(c->stock.directory) : r->channel != 0)
        bad = CORE_FIELD_CHANNEL;
    if (bad != CORE_FIELD_NONE) {
        answer_invalid(a, bad, 0);
        return false;
    }
    return lines_valid(c, r, a) && (!take || !r->text || text_valid(r->text, a)) &&
           (r->verb != CORE_RELEASE || !r->text || reason_valid(r->text, a));
}
