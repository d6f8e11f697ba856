#include "ctl/csv_file.h"

#include "base/hash.h"
#include "ctl/format.h"
#include "stock/names.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)4 << 30)
#define WHY_BYTES      200

void csv_file_bad(struct ctl *c, struct csv_file *f, uint64_t line, const char *what,
                  const char *why)
{
    char clean[200];
    format_clean(what, clean, sizeof clean);
    fprintf(c->io.err, "%s:%" PRIu64 ": %s%s%s\n", f->path, line, clean, *clean ? " " : "", why);
    f->bad++;
}

// The whole file, with a byte to spare. NULL: told.
static char *read_all(struct ctl *c, const char *path, size_t *bytes)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *in = standard ? stdin : fopen(path, "re");
    char *text = NULL;
    size_t room = 0;
    *bytes = 0;
    bool good = in != NULL;
    while (good && !feof(in)) {
        if (room - *bytes < 2) {
            room = room ? 2 * room : 1 << 20;
            text = ctl_grow(text, room);
        }
        *bytes += fread(text + *bytes, 1, room - *bytes - 1, in);
        good = !ferror(in) && *bytes < FILE_BYTES_MAX;
    }
    if (in && !standard)
        (void)fclose(in);
    if (good)
        return text;
    ctl_usage(c, "%s: %m", path);
    free(text);
    return NULL;
}

// A name of the header that is no column, or one twice.
static void tell_strange(struct ctl *c, struct csv_file *f, uint64_t line, const char *name,
                         const struct csv_columns *columns, bool twice)
{
    char why[WHY_BYTES] = "is no column: ";
    for (size_t i = 0; i < columns->count; i++)
        snprintf(why + strlen(why), sizeof why - strlen(why), "%s%s", i ? ", " : "",
                 columns->names[i]);
    csv_file_bad(c, f, line, name,
                 twice               ? "is there twice"
                 : strchr(name, ';') ? "is no column; are the fields separated by semicolons?"
                                     : why);
}

static bool needed_there(struct ctl *c, struct csv_file *f, uint64_t line,
                         const struct csv_columns *columns)
{
    char why[WHY_BYTES] = "needs ";
    bool all = true;
    for (size_t i = 0; i < columns->needed; i++) {
        all &= f->field[i] >= 0;
        snprintf(why + strlen(why), sizeof why - strlen(why), "%s%s",
                 i == 0                     ? ""
                 : i + 1 == columns->needed ? " and "
                                            : ", ",
                 columns->names[i]);
    }
    if (!all)
        csv_file_bad(c, f, line, "the header", why);
    return all;
}

static bool read_header(struct ctl *c, struct csv_file *f, const struct csv_columns *columns)
{
    struct csv_row row;
    const char *why = "is empty";
    enum csv_result r = csv_next(&f->rows, &row, &why);
    if (r != CSV_ROW) {
        csv_file_bad(c, f, row.line, "the header", why);
        return false;
    }
    for (size_t k = 0; k < CSV_COLUMNS_MAX; k++)
        f->field[k] = -1;
    f->fields = row.count;
    for (size_t i = 0; i < row.count; i++) {
        size_t k = 0;
        while (k < columns->count && strcmp(columns->names[k], row.fields[i]) != 0)
            k++;
        if (k == columns->count || f->field[k] >= 0) {
            tell_strange(c, f, row.line, row.fields[i], columns, k < columns->count);
            return false;
        }
        f->field[k] = (int)i;
    }
    return needed_there(c, f, row.line, columns);
}

bool csv_file_open(struct ctl *c, const char *path, const struct csv_columns *columns,
                   struct csv_file *f)
{
    size_t bytes;
    *f = (struct csv_file){.path = path, .text = read_all(c, path, &bytes)};
    if (!f->text)
        return false;
    f->hash = hf_hash(f->text, bytes, 0);
    csv_init(&f->rows, f->text, bytes);
    return read_header(c, f, columns);
}

void csv_file_fini(struct csv_file *f)
{
    free(f->text);
}

bool csv_file_row(struct ctl *c, struct csv_file *f, struct csv_row *row)
{
    char text[80];
    const char *why = "";
    for (enum csv_result r; (r = csv_next(&f->rows, row, &why)) != CSV_END;) {
        if (r == CSV_ROW && row->count == f->fields)
            return true;
        snprintf(text, sizeof text, "%zu fields, the header has %zu", row->count, f->fields);
        csv_file_bad(c, f, row->line, "", r == CSV_BAD ? why : text);
    }
    return false;
}

const char *csv_file_field(const struct csv_file *f, const struct csv_row *row, size_t column)
{
    return f->field[column] >= 0 ? row->fields[f->field[column]] : "";
}

bool csv_file_name(struct ctl *c, struct csv_file *f, const struct csv_row *row, size_t column,
                   const char *what, uint32_t most)
{
    int field = f->field[column];
    size_t bytes = field >= 0 ? row->bytes[field] : 0;
    if (bytes <= most && stock_name_valid(csv_file_field(f, row, column), (uint32_t)bytes, most))
        return true;
    char why[80];
    snprintf(why, sizeof why, "must be UTF-8 of 1 to %u bytes without control characters", most);
    csv_file_bad(c, f, row->line, what, why);
    return false;
}
