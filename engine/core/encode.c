#include "core/core_internal.h"

#include <string.h>

uint32_t text_bytes(const struct core_text *t, uint32_t reason_bytes)
{
    uint32_t n = reason_bytes;
    if (t)
        n += t->reference_bytes + t->buyer_bytes + (t->trace ? CORE_TRACE_BYTES : 0u);
    return n ? (4 + n + 7) & ~7u : 0;
}

void op_part(struct core_record_op *part, struct hf_uuid op_id, const struct stock_slot *s)
{
    *part = (struct core_record_op){.op_id = op_id,
                                    .previous = s->ticket,
                                    .body_hash = s->body_hash,
                                    .end_hash = s->end_hash,
                                    .channel = (uint16_t)s->time_channel,
                                    .kind = (uint8_t)stock_word_kind(s->word)};
}

uint32_t encode_bytes(const struct encode *e)
{
    return record_bytes(e->line_count) + (e->op ? (uint32_t)sizeof *e->op : 0) +
           text_bytes(e->text, e->reason_bytes);
}

static char *text_put(char *at, const void *from, uint32_t bytes)
{
    if (from && bytes)
        memcpy(at, from, bytes);
    return at + bytes;
}

static void text_encode(const struct encode *e, char *at, uint32_t bytes)
{
    static const struct core_text none = {0};
    const struct core_text *t = e->text ? e->text : &none;
    struct core_record_text *out = (struct core_record_text *)at;
    char *end = at + bytes;
    out->reference_bytes = t->reference_bytes;
    out->buyer_bytes = t->buyer_bytes;
    out->trace_bytes = t->trace ? CORE_TRACE_BYTES : 0;
    out->reason_bytes = e->reason_bytes;
    at = text_put(out->bytes, t->reference, out->reference_bytes);
    at = text_put(at, t->buyer, out->buyer_bytes);
    at = text_put(at, t->trace, out->trace_bytes);
    at = text_put(at, e->reason, out->reason_bytes);
    memset(at, 0, (size_t)(end - at));
}

void encode_at(const struct encode *e, void *at, uint32_t bytes)
{
    struct core_record *r = at;
    uint32_t text = text_bytes(e->text, e->reason_bytes);
    r->frame.units = (uint16_t)(bytes / 8);
    r->frame.type = (uint8_t)e->type;
    r->frame.flags = (uint8_t)(e->flags | (e->op ? CORE_RECORD_OP : 0u) |
                               (text ? CORE_RECORD_TEXT : 0u));
    r->frame.id = e->id;
    r->time_version = e->time_ms << 16 | e->version;
    r->ttl_ms = e->ttl_ms;
    r->line_count = (uint16_t)e->line_count;
    r->channel = e->channel;
    r->body_hash = e->body_hash;
    if (e->line_count == 1)
        r->lines[0] = e->lines[0];
    else if (e->line_count)
        memcpy(r->lines, e->lines, e->line_count * sizeof *e->lines);
    char *after = (char *)&r->lines[e->line_count];
    if (e->op) {
        memcpy(after, e->op, sizeof *e->op);
        after += sizeof *e->op;
    }
    if (text)
        text_encode(e, after, text);
    journal_seal(&r->frame);
}

void encode_record(struct core_worker *w, const struct encode *e)
{
    uint32_t bytes = encode_bytes(e);
    void *at = journal_reserve(w->producer, bytes);
    HF_ASSERT(at != NULL && w->credit >= bytes); // worker_afford said so
    w->credit -= bytes;
    encode_at(e, at, bytes);
    w->record_count++;
}

uint32_t text_pack(const struct core_text *t, uint8_t packed[CORE_TEXT_WORDS * 4])
{
    if (!t || (t->reference_bytes == 0 && t->buyer_bytes == 0 && !t->trace))
        return 0;
    packed[0] = t->reference_bytes;
    packed[1] = t->buyer_bytes;
    packed[2] = t->trace ? CORE_TRACE_BYTES : 0;
    char *at = (char *)packed + 3;
    at = text_put(at, t->reference, t->reference_bytes);
    at = text_put(at, t->buyer, t->buyer_bytes);
    at = text_put(at, t->trace, packed[2]);
    return (uint32_t)(at - (char *)packed);
}

void text_unpack(const uint8_t *packed, uint32_t bytes, struct core_view *view)
{
    view->reference[0] = view->buyer[0] = '\0';
    view->has_trace = false;
    if (bytes < 3)
        return;
    uint32_t r = packed[0], b = packed[1], t = packed[2];
    if (3 + r + b + t > bytes || r > HF_REFERENCE_BYTES_MAX || b > HF_BUYER_BYTES_MAX ||
        (t != 0 && t != CORE_TRACE_BYTES))
        return;
    memcpy(view->reference, packed + 3, r);
    view->reference[r] = '\0';
    memcpy(view->buyer, packed + 3 + r, b);
    view->buyer[b] = '\0';
    memcpy(view->trace, packed + 3 + r + b, t);
    view->has_trace = t != 0;
}
