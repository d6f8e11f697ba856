#include "ctl/csv.h"

#include <string.h>

void csv_init(struct csv *c, char *text, size_t bytes)
{
    static const char mark[] = "\xef\xbb\xbf";
    *c = (struct csv){.at = text, .end = text + bytes, .line = 1};
    if (bytes >= 3 && memcmp(text, mark, 3) == 0)
        c->at += 3;
    text[bytes] = 0;
}

static void skip_empty(struct csv *c)
{
    while (c->at < c->end) {
        size_t n = *c->at == '\n' ? 1 : c->at + 1 < c->end && memcmp(c->at, "\r\n", 2) == 0 ? 2 : 0;
        if (n == 0)
            return;
        c->at += n;
        c->line++;
    }
}

// Goes on after the line that `from` is in.
static enum csv_result bad(struct csv *c, char *from, uint64_t line, const char *text,
                           const char **why)
{
    char *newline = memchr(from, '\n', (size_t)(c->end - from));
    c->at = newline ? newline + 1 : c->end;
    c->line = line + 1;
    *why = text;
    return CSV_BAD;
}

// The end of the field that begins at `at`, quotes included; NULL: *why.
static char *field_end(const struct csv *c, char *at, uint64_t *line, const char **why)
{
    if (at == c->end || *at != '"') {
        while (at < c->end && *at != ',' && *at != '\n' && *at != '"' && *at)
            at++;
        if (at < c->end && (*at == '"' || !*at)) {
            *why = *at ? "a quote inside a field that does not begin with one" : "a NUL byte";
            return NULL;
        }
        return at > c->at && at < c->end && *at == '\n' && at[-1] == '\r' ? at - 1 : at;
    }
    for (at++; at < c->end; at++) {
        if (*at == '"' && (at + 1 == c->end || at[1] != '"')) {
            at++;
            if (at == c->end || *at == ',' || *at == '\n' ||
                (*at == '\r' && at + 1 < c->end && at[1] == '\n'))
                return at;
            *why = "something between a closing quote and the comma";
            return NULL;
        }
        if (!*at) {
            *why = "a NUL byte";
            return NULL;
        }
        at += *at == '"';
        *line += *at == '\n';
    }
    *why = "a quote that is not closed";
    return NULL;
}

// Takes the quotes off, in place.
static size_t unquote(char *text, size_t bytes)
{
    if (bytes == 0 || *text != '"')
        return bytes;
    size_t to = 0;
    for (size_t from = 1; from + 1 < bytes; from++) {
        text[to++] = text[from];
        from += text[from] == '"';
    }
    return to;
}

enum csv_result csv_next(struct csv *c, struct csv_row *row, const char **why)
{
    skip_empty(c);
    *row = (struct csv_row){.line = c->line};
    if (c->at == c->end)
        return CSV_END;
    // First the whole row is looked at, then it is changed: an error leaves the text as it was.
    char *at = c->at;
    for (;;) {
        if (row->count == CSV_FIELDS_MAX)
            return bad(c, c->at, row->line, "more than 32 fields", why);
        char *end = field_end(c, at, &c->line, why);
        if (!end)
            return bad(c, c->at, row->line, *why, why);
        row->fields[row->count] = at;
        row->bytes[row->count++] = (size_t)(end - at);
        at = end;
        if (at == c->end || *at != ',')
            break;
        at++;
    }
    if (at < c->end) {
        at += *at == '\r' ? 2 : 1;
        c->line++;
    }
    c->at = at;
    for (size_t i = 0; i < row->count; i++) {
        row->bytes[i] = unquote(row->fields[i], row->bytes[i]);
        row->fields[i][row->bytes[i]] = 0;
    }
    return CSV_ROW;
}
