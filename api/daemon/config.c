// Gathers the options from their sources, lowest first, so that each simply overwrites.
#include "daemon/config_internal.h"

#include "sys/text_file.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (1u << 20)
#define PREFIX         "HOLDFAST_"

// ------------------------------------------------------------------------------- errors

static void tell(struct config_errors *e, bool warning, const char *fmt, va_list args)
{
    if (e->count == CONFIG_ERRORS_MAX) {
        e->left_out++;
        return;
    }
    vsnprintf(e->texts[e->count], sizeof e->texts[0], fmt, args);
    e->warning[e->count++] = warning;
    e->warnings += warning;
}

void config_wrong(struct config_errors *e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    tell(e, false, fmt, args);
    va_end(args);
}

void config_warn(struct config_errors *e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    tell(e, true, fmt, args);
    va_end(args);
}

void config_wrong_file(struct config_errors *errors, const char *option, const char *path,
                       const char *why)
{
    config_wrong(errors, "%s: %.150s: %s", option, path, why);
}

void config_warn_file(struct config_errors *errors, const char *option, const char *path,
                      const char *why)
{
    config_warn(errors, "%s: %.150s: %s", option, path, why);
}

// ------------------------------------------------------------------------------- one value

enum config_id config_find(const char *key, size_t bytes)
{
    for (unsigned id = 0; id < CONFIG_OPTION_COUNT; id++) {
        const char *own = config_options[id].key;
        size_t i = 0;
        while (i < bytes && own[i] && (key[i] == own[i] || (key[i] == '-' && own[i] == '_')))
            i++;
        if (i == bytes && own[i] == 0)
            return (enum config_id)id;
    }
    return CONFIG_OPTION_COUNT;
}

void config_take(struct config *c, enum config_id id, const char *text, enum config_source source,
                 uint32_t line, const char *where, struct config_errors *e)
{
    char why[200];
    if (c->sources[id] == source && source != CONFIG_DEFAULT) {
        if (source == CONFIG_FILE)
            config_wrong(e, "%s: %s is there twice, first in line %u", where,
                         config_options[id].key, c->lines[id]);
        else
            config_wrong(e, "%s is given twice", where);
        return;
    }
    if (config_value_set(c, id, text, why)) {
        c->sources[id] = source;
        c->lines[id] = line;
    } else if (source == CONFIG_FILE) {
        config_wrong(e, "%s: %s: %s", where, config_options[id].key, why);
    } else {
        config_wrong(e, "%s: %s", where, why);
    }
}

static bool defaults_set(struct config *c, struct config_errors *e)
{
    for (unsigned id = 0; id < CONFIG_OPTION_COUNT; id++)
        config_take(c, (enum config_id)id, config_options[id].fallback, CONFIG_DEFAULT, 0,
                    config_options[id].key, e);
    return e->count == 0;
}

// ------------------------------------------------------------------------------- sources

static void file_name_set(struct config *c, const char *path, struct config_errors *e)
{
    free(c->file);
    c->file = strdup(path);
    if (!c->file)
        config_wrong(e, "no memory");
}

static void file_take(struct config *c, struct config_errors *e)
{
    char *text;
    size_t bytes;
    const char *why;
    if (text_file_read(c->file, FILE_BYTES_MAX, &text, &bytes, &why) != HF_OK) {
        config_wrong(e, "the configuration file %.200s %s", c->file, why);
        return;
    }
    const char *slash = strrchr(c->file, '/');
    config_yaml(c, slash ? slash + 1 : c->file, text, bytes, e);
    free(text);
}

// The option of an environment entry `HOLDFAST_NAME=...`, whose name has name_bytes.
static enum config_id environment_find(const char *name, size_t name_bytes)
{
    char key[64];
    if (name_bytes >= sizeof key)
        return CONFIG_OPTION_COUNT;
    for (size_t i = 0; i < name_bytes; i++) {
        if (name[i] >= 'a' && name[i] <= 'z')
            return CONFIG_OPTION_COUNT;
        key[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i];
    }
    return config_find(key, name_bytes);
}

// Variables of the programs beside it, which are often exported where it starts.
static bool of_the_tools(const char *variable)
{
    static const char *const names[] = {
        "ADDRESS",  "CA",          "CERT",    "CERT_KEY", "KEY",
        "ODOO_KEY", "SERVER_NAME", "TIMEOUT", "TLS",      "CLIENT_KEY_FILE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(variable + sizeof PREFIX - 1, names[i]) == 0)
            return true;
    return false;
}

static void environment_take(struct config *c, char **environment, struct config_errors *e)
{
    for (; *environment; environment++) {
        const char *entry = *environment, *equals = strchr(entry, '=');
        char where[100];
        if (!equals || strncmp(entry, PREFIX, sizeof PREFIX - 1) != 0)
            continue;
        const char *name = entry + sizeof PREFIX - 1;
        snprintf(where, sizeof where, "%.*s", (int)(equals - entry), entry);
        if (strcmp(where, PREFIX "CONFIG") == 0 || of_the_tools(where))
            continue;
        enum config_id id = environment_find(name, (size_t)(equals - name));
        // Not an error: a cluster puts names of its own there, from the service's.
        if (id == CONFIG_OPTION_COUNT)
            config_warn(e, "%s: no such option, not looked at", where);
        else
            config_take(c, id, equals + 1, CONFIG_ENVIRONMENT, 0, where, e);
    }
}

static const char *environment_file(char **environment)
{
    static const char name[] = PREFIX "CONFIG=";
    for (; *environment; environment++)
        if (strncmp(*environment, name, sizeof name - 1) == 0)
            return *environment + sizeof name - 1;
    return NULL;
}

// ------------------------------------------------------------------------------- flags

// A flag taken apart: name without dashes, value after `=` or in the next argument.
struct flag {
    const char *name, *value; // value NULL: none
    size_t name_bytes;
    enum config_id id;
    bool negated; // --no-NAME
};

static bool command_read(const char *flag, enum config_command *command)
{
    static const struct {
        const char *flag;
        enum config_command command;
    } commands[] = {
        {"--check-config", CONFIG_CHECK},
        {"--print-config", CONFIG_PRINT},
        {"--help", CONFIG_HELP},
        {"-h", CONFIG_HELP},
        {"--version", CONFIG_VERSION},
        {"-V", CONFIG_VERSION},
        {"--document-config", CONFIG_DOCUMENT},
    };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(flag, commands[i].flag) == 0) {
            *command = commands[i].command;
            return true;
        }
    return false;
}

// Reads the flag at argv[*i] and moves *i past what it took.
static bool flag_read(int argc, char **argv, int *i, struct flag *f, struct config_errors *e)
{
    const char *arg = argv[(*i)++];
    if (strncmp(arg, "--", 2) != 0 || arg[2] == 0) {
        config_wrong(e, "%.60s: options begin with --; see --help", arg);
        return false;
    }
    f->name = arg + 2;
    f->name_bytes = strcspn(f->name, "=");
    f->value = f->name[f->name_bytes] == '=' ? f->name + f->name_bytes + 1 : NULL;
    f->id = config_find(f->name, f->name_bytes);
    f->negated = false;
    bool is_file = f->name_bytes == 6 && strncmp(f->name, "config", 6) == 0;
    if (f->id == CONFIG_OPTION_COUNT && strncmp(f->name, "no-", 3) == 0) {
        f->id = config_find(f->name + 3, f->name_bytes - 3);
        f->negated = f->id < CONFIG_OPTION_COUNT;
    }
    bool is_flag = f->id < CONFIG_OPTION_COUNT && config_options[f->id].type == CONFIG_TYPE_FLAG;
    if ((f->id == CONFIG_OPTION_COUNT && !is_file) || (f->negated && (!is_flag || f->value))) {
        config_wrong(e, "%.60s: no such option; see --help", arg);
        return false;
    }
    if (is_flag && !f->value)
        f->value = f->negated ? "false" : "true";
    if (!f->value && *i < argc)
        f->value = argv[(*i)++];
    if (!f->value)
        config_wrong(e, "--%.*s needs a value", (int)f->name_bytes, f->name);
    return f->value != NULL;
}

// First pass: the command and the file, and what is wrong; second: the values.
static void flags_scan(struct config *c, int argc, char **argv, struct config_errors *e)
{
    bool named = false;
    for (int i = 1; i < argc;) {
        struct flag f;
        enum config_command command;
        if (command_read(argv[i], &command)) {
            // The harmless ones win, however they are combined.
            if (command > c->command)
                c->command = command;
            i++;
        } else if (flag_read(argc, argv, &i, &f, e) && f.id == CONFIG_OPTION_COUNT) {
            if (named)
                config_wrong(e, "--config is given twice");
            named = true;
            file_name_set(c, f.value, e);
        }
    }
}

static void flags_take(struct config *c, int argc, char **argv, struct config_errors *e)
{
    struct config_errors *known = calloc(1, sizeof *known); // told by the first pass
    if (!known) {
        config_wrong(e, "no memory");
        return;
    }
    for (int i = 1; i < argc;) {
        struct flag f;
        char where[100];
        enum config_command command;
        if (command_read(argv[i], &command)) {
            i++;
        } else if (flag_read(argc, argv, &i, &f, known) && f.id < CONFIG_OPTION_COUNT) {
            snprintf(where, sizeof where, "--%.*s", (int)f.name_bytes, f.name);
            config_take(c, f.id, f.value, CONFIG_FLAG, 0, where, e);
        }
    }
    free(known);
}

// ------------------------------------------------------------------------------- all

bool config_load(struct config *c, int argc, char **argv, char **environment,
                 struct config_errors *errors)
{
    memset(c, 0, sizeof *c);
    memset(errors, 0, sizeof *errors);
    if (!defaults_set(c, errors)) { // the table is right, a test says
        c->no_memory = true;
        return false;
    }
    const char *file = environment_file(environment);
    if (file)
        file_name_set(c, file, errors);
    flags_scan(c, argc, argv, errors);
    if (c->command >= CONFIG_DOCUMENT)
        return errors->count == errors->warnings;
    if (c->file)
        file_take(c, errors);
    environment_take(c, environment, errors);
    flags_take(c, argc, argv, errors);
    config_relations(c, errors);
    return errors->count == errors->warnings;
}

void config_fini(struct config *c)
{
    for (unsigned id = 0; id < CONFIG_OPTION_COUNT; id++)
        if (config_options[id].type == CONFIG_TYPE_TEXT)
            free(*(char **)((char *)c + config_options[id].offset));
    free(c->file);
    memset(c, 0, sizeof *c);
}
