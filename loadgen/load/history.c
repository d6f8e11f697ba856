#include "load/history.h"

#include "load/json.h"
#include "sys/clock.h"
#include "sys/lock.h"

#include <stdio.h>
#include <stdlib.h>

#define BUFFER_BYTES (1 << 16) // whoever follows the file is not far behind

struct history {
    FILE *file;
    struct lock lock;
    const struct cells *cells;
};

static void cell_write(struct history *h, const char *kind, uint32_t index,
                       const struct cell_values *v)
{
    const struct cell *c = &h->cells->list[index];
    fprintf(h->file, "{\"%s\":%u", kind, index);
    if (c->sku) {
        fputs(",\"sku\":", h->file);
        json_text(h->file, c->sku);
        fputs(",\"location\":", h->file);
        json_text(h->file, c->location);
    }
    fprintf(h->file,
            ",\"available\":%lld,\"on_hand\":%lld,\"held\":%lld,\"committed\":%lld,"
            "\"external\":%lld,\"safety_stock\":%lld,\"backorder_limit\":%lld}\n",
            (long long)v->available, (long long)v->on_hand, (long long)v->held,
            (long long)v->committed, (long long)v->external, (long long)v->safety,
            (long long)v->backorder);
}

struct history *history_create(const char *path, const struct cells *cells, uint64_t seed)
{
    struct history *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->file = fopen(path, "we");
    if (!h->file) {
        free(h);
        return NULL;
    }
    setvbuf(h->file, NULL, _IOFBF, BUFFER_BYTES);
    lock_init(&h->lock);
    h->cells = cells;
    fprintf(h->file,
            "{\"format\":\"holdfast-history\",\"version\":%d,\"clock\":\"CLOCK_MONOTONIC\","
            "\"start_ns\":%llu,\"start_ms\":%llu,\"seed\":%llu,\"cells\":%u}\n",
            HISTORY_VERSION, (unsigned long long)clock_monotonic_ns(clock_os()),
            (unsigned long long)clock_wall_ms(clock_os()), (unsigned long long)seed, cells->count);
    for (uint32_t i = 0; i < cells->count; i++)
        cell_write(h, "cell", i, &cells->list[i].begin);
    return h;
}

static void lines_write(FILE *f, const char *key, const struct op_line *lines, uint32_t count)
{
    fprintf(f, ",\"%s\":[", key);
    for (uint32_t i = 0; i < count; i++)
        fprintf(f, "%s[%u,%lld]", i ? "," : "", lines[i].cell, (long long)lines[i].quantity);
    fputc(']', f);
}

static void result_write(FILE *f, const struct op *op)
{
    const struct op_result *r = &op->result;
    fprintf(f, ",\"outcome\":\"%s\",\"tries\":%u", op_outcome_name(r->outcome), op->tries);
    if (r->outcome == OP_OUT_UNKNOWN || r->outcome == OP_OUT_REJECTED)
        fprintf(f, ",\"code\":%d", r->code);
    if (r->reason[0]) {
        fputs(",\"reason\":", f);
        json_text(f, r->reason);
    }
    if (r->outcome > OP_OUT_EXCEEDS)
        return;
    fprintf(f, ",\"state\":\"%s\",\"repeat\":%s,\"durable\":%s,\"version\":%u,\"lsn\":%llu",
            op_state_name(r->state), r->repeat ? "true" : "false", r->durable ? "true" : "false",
            r->version, (unsigned long long)r->lsn);
    if (r->expires_at_ms)
        fprintf(f, ",\"expires_at_ms\":%lld", (long long)r->expires_at_ms);
    if (r->ended_at_ms)
        fprintf(f, ",\"ended_at_ms\":%lld", (long long)r->ended_at_ms);
    if (op->verb == OP_GET)
        lines_write(f, "got", op->got, op->got_count);
}

void history_op(struct history *h, const struct op *op)
{
    char id[HF_UUID_TEXT_BYTES];
    lock_acquire(&h->lock);
    FILE *f = h->file;
    fprintf(f, "{\"op\":\"%s\",\"client\":%u", op_verb_name(op->verb), op->client);
    if (!hf_uuid_is_nil(op->id)) {
        hf_uuid_format(op->id, id);
        fprintf(f, ",\"id\":\"%s\"", id);
    }
    if (!hf_uuid_is_nil(op->op_id)) {
        hf_uuid_format(op->op_id, id);
        fprintf(f, ",\"op_id\":\"%s\"", id);
    }
    lines_write(f, "lines", op->lines, op->line_count);
    if (op->ttl_ms)
        fprintf(f, ",\"ttl_ms\":%u", op->ttl_ms);
    if (op->flags & OP_RETAKE)
        fputs(",\"retake\":true", f);
    if (op->flags & OP_SCRAP)
        fputs(",\"scrap\":true", f);
    fprintf(f, ",\"invoke_ns\":%llu", (unsigned long long)op->invoke_ns);
    if (op->result.outcome == OP_OUT_UNKNOWN)
        fputs(",\"return_ns\":null", f);
    else
        fprintf(f, ",\"return_ns\":%llu", (unsigned long long)op->return_ns);
    result_write(f, op);
    fputs("}\n", f);
    lock_release(&h->lock);
}

void history_cell(struct history *h, uint32_t cell, const struct cell_values *v)
{
    lock_acquire(&h->lock);
    cell_write(h, "end_cell", cell, v);
    lock_release(&h->lock);
}

bool history_close(struct history *h)
{
    bool ok = !ferror(h->file);
    ok = fclose(h->file) == 0 && ok;
    lock_fini(&h->lock);
    free(h);
    return ok;
}
