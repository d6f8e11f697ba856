#include "ctl/ctl.h"
#include "ctl/format.h"

#include <stdlib.h>
#include <string.h>

#define OPT_BIT(o)  (UINT64_C(1) << (o))
#define WORDS_BYTES 64

static const struct option_row {
    const char *name, *argument, *variable, *help;
} options[OPTION_COUNT] = {
#define X(symbol, name, argument, variable, help) {name, argument, variable, help},
    CTL_OPTION_TABLE(X)
#undef X
};

// What every command has, and what those that talk to a server have.
static const uint64_t for_all = OPT_BIT(OPT_JSON) | OPT_BIT(OPT_HELP) | OPT_BIT(OPT_VERSION);
static const uint64_t for_online =
    OPT_BIT(OPT_ADDRESS) | OPT_BIT(OPT_TLS) | OPT_BIT(OPT_CA) | OPT_BIT(OPT_CERT) |
    OPT_BIT(OPT_CERT_KEY) | OPT_BIT(OPT_SERVER_NAME) | OPT_BIT(OPT_KEY_FILE) |
    OPT_BIT(OPT_INSECURE) | OPT_BIT(OPT_TIMEOUT) | OPT_BIT(OPT_TRIES) | OPT_BIT(OPT_RAW);

const char *ctl_option_name(enum ctl_option o)
{
    return options[o].name;
}

// ------------------------------------------------------------------------------------ help

static void help_options(FILE *out, uint64_t mask)
{
    for (size_t o = 0; o < OPTION_COUNT; o++) {
        if (!(mask & OPT_BIT(o)))
            continue;
        const struct option_row *r = &options[o];
        char left[48];
        snprintf(left, sizeof left, "--%s%s%s", r->name, r->argument ? " " : "",
                 r->argument ? r->argument : "");
        fprintf(out, "  %-26s %s%s%s%s\n", left, r->help, r->variable ? " [" : "",
                r->variable ? r->variable : "", r->variable ? "]" : "");
    }
}

static void help_exits(FILE *out)
{
    fprintf(out, "\nexit codes:\n");
#define X(code, name, help) fprintf(out, "  %2d  %s\n", code, help);
    CTL_EXIT_TABLE(X)
#undef X
}

void ctl_help(const struct ctl *c, const struct ctl_command *command)
{
    FILE *out = c->io.out;
    if (command) {
        fprintf(out, "usage: holdfastctl %s%s%s [OPTION...]\n%s\n", command->words,
                *command->arguments ? " " : "", command->arguments, command->help);
        if (command->more)
            fprintf(out, "\n%s", command->more);
        if (command->options)
            fprintf(out, "\noptions:\n");
        help_options(out, command->options);
        fprintf(out, "\noptions of every command%s:\n", command->offline ? "" : " to a server");
        help_options(out, command->offline ? for_all : for_all | for_online);
    } else {
        fprintf(out, "usage: holdfastctl COMMAND [ARGUMENT...] [OPTION...]\n\ncommands:\n");
        for (size_t i = 0; i < ctl_command_count; i++) {
            char left[64];
            snprintf(left, sizeof left, "%s %s", ctl_commands[i].words, ctl_commands[i].arguments);
            fprintf(out, "  %-42s %s\n", left, ctl_commands[i].help);
        }
        fprintf(out, "\nA LINE is SKU@LOCATION=QUANTITY, a quantity 3 or 2.5 (see --raw), a span "
                     "250ms, 30s,\n10m, 2h or 1d. `holdfastctl COMMAND --help` tells more.\n"
                     "\noptions of every command:\n");
        help_options(out, for_all | for_online);
    }
    help_exits(out);
}

// ------------------------------------------------------------------------------------ parsing

static bool find_option(const char *name, size_t bytes, enum ctl_option *found)
{
    for (size_t o = 0; o < OPTION_COUNT; o++)
        if (strlen(options[o].name) == bytes && memcmp(options[o].name, name, bytes) == 0) {
            *found = (enum ctl_option)o;
            return true;
        }
    return false;
}

// One argument that begins with two dashes, and what belongs to it. False: told.
static bool take_option(struct ctl *c, int argc, char **argv, int *at)
{
    const char *text = argv[*at] + 2, *equal = strchr(text, '=');
    size_t bytes = equal ? (size_t)(equal - text) : strlen(text);
    enum ctl_option o;
    if (!find_option(text, bytes, &o)) {
        ctl_usage(c, "there is no option --%.*s", (int)bytes, text);
        return false;
    }
    const char *value = equal ? equal + 1 : NULL;
    if (!options[o].argument && value) {
        ctl_usage(c, "--%s takes no argument", options[o].name);
        return false;
    }
    if (options[o].argument && !value) {
        if (*at + 1 >= argc) {
            ctl_usage(c, "--%s needs %s", options[o].name, options[o].argument);
            return false;
        }
        value = argv[++*at];
    }
    if (c->option[o]) {
        ctl_usage(c, "--%s is there twice", options[o].name);
        return false;
    }
    c->option[o] = value ? value : "";
    return true;
}

// A negative number is an argument.
static bool is_option(const char *text)
{
    return text[0] == '-' && text[1] && !(text[1] >= '0' && text[1] <= '9') && text[1] != '.';
}

// Splits options from words. False: told.
static bool split(struct ctl *c, int argc, char **argv)
{
    bool words_only = false;
    c->argc = 0;
    c->argv = ctl_alloc((size_t)(argc + 1) * sizeof *c->argv);
    for (int i = 1; i < argc; i++) {
        if (words_only || !is_option(argv[i])) {
            c->argv[c->argc++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            words_only = true;
        } else if (strcmp(argv[i], "-h") == 0) {
            c->option[OPT_HELP] = "";
        } else if (argv[i][1] != '-') {
            ctl_usage(c, "there is no option %s", argv[i]);
            return false;
        } else if (!take_option(c, argc, argv, &i)) {
            return false;
        }
    }
    return true;
}

// The command whose words come first; they are taken off. NULL: none.
static const struct ctl_command *find_command(struct ctl *c)
{
    for (int words = c->argc < 2 ? c->argc : 2; words > 0; words--) {
        char text[WORDS_BYTES];
        snprintf(text, sizeof text, "%s%s%s", c->argv[0], words > 1 ? " " : "",
                 words > 1 ? c->argv[1] : "");
        for (size_t i = 0; i < ctl_command_count; i++)
            if (strcmp(ctl_commands[i].words, text) == 0) {
                c->argc -= words;
                memmove(c->argv, c->argv + words, (size_t)c->argc * sizeof *c->argv);
                return &ctl_commands[i];
            }
    }
    return NULL;
}

// Help on what begins with the word, such as `holdfastctl stock --help`.
static bool help_group(const struct ctl *c)
{
    size_t bytes = c->argc > 0 ? strlen(c->argv[0]) : 0, found = 0;
    for (size_t i = 0; bytes > 0 && i < ctl_command_count; i++) {
        const struct ctl_command *k = &ctl_commands[i];
        if (strncmp(k->words, c->argv[0], bytes) != 0 || k->words[bytes] != ' ')
            continue;
        found++;
        fprintf(c->io.out, "  holdfastctl %s %s\n      %s\n", k->words, k->arguments, k->help);
    }
    return found > 0;
}

static enum ctl_exit check_use(struct ctl *c)
{
    const struct ctl_command *k = c->command;
    uint64_t allowed = k->options | for_all | (k->offline ? 0 : for_online);
    for (size_t o = 0; o < OPTION_COUNT; o++)
        if (c->option[o] && !(allowed & OPT_BIT(o)))
            return ctl_usage(c, "`%s` has no option --%s", k->words, options[o].name);
    if (c->argc < k->arguments_min)
        return ctl_usage(c, "`%s` needs %s", k->words, k->arguments);
    if (c->argc > k->arguments_max)
        return ctl_usage(c, "`%s` takes no further argument: %s", k->words,
                         c->argv[k->arguments_max]);
    return CTL_OK;
}

enum ctl_exit ctl_args(struct ctl *c, int argc, char **argv)
{
    if (!split(c, argc, argv))
        return CTL_USAGE;
    if (c->option[OPT_VERSION]) {
        fprintf(c->io.out, "holdfastctl " HF_VERSION "\n");
        return CTL_OK;
    }
    if (c->argc > 0 &&
        strcmp(c->argv[0], "help") == 0) { // `help stock list` as `stock list --help`
        memmove(c->argv, c->argv + 1, (size_t)--c->argc * sizeof *c->argv);
        c->option[OPT_HELP] = "";
    }
    c->command = find_command(c);
    if (c->option[OPT_HELP] && !c->command && help_group(c))
        return CTL_OK;
    if (c->option[OPT_HELP] && (c->command || c->argc == 0)) {
        ctl_help(c, c->command);
        c->command = NULL;
        return CTL_OK;
    }
    if (!c->command)
        return ctl_usage(c, c->argc > 0 ? "there is no command `%s`" : "which command?%s",
                         c->argc > 0 ? c->argv[0] : "");
    enum ctl_exit e = check_use(c);
    for (size_t o = 0; o < OPTION_COUNT && e == CTL_OK; o++) {
        const char *value = options[o].variable ? c->io.variable(options[o].variable) : NULL;
        // A switch is on unless it is empty or 0.
        bool off = !value || !*value || (!options[o].argument && strcmp(value, "0") == 0);
        if (!c->option[o] && !off)
            c->option[o] = value;
    }
    c->json = c->option[OPT_JSON] != NULL;
    c->raw = c->option[OPT_RAW] != NULL;
    return e;
}
