#include "core/record.h"

#include "base/hash.h"
#include "core/core.h"
#include "journal/archive.h"

#include <string.h>

const char *core_record_type_name(unsigned type)
{
    switch (type) {
#define X(code, name, help)                                                                        \
    case code:                                                                                     \
        return #name;
        CORE_RECORD_TABLE(X)
#undef X
    default:
        return "unknown";
    }
}

const char *core_role_name(unsigned role)
{
    switch (role) {
#define X(code, name, help)                                                                        \
    case code:                                                                                     \
        return #name;
        CORE_ROLE_TABLE(X)
#undef X
    default:
        return "unknown";
    }
}

int64_t core_line_available(const struct core_record_line *line, int64_t before)
{
    int64_t q = line->quantity;
    switch ((enum core_role)line->role) {
    case CORE_ROLE_HOLD:
    case CORE_ROLE_ORDER:
        return -q;
    case CORE_ROLE_GIVE_BACK:
    case CORE_ROLE_CANCEL:
    case CORE_ROLE_RESTOCK:
    case CORE_ROLE_ON_HAND:
        return q;
    case CORE_ROLE_SAFETY:
    case CORE_ROLE_EXTERNAL:
        return before - q;
    case CORE_ROLE_BACKORDER:
        return q - before;
    case CORE_ROLE_COMMIT:
    case CORE_ROLE_SCRAP:
    case CORE_ROLE_ACTIVE:
    case CORE_ROLE_ACKNOWLEDGE:
    case CORE_ROLE_SCALE:
    case CORE_ROLE_END:
        break;
    }
    return 0;
}

static bool lines_ok(const struct core_record *r)
{
    for (uint32_t i = 0; i < r->line_count; i++) {
        const struct core_record_line *l = &r->lines[i];
        if (l->role == 0 || l->role >= CORE_ROLE_END)
            return false;
        bool is_signed = l->role == CORE_ROLE_ON_HAND || l->role == CORE_ROLE_ACKNOWLEDGE;
        if (l->quantity > 2 * HF_QUANTITY_MAX || l->quantity < -2 * HF_QUANTITY_MAX ||
            (l->quantity < 0 && !is_signed))
            return false;
    }
    return true;
}

static bool text_parse(const char *at, uint64_t left, struct core_record_parts *p)
{
    if (left < 8)
        return false;
    const struct core_record_text *t = (const struct core_record_text *)at;
    p->reference_bytes = t->reference_bytes;
    p->buyer_bytes = t->buyer_bytes;
    p->trace_bytes = t->trace_bytes;
    p->reason_bytes = t->reason_bytes;
    p->reference = t->bytes;
    p->buyer = p->reference + p->reference_bytes;
    p->trace = (const uint8_t *)p->buyer + p->buyer_bytes;
    p->reason = (const char *)p->trace + p->trace_bytes;
    uint64_t used = 4u + p->reference_bytes + p->buyer_bytes + p->trace_bytes + p->reason_bytes;
    if (used > left || left - used >= 8)
        return false;
    for (uint64_t i = used; i < left; i++)
        if (at[i] != 0)
            return false;
    return true;
}

static_assert(HF_SKU_BYTES_MAX <= HF_REFERENCE_BYTES_MAX, "a SKU travels as a reference");
static_assert(HF_LOCATION_BYTES_MAX <= HF_BUYER_BYTES_MAX, "a location travels as a buyer key");

// What replay copies into arrays of its own. A checksum that holds says nothing of it.
static bool sizes_ok(const struct core_record *r, const struct core_record_parts *p)
{
    uint32_t roles = r->frame.type == CORE_RECORD_COMMIT ? 2 : 1; // of a line
    uint32_t reference_max = r->frame.type == CORE_RECORD_CHANNEL ? HF_CHANNEL_BYTES_MAX
                                                                  : HF_REFERENCE_BYTES_MAX;
    return r->line_count <= roles * HF_LINES_MAX && p->reference_bytes <= reference_max &&
           p->buyer_bytes <= HF_BUYER_BYTES_MAX && p->reason_bytes <= HF_REASON_BYTES_MAX &&
           (p->trace_bytes == 0 || p->trace_bytes == CORE_TRACE_BYTES);
}

bool core_record_parse(const struct journal_record *frame, struct core_record_parts *p)
{
    memset(p, 0, sizeof *p);
    const struct core_record *r = (const struct core_record *)frame;
    uint64_t left = journal_record_bytes(frame);
    if (left < sizeof *r || frame->type == 0 || frame->type >= CORE_RECORD_TYPE_END)
        return false;
    left -= sizeof *r;
    if ((uint64_t)r->line_count * sizeof(struct core_record_line) > left || !lines_ok(r))
        return false;
    left -= (uint64_t)r->line_count * sizeof(struct core_record_line);
    const char *at = (const char *)&r->lines[r->line_count];
    if (frame->flags & CORE_RECORD_OP) {
        if (left < sizeof *p->op)
            return false;
        p->op = (const struct core_record_op *)at;
        at += sizeof *p->op;
        left -= sizeof *p->op;
    }
    bool whole = (frame->flags & CORE_RECORD_TEXT) ? text_parse(at, left, p) : left == 0;
    return whole && sizes_ok(r, p);
}

static void print_text(FILE *out, const char *key, const char *text, unsigned bytes)
{
    fprintf(out, ",\"%s\":\"", key);
    for (unsigned i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20)
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void print_parts(FILE *out, const struct core_record *r, const struct core_record_parts *p,
                        bool buyer)
{
    bool cell = r->frame.type == CORE_RECORD_CELL;
    if (p->op) {
        char text[HF_UUID_TEXT_BYTES];
        hf_uuid_format(p->op->op_id, text);
        fprintf(out, ",\"operation_id\":\"%s\",\"previous\":%llu", text,
                (unsigned long long)p->op->previous);
    }
    if (p->reference_bytes)
        print_text(out, cell ? "sku" : r->frame.type == CORE_RECORD_CHANNEL ? "name" : "reference",
                   p->reference, p->reference_bytes);
    if (p->buyer_bytes && (buyer || cell))
        print_text(out, cell ? "location" : "buyer_key", p->buyer, p->buyer_bytes);
    if (p->trace_bytes) {
        fputs(",\"trace\":\"", out);
        for (unsigned i = 0; i < p->trace_bytes; i++)
            fprintf(out, "%02x", p->trace[i]);
        fputc('"', out);
    }
    if (p->reason_bytes)
        print_text(out, "reason", p->reason, p->reason_bytes);
}

bool core_record_print(FILE *out, const struct journal_record *frame, bool buyer)
{
    struct core_record_parts p;
    fprintf(out, ",\"record\":\"%s\"", core_record_type_name(frame->type));
    if (!core_record_parse(frame, &p)) {
        fputs(",\"malformed\":true", out);
        return false;
    }
    const struct core_record *r = (const struct core_record *)frame;
    fprintf(out, ",\"decided_ms\":%llu,\"version\":%u", (unsigned long long)core_record_time(r),
            core_record_version(r));
    if (r->ttl_ms)
        fprintf(out, ",\"ttl_ms\":%u", r->ttl_ms);
    if (r->channel)
        fprintf(out, ",\"channel\":%u", r->channel);
    if (frame->type == CORE_RECORD_FLOOR)
        fprintf(out, ",\"floor_ms\":%llu", (unsigned long long)r->body_hash);
    else
        fprintf(out, ",\"body_hash\":\"%016llx\"", (unsigned long long)r->body_hash);
    fputs(",\"lines\":[", out);
    for (uint32_t i = 0; i < r->line_count; i++)
        fprintf(out, "%s{\"handle\":%u,\"role\":\"%s\",\"quantity\":%lld}", i ? "," : "",
                r->lines[i].handle, core_role_name(r->lines[i].role),
                (long long)r->lines[i].quantity);
    fputc(']', out);
    print_parts(out, r, &p, buyer);
    return true;
}

// ------------------------------------------------------------------------------- archive keys

static bool carries_buyer(const struct journal_record *r)
{
    return r->type == CORE_RECORD_HOLD || r->type == CORE_RECORD_ORDER ||
           r->type == CORE_RECORD_REJECT || r->type == CORE_RECORD_FACT;
}

static uint64_t key_reference(const struct journal_record *r)
{
    struct core_record_parts p;
    if (!carries_buyer(r) || !core_record_parse(r, &p) || p.reference_bytes == 0)
        return 0;
    return hf_hash(p.reference, p.reference_bytes, 0);
}

static uint64_t key_buyer(const struct journal_record *r)
{
    struct core_record_parts p;
    if (!carries_buyer(r) || !core_record_parse(r, &p) || p.buyer_bytes == 0)
        return 0;
    return hf_hash(p.buyer, p.buyer_bytes, 0);
}

static bool key_second_id(const struct journal_record *r, struct hf_uuid *id)
{
    struct core_record_parts p;
    if (!core_record_parse(r, &p) || !p.op || hf_uuid_is_nil(p.op->op_id))
        return false;
    *id = p.op->op_id;
    return true;
}

static void erase_buyer(struct journal_record *r)
{
    struct core_record_parts p;
    if (carries_buyer(r) && core_record_parse(r, &p) && p.buyer)
        memset((char *)(uintptr_t)p.buyer, 0, p.buyer_bytes);
}

const struct archive_keys core_record_keys = {key_reference, key_buyer, key_second_id,
                                              erase_buyer};
