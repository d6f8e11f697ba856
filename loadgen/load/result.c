#include "load/result.h"

#include "load/json.h"

#include <string.h>

void result_merge_sender(struct sender_counts *into, const struct sender_counts *from)
{
    into->tries += from->tries;
    into->messages += from->messages;
    into->breaks += from->breaks;
    for (int i = 0; i < LINK_CODE_COUNT; i++)
        into->again[i] += from->again[i];
#define X(name, help) into->packets.name += from->packets.name;
    PACKET_CLIENT_COUNT_TABLE(X)
#undef X
}

void result_merge_replay(struct replay_counts *into, const struct replay_counts *from)
{
#define X(name, help) into->name += from->name;
    REPLAY_COUNT_TABLE(X)
#undef X
    if (into->first[0] == '\0')
        memcpy(into->first, from->first, sizeof into->first);
}

enum options_exit result_exit(const struct result *r)
{
    const struct replay_counts *p = &r->replay;
    if (r->audited && !r->audit.read)
        return EXIT_UNREACHED;
    if ((r->audited && r->audit.wrong) || r->tally.contradictions ||
        p->missing + p->different + p->not_whole)
        return EXIT_DIFFERS;
    return r->unknown + p->undecided ? EXIT_UNKNOWN : EXIT_OK;
}

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

static double per_second(const struct result *r, uint64_t n)
{
    return r->ns ? (double)n * 1e9 / (double)r->ns : 0;
}

// ------------------------------------------------------------------------------- for people

static void latency_row(FILE *out, const char *name, const struct hf_histogram *h)
{
    fprintf(out, "%9.2f %9.2f %9.2f %9.2f %9.2f  %s\n", ms(hf_histogram_percentile(h, 500)),
            ms(hf_histogram_percentile(h, 900)), ms(hf_histogram_percentile(h, 990)),
            ms(hf_histogram_percentile(h, 999)), ms(h->max_ns), name);
}

static void verb_rows(FILE *out, const struct result *r)
{
    fprintf(out, "\n           requests       done    refused    expired      other\n");
    for (int v = 0; v < OP_VERB_COUNT; v++) {
        const uint64_t *n = r->tally.counts[v];
        uint64_t all = 0;
        for (int o = 0; o < OP_OUTCOME_COUNT; o++)
            all += n[o];
        if (all)
            fprintf(
                out, "  %-7s %10llu %10llu %10llu %10llu %10llu\n", op_verb_name((enum op_verb)v),
                (unsigned long long)all, (unsigned long long)n[OP_OUT_DONE],
                (unsigned long long)n[OP_OUT_REFUSED], (unsigned long long)n[OP_OUT_EXPIRED],
                (unsigned long long)(all - n[OP_OUT_DONE] - n[OP_OUT_REFUSED] - n[OP_OUT_EXPIRED]));
    }
    fprintf(out, "\n  ms   p50       p90       p99     p99.9       max\n");
    for (int v = 0; v < OP_VERB_COUNT; v++)
        if (hf_histogram_count(&r->tally.by_verb[v]))
            latency_row(out, op_verb_name((enum op_verb)v), &r->tally.by_verb[v]);
    latency_row(out, "all, from the intended start to the known outcome", &r->tally.all);
    latency_row(out, "of that: before this program asked", &r->tally.late);
}

static void again_rows(FILE *out, const struct result *r)
{
    if (r->tally.again == 0 && r->sender.breaks == 0)
        return;
    fprintf(out, "\n  asked again %llu times:", (unsigned long long)r->tally.again);
    for (int i = 0; i < LINK_CODE_COUNT; i++)
        if (r->sender.again[i])
            fprintf(out, " %s %llu", link_code_name(i), (unsigned long long)r->sender.again[i]);
    if (r->sender.breaks)
        fprintf(out, "; streams ended %llu", (unsigned long long)r->sender.breaks);
    fputc('\n', out);
}

static void packet_rows(FILE *out, const struct result *r)
{
    const struct packet_client_counts *p = &r->sender.packets;
    if (r->options->way == SENDER_GRPC)
        return;
    fprintf(out, "\n  packets:");
#define X(name, help)                                                                              \
    if (p->name)                                                                                   \
        fprintf(out, " %s %llu", #name, (unsigned long long)p->name);
    PACKET_CLIENT_COUNT_TABLE(X)
#undef X
    fputc('\n', out);
}

static void replay_rows(FILE *out, const struct result *r)
{
    const struct replay_counts *p = &r->replay;
    fprintf(
        out,
        "\n  file        %llu orders (widest %u lines), %llu that take back, %llu corrections\n",
        (unsigned long long)r->trace->orders, r->trace->widest,
        (unsigned long long)r->trace->returns, (unsigned long long)r->trace->corrections);
    if (r->trace->rows_skipped || r->trace->rows_bad || r->trace->dates_bad)
        fprintf(out,
                "  left out    of %llu rows %llu are no goods, %llu can't be read; %llu invoices "
                "without a date that can be read\n              the first: %s\n",
                (unsigned long long)r->trace->rows, (unsigned long long)r->trace->rows_skipped,
                (unsigned long long)r->trace->rows_bad, (unsigned long long)r->trace->dates_bad,
                r->trace->first);
#define X(name, help)                                                                              \
    fprintf(out, "  %-11s %10llu  %s\n", #name, (unsigned long long)p->name, help);
    REPLAY_COUNT_TABLE(X)
#undef X
    if (p->first[0])
        fprintf(out, "  first       %s\n", p->first);
}

static void audit_rows(FILE *out, const struct result *r)
{
    const struct audit *a = &r->audit;
    const struct book_cell *t = &a->totals;
    fprintf(out, "\n  units by the book:");
#define X(name, help)                                                                              \
    if (t->name)                                                                                   \
        fprintf(out, " %s %lld", #name, (long long)t->name);
    BOOK_COLUMN_TABLE(X)
#undef X
    if (!a->read)
        fprintf(out, "\n  AUDIT       not done: the cells could not be read: %s\n",
                a->catalogue->error.message);
    else if (a->wrong)
        fprintf(out, "\n  AUDIT       FAILED: %llu of %llu cells differ; %s\n",
                (unsigned long long)a->wrong, (unsigned long long)a->cells, a->first);
    else
        fprintf(out, "\n  AUDIT       exact: %llu cells, to the unit\n",
                (unsigned long long)a->cells);
    if (a->others)
        fprintf(out, "              held within bounds only: %llu cells held stock at the start\n",
                (unsigned long long)a->others);
}

void result_table(FILE *out, const struct result *r)
{
    uint64_t requests = tally_requests(&r->tally);
    fprintf(out, "\n  %llu requests in %.2f s: %.0f a second; %llu %s, seed %llu\n",
            (unsigned long long)requests, (double)r->ns / 1e9, per_second(r, requests),
            (unsigned long long)r->tally.customers, r->trace ? "invoices" : "customers",
            (unsigned long long)r->seed);
    verb_rows(out, r);
    again_rows(out, r);
    packet_rows(out, r);
    if (r->trace)
        replay_rows(out, r);
    if (r->unknown) {
        char id[HF_UUID_TEXT_BYTES];
        hf_uuid_format(r->unknown_first, id);
        fprintf(out, "\n  UNKNOWN     %llu operations, the first of reservation %s\n",
                (unsigned long long)r->unknown, id);
    }
    if (r->tally.contradictions)
        fprintf(out, "\n  WRONG       %llu answers can't be; the first: %s\n",
                (unsigned long long)r->tally.contradictions, r->tally.first);
    if (r->audited)
        audit_rows(out, r);
    fputc('\n', out);
}

// ------------------------------------------------------------------------------- for programs

static void json_latency(FILE *out, const char *name, const struct hf_histogram *h)
{
    uint64_t n = hf_histogram_count(h);
    fprintf(out,
            "\"%s\": {\"count\": %llu, \"mean_ns\": %llu, \"p50_ns\": %llu, \"p90_ns\": %llu, "
            "\"p99_ns\": %llu, \"p999_ns\": %llu, \"max_ns\": %llu}",
            name, (unsigned long long)n, (unsigned long long)(n ? h->sum_ns / n : 0),
            (unsigned long long)hf_histogram_percentile(h, 500),
            (unsigned long long)hf_histogram_percentile(h, 900),
            (unsigned long long)hf_histogram_percentile(h, 990),
            (unsigned long long)hf_histogram_percentile(h, 999), (unsigned long long)h->max_ns);
}

static void json_verbs(FILE *out, const struct result *r)
{
    const char *comma = "";
    fprintf(out, "  \"verbs\": {");
    for (int v = 0; v < OP_VERB_COUNT; v++) {
        uint64_t all = 0;
        for (int o = 0; o < OP_OUTCOME_COUNT; o++)
            all += r->tally.counts[v][o];
        if (!all)
            continue;
        fprintf(out, "%s\n    \"%s\": {", comma, op_verb_name((enum op_verb)v));
        for (int o = 0; o < OP_OUTCOME_COUNT; o++)
            if (r->tally.counts[v][o])
                fprintf(out, "\"%s\": %llu, ", op_outcome_name((enum op_outcome)o),
                        (unsigned long long)r->tally.counts[v][o]);
        json_latency(out, "latency", &r->tally.by_verb[v]);
        fputc('}', out);
        comma = ",";
    }
    fprintf(out, "\n  },\n  ");
    json_latency(out, "latency", &r->tally.all);
    fprintf(out, ",\n  ");
    json_latency(out, "late", &r->tally.late);
}

static void json_again(FILE *out, const struct result *r)
{
    const char *comma = "";
    fprintf(out, ",\n  \"tries\": %llu, \"stream_messages\": %llu, \"stream_breaks\": %llu",
            (unsigned long long)r->sender.tries, (unsigned long long)r->sender.messages,
            (unsigned long long)r->sender.breaks);
    fprintf(out, ",\n  \"asked_again\": {");
    for (int i = 0; i < LINK_CODE_COUNT; i++)
        if (r->sender.again[i]) {
            fprintf(out, "%s\"%s\": %llu", comma, link_code_name(i),
                    (unsigned long long)r->sender.again[i]);
            comma = ", ";
        }
    fputc('}', out);
}

static void json_packets(FILE *out, const struct result *r)
{
    const char *comma = "";
    if (r->options->way == SENDER_GRPC)
        return;
    fprintf(out, ",\n  \"packets\": {");
#define X(name, help)                                                                              \
    fprintf(out, "%s\"%s\": %llu", comma, #name, (unsigned long long)r->sender.packets.name);      \
    comma = ", ";
    PACKET_CLIENT_COUNT_TABLE(X)
#undef X
    fputc('}', out);
}

static void json_audit(FILE *out, const struct result *r)
{
    const char *comma = "";
    const struct book_cell *t = &r->audit.totals;
    fprintf(out, ",\n  \"book\": {");
#define X(name, help)                                                                              \
    fprintf(out, "%s\"%s\": %lld", comma, #name, (long long)t->name);                              \
    comma = ", ";
    BOOK_COLUMN_TABLE(X)
#undef X
    fprintf(out,
            "},\n  \"audit\": {\"cells\": %llu, \"wrong\": %llu, \"held_at_start\": %llu, "
            "\"read\": %s, \"first\": ",
            (unsigned long long)r->audit.cells, (unsigned long long)r->audit.wrong,
            (unsigned long long)r->audit.others, r->audit.read ? "true" : "false");
    json_text(out, r->audit.first);
    fputc('}', out);
}

void result_json(FILE *out, const struct result *r)
{
    uint64_t requests = tally_requests(&r->tally);
    fprintf(out, "{\n  \"seed\": %llu, \"cells\": %llu, \"ns\": %llu, \"requests\": %llu,\n",
            (unsigned long long)r->seed, (unsigned long long)r->cells, (unsigned long long)r->ns,
            (unsigned long long)requests);
    fprintf(out, "  \"requests_per_s\": %.1f, \"customers\": %llu, \"rate\": %.1f,\n",
            per_second(r, requests), (unsigned long long)r->tally.customers, r->options->rate);
    json_verbs(out, r);
    json_again(out, r);
    json_packets(out, r);
    fprintf(out, ",\n  \"unknown\": %llu, \"contradictions\": %llu", (unsigned long long)r->unknown,
            (unsigned long long)r->tally.contradictions);
    if (r->tally.contradictions) {
        fprintf(out, ", \"first_contradiction\": ");
        json_text(out, r->tally.first);
    }
    if (r->trace) {
        const char *comma = "";
        fprintf(out, ",\n  \"replay\": {");
#define X(name, help)                                                                              \
    fprintf(out, "%s\"%s\": %llu", comma, #name, (unsigned long long)r->replay.name);              \
    comma = ", ";
        REPLAY_COUNT_TABLE(X)
#undef X
        fprintf(out,
                ", \"rows\": %llu, \"rows_no_goods\": %llu, \"rows_bad\": %llu, "
                "\"dates_bad\": %llu, \"first_left_out\": ",
                (unsigned long long)r->trace->rows, (unsigned long long)r->trace->rows_skipped,
                (unsigned long long)r->trace->rows_bad, (unsigned long long)r->trace->dates_bad);
        json_text(out, r->trace->first);
        fprintf(out, ", \"first\": ");
        json_text(out, r->replay.first);
        fputc('}', out);
    }
    if (r->audited)
        json_audit(out, r);
    fprintf(out, ",\n  \"exit\": %d\n}\n", (int)result_exit(r));
}
