#include "ctl/journal_tool.h"

#include "journal/journal.h"
#include "sys/storage.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const char usage[] =
    "usage: holdfastctl journal inspect [--json] FOLDER   every group, and what the end means\n"
    "       holdfastctl journal verify  [--json] FOLDER   reads and checks everything\n"
    "       holdfastctl journal export  [--json] FOLDER   every record, a JSON object a line;\n"
    "                                                     if damaged, all that can be read\n"
    "exit:  0 all is well, an unfinished last group included; 2 usage; 9 the folder cannot be\n"
    "       read, or the output not written; 10 damaged, or written by a newer version\n";

struct run {
    const struct journal_tool *tool;
    bool json;
    FILE *damage;  // where damage is told
    uint64_t last; // LSN of the last record that was printed
};

static enum hf_status check_only(void *ctx, uint64_t lsn, uint64_t time_ms,
                                 const struct journal_record *r)
{
    (void)ctx;
    (void)lsn;
    (void)time_ms;
    (void)r;
    return HF_OK;
}

static void print_group(void *ctx, const struct journal_group_info *g)
{
    const struct run *run = ctx;
    fprintf(run->tool->out,
            run->json ? "{\"kind\":\"group\",\"segment\":\"%s\",\"offset\":%" PRIu64
                        ",\"group\":%" PRIu64 ",\"epoch\":%" PRIu64 ",\"first_lsn\":%" PRIu64
                        ",\"records\":%" PRIu32 ",\"body_bytes\":%" PRIu32 ",\"time_ms\":%" PRIu64
                        "}\n"
                      : "%s %10" PRIu64 "  group %" PRIu64 "  epoch %" PRIu64 "  lsn %" PRIu64
                        "  records %" PRIu32 "  bytes %" PRIu32 "  time %" PRIu64 "\n",
            g->segment, g->offset, g->number, g->epoch, g->first_lsn, g->records, g->body_bytes,
            g->time_ms);
}

static enum hf_status print_record(void *ctx, uint64_t lsn, uint64_t time_ms,
                                   const struct journal_record *r)
{
    struct run *run = ctx;
    FILE *out = run->tool->out;
    char id[HF_UUID_TEXT_BYTES];
    run->last = lsn;
    hf_uuid_format(r->id, id);
    fprintf(out, "{\"lsn\":%" PRIu64 ",\"time_ms\":%" PRIu64 ",\"type\":%u,\"flags\":%u", lsn,
            time_ms, r->type, r->flags);
    fprintf(out, ",\"id\":\"%s\"", id);
    const unsigned char *payload = (const unsigned char *)(r + 1);
    if (run->tool->print_record) {
        run->tool->print_record(out, r);
    } else {
        fputs(",\"payload\":\"", out);
        for (uint32_t i = 0; i < journal_record_bytes(r) - sizeof *r; i++)
            fprintf(out, "%02x", payload[i]);
        fputc('"', out);
    }
    fputs("}\n", out);
    return ferror(out) ? HF_IO : HF_OK;
}

static void print_report(const struct run *run, FILE *to, enum hf_status st,
                         const struct journal_report *r)
{
    if (run->json) { // names and sentences are ours: nothing to escape
        fprintf(to,
                "{\"kind\":\"report\",\"status\":\"%s\",\"groups\":%" PRIu64 ",\"records\":%" PRIu64
                ",\"bytes\":%" PRIu64 ",\"first_lsn\":%" PRIu64 ",\"last_lsn\":%" PRIu64
                ",\"epoch\":%" PRIu64 ",\"time_ms\":%" PRIu64
                ",\"torn_tail\":%s,\"where\":\"%s\",\"offset\":%" PRIu64 ",\"why\":\"%s\"}\n",
                hf_status_name(st), r->groups, r->records, r->bytes, r->first_lsn, r->last_lsn,
                r->epoch, r->engine_time_ms, r->torn_tail ? "true" : "false", r->where, r->offset,
                r->why);
        return;
    }
    fprintf(to, "%s: %" PRIu64 " groups, %" PRIu64 " records", hf_status_name(st), r->groups,
            r->records);
    if (r->last_lsn != 0)
        fprintf(to, ", lsn %" PRIu64 " to %" PRIu64, r->first_lsn, r->last_lsn);
    fprintf(to, ", next epoch %" PRIu64 "\n", r->epoch);
    if (r->why[0])
        fprintf(to, "%s at %" PRIu64 ": %s\n", r->where, r->offset, r->why);
}

static void print_damage(void *ctx, const char *segment, uint64_t offset, uint64_t lsn,
                         const char *why)
{
    const struct run *run = ctx;
    if (run->json)
        fprintf(run->damage,
                "{\"kind\":\"damage\",\"where\":\"%s\",\"offset\":%" PRIu64 ",\"lsn\":%" PRIu64
                ",\"why\":\"%s\"}\n",
                segment, offset, lsn, why);
    else if (lsn)
        fprintf(run->damage, "%s at %" PRIu64 ": record %" PRIu64 ": %s\n", segment, offset, lsn,
                why);
    else
        fprintf(run->damage, "%s at %" PRIu64 ": %s\n", segment, offset, why);
}

static enum ctl_exit exit_of(enum hf_status st)
{
    switch (st) {
    case HF_OK:
        return CTL_OK;
    case HF_DAMAGED:
    case HF_TOO_NEW:
    case HF_FOREIGN:
        return CTL_DAMAGED;
    default:
        return CTL_FAILED;
    }
}

static enum ctl_exit run_on(struct run *run, const char *command, const char *folder)
{
    const struct journal_tool *t = run->tool;
    struct storage *storage;
    struct journal_report report = {0};
    enum hf_status st = storage_os_create(folder, false, &storage);
    if (st != HF_OK) {
        fprintf(t->err, "%s: %s\n", folder, storage_os_why(errno));
        return CTL_FAILED;
    }
    bool export = strcmp(command, "export") == 0, inspect = strcmp(command, "inspect") == 0;
    st = journal_inspect(storage, inspect ? print_group : NULL, export ? print_record : check_only,
                         run, &report);
    bool salvage = st == HF_DAMAGED && !inspect;
    run->damage = export ? t->err : t->out;
    if (salvage && journal_salvage(storage, run->last, export ? print_record : NULL, print_damage,
                                   run) == HF_IO)
        st = HF_IO;
    storage_destroy(storage);
    // An export is records only; what else there is to say goes beside it.
    if (!export || st != HF_OK || report.why[0])
        print_report(run, export ? t->err : t->out, st, &report);
    if (fflush(t->out) != 0 || ferror(t->out)) {
        fprintf(t->err, "the output could not be written\n");
        return CTL_FAILED;
    }
    return exit_of(st);
}

enum ctl_exit journal_tool_run(const struct journal_tool *t, int argc, char **argv)
{
    struct run run = {.tool = t};
    const char *command = NULL, *folder = NULL;
    bool good = true;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            run.json = true;
        else if (argv[i][0] != '-' && !command)
            command = argv[i];
        else if (argv[i][0] != '-' && !folder)
            folder = argv[i];
        else
            good = false;
    }
    good = good && folder &&
           (strcmp(command, "inspect") == 0 || strcmp(command, "verify") == 0 ||
            strcmp(command, "export") == 0);
    if (!good) {
        fputs(usage, t->err);
        return CTL_USAGE;
    }
    return run_on(&run, command, folder);
}
