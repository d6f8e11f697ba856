// What makes the stand-in outlive a kill: every call that changed something is a line of JSON in a
// file, written before its answer leaves, and done again at the next start. The model is
// deterministic, so the same calls make the same ids. Not synced: it stands a killed process, not a
// killed machine.
#include "sandbox/sandbox_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool changes(const char *method)
{
    static const char *const reading[] = {"search_read", "search_count", "has_access", "fields_get",
                                          "context_get"};
    for (size_t i = 0; i < sizeof reading / sizeof *reading; i++)
        if (strcmp(reading[i], method) == 0)
            return false;
    return true;
}

void log_append(struct sandbox *s, const char *model, const char *method, const json_t *args,
                uint64_t now_ms)
{
    if (!s->log || !changes(method))
        return;
    json_t *entry = json_pack("[I,s,s,O]", (json_int_t)now_ms, model, method, args);
    char *line = entry ? json_dumps(entry, JSON_COMPACT) : NULL;
    json_decref(entry);
    // Half a line would be a call that nobody did: rather end, as a database without a disk does.
    if (!line || fprintf(s->log, "%s\n", line) < 0 || fflush(s->log) != 0)
        abort();
    free(line);
}

// What a kill left of the last line goes.
static bool replay(struct sandbox *s, FILE *f)
{
    char *line = NULL;
    size_t room = 0;
    long whole = 0;
    bool ok = true;
    for (ssize_t n; ok && (n = getline(&line, &room, f)) > 0 && line[n - 1] == '\n'; whole += n) {
        json_t *entry = json_loads(line, 0, NULL);
        struct outcome o = {0};
        const char *model = json_string_value(json_array_get(entry, 1));
        const char *method = json_string_value(json_array_get(entry, 2));
        ok = model && method;
        if (ok)
            call_do(s, model, method, json_array_get(entry, 3),
                    (uint64_t)json_integer_value(json_array_get(entry, 0)), &o);
        ok = ok && !o.status;
        json_decref(o.result);
        json_decref(entry);
    }
    free(line);
    return ok && ftruncate(fileno(f), whole) == 0 && fseek(f, 0, SEEK_END) == 0;
}

bool sandbox_log(struct sandbox *s, const char *path)
{
    FILE *f = fopen(path, "a+");
    if (!f)
        return false;
    rewind(f);
    if (!replay(s, f)) {
        fclose(f);
        return false;
    }
    s->log = f;
    return true;
}
