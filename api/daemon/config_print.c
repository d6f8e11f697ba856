// --help, --print-config and docs/configuration.md, all from the table.
#include "daemon/config_internal.h"

#include <string.h>

// Calls group(title) and option(id) in the table's order.
static void table_walk(FILE *out, const struct config *c, void (*group)(FILE *out, const char *),
                       void (*option)(FILE *out, const struct config *c, enum config_id id))
{
#define G(title)      group(out, title);
#define X(field, ...) option(out, c, CONFIG_##field);
    CONFIG_TABLE(G, X)
#undef X
#undef G
}

static void dashed(FILE *out, const char *key)
{
    for (; *key; key++)
        fputc(*key == '_' ? '-' : *key, out);
}

static void range_text(const struct config_option *o, char *text, size_t bytes)
{
    char least[CONFIG_TEXT_BYTES], most[CONFIG_TEXT_BYTES];
    text[0] = 0;
    if (o->type == CONFIG_TYPE_TEXT || o->type == CONFIG_TYPE_FLAG || o->type == CONFIG_TYPE_LEVEL)
        return;
    config_number_text(o->type, o->min, least);
    config_number_text(o->type, o->max, most);
    snprintf(text, bytes, "%.60s .. %.60s", least, most);
}

// ------------------------------------------------------------------------------- help

static void help_group(FILE *out, const char *title)
{
    fprintf(out, "\n%s:\n", title);
}

// Broken at blanks so that lines have at most 90 columns.
static void wrapped(FILE *out, const char *text, const char *margin)
{
    while (*text) {
        size_t room = 90 - strlen(margin), bytes = strlen(text);
        if (bytes > room) {
            bytes = room;
            while (bytes > 0 && text[bytes] != ' ')
                bytes--;
            if (bytes == 0)
                bytes = strcspn(text, " ");
        }
        fprintf(out, "%s%.*s\n", margin, (int)bytes, text);
        text += bytes;
        text += strspn(text, " ");
    }
}

static void help_option(FILE *out, const struct config *c, enum config_id id)
{
    const struct config_option *o = &config_options[id];
    char range[2 * CONFIG_TEXT_BYTES], text[700];
    (void)c;
    fputs("  --", out);
    dashed(out, o->key);
    if (o->type == CONFIG_TYPE_FLAG)
        fprintf(out, " (or --no-...), default %s\n", o->fallback);
    else
        fprintf(out, " %s, default %s\n", config_type_name(o->type),
                o->fallback[0] ? o->fallback : "empty");
    range_text(o, range, sizeof range);
    snprintf(text, sizeof text, "%s%s%s%s", o->help, range[0] ? " (" : "", range,
             range[0] ? ")" : "");
    wrapped(out, text, "      ");
}

void config_help(FILE *out)
{
    fputs(
        "holdfastd: holds stock, decides reservations, journals every decision.\n\n"
        "usage: holdfastd [--config FILE] [--OPTION VALUE | --OPTION=VALUE ...]\n\n"
        "  --config FILE       YAML, `option_name: value`; also HOLDFAST_CONFIG\n"
        "  --check-config      tell what is wrong with the options, and end\n"
        "  --print-config      the options in force and where each is from, as YAML, and end\n"
        "  --document-config   docs/configuration.md, and end\n"
        "  --version, --help\n\n"
        "Every option is also an environment variable (--cells-max: HOLDFAST_CELLS_MAX) and a key\n"
        "of the file (cells_max). Flags win over the environment, that over the file.\n",
        out);
    table_walk(out, NULL, help_group, help_option);
}

// ------------------------------------------------------------------------------- print

static void print_group(FILE *out, const char *title)
{
    fprintf(out, "\n# %s\n", title);
}

static void quoted(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text; text++) {
        if (*text == '\'')
            fputc('\'', out);
        fputc(*text, out);
    }
    fputc('\'', out);
}

static void print_option(FILE *out, const struct config *c, enum config_id id)
{
    static const char *const names[] = {"default", "file", "environment", "flag"};
    const struct config_option *o = &config_options[id];
    char buffer[CONFIG_TEXT_BYTES];
    const char *text = config_value_text(c, id, buffer);
    fprintf(out, "%s: ", o->key);
    if (o->type == CONFIG_TYPE_TEXT)
        quoted(out, text);
    else
        fputs(text, out);
    fprintf(out, "  # %s", names[c->sources[id]]);
    if (c->sources[id] == CONFIG_FILE)
        fprintf(out, ", line %u", c->lines[id]);
    fputc('\n', out);
}

void config_print(const struct config *c, FILE *out)
{
    fprintf(out, "# holdfastd, options in force; file: %s\n", c->file ? c->file : "none");
    table_walk(out, c, print_group, print_option);
}

// ------------------------------------------------------------------------------- document

static void document_group(FILE *out, const char *title)
{
    fprintf(out, "\n## %s\n\n| option | kind | default | range | what |\n|---|---|---|---|---|\n",
            title);
}

static void document_option(FILE *out, const struct config *c, enum config_id id)
{
    const struct config_option *o = &config_options[id];
    char range[2 * CONFIG_TEXT_BYTES];
    (void)c;
    range_text(o, range, sizeof range);
    fprintf(out, "| `%s` | ", o->key);
    for (const char *p = config_type_name(o->type); *p; p++)
        fprintf(out, "%s%c", *p == '|' ? "\\" : "", *p);
    fprintf(out, " | %s%s%s | %s | %s |\n", o->fallback[0] ? "`" : "", o->fallback,
            o->fallback[0] ? "`" : "", range, o->help);
}

void config_document(FILE *out)
{
    fputs("# Configuration of holdfastd\n\n"
          "Made by `holdfastd --document-config` from the table in `api/daemon/config.h`; a test "
          "holds\n"
          "this page to it.\n\n"
          "An option has one name: `cells_max` in the YAML file, `--cells-max` as a flag,\n"
          "`HOLDFAST_CELLS_MAX` in the environment. Flags win over the environment, the "
          "environment over\n"
          "the file, the file over the default. The file is named by `--config` or "
          "`HOLDFAST_CONFIG`;\n"
          "without either none is read. An example is `packaging/holdfast.yaml`.\n\n"
          "- Counts are digits. Sizes are bytes, or have KiB, MiB, GiB or TiB. Durations have ms, "
          "s, min,\n"
          "  h or d; only 0 may stand alone.\n"
          "- Unknown keys, keys that are there twice, values of another kind and values out of "
          "range are\n"
          "  errors, all told at once, with the line of the file. An unknown `HOLDFAST_...` "
          "variable is a\n"
          "  warning: container platforms set some of their own.\n"
          "- `holdfastd --check-config` looks without starting (exit code 0 or 78); "
          "`--print-config` shows\n"
          "  what is in force and from where, as a file that says the same.\n"
          "- Outside loopback the listener wants TLS, and callers whom it knows by API key or "
          "client\n"
          "  certificate; `insecure` says aloud that it does without. See "
          "[OPERATIONS.md](OPERATIONS.md).\n",
          out);
    table_walk(out, NULL, document_group, document_option);
}
