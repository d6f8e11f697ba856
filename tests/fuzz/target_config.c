// The configuration: a YAML file, the environment and flags together.
//
// An input is pieces with a NUL between: the file's text, then arguments; those that begin with
// HOLDFAST_ go to the environment.
#include "fuzz/fuzz.h"

#include "daemon/config_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECES_MAX 24

static int file = -1;
static char path[64];

void fuzz_set_up(void)
{
    file = memfd_create("config", MFD_CLOEXEC);
    HF_ASSERT(file >= 0 && fchmod(file, 0600) == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
}

static void seed_option(unsigned id)
{
    const struct config_option *o = &config_options[id];
    char name[80], text[300], flag[80], most[CONFIG_TEXT_BYTES];
    size_t n = 0;
    while (o->key[n] && n < sizeof flag - 1) {
        flag[n] = o->key[n] == '_' ? '-' : o->key[n];
        n++;
    }
    flag[n] = 0;
    config_number_text(o->type, o->max, most);
    snprintf(name, sizeof name, "option-%s", o->key);
    int bytes = snprintf(text, sizeof text, "%s: %s\n%c--%s=%s%cHOLDFAST_X=%s", o->key,
                         o->fallback[0] ? o->fallback : "''", 0, flag, most, 0, o->fallback);
    fuzz_seed(name, text, (size_t)bytes);
    fuzz_word(o->key);
    fuzz_word(flag);
}

void fuzz_seeds(void)
{
    static const char *const words[] = {
        "--",     "--no-", "=",    "true",   "false",  "KiB",    "MiB", "GiB",       "TiB",
        "ms",     "min",   "sync", "group:", "none",   "debug",  "---", "HOLDFAST_", "--config",
        "--help", "''",    "&a ",  "*a",     "!!int ", "{a: b}", "? ",  "|",         "unix:/"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        fuzz_word(words[i]);
    for (unsigned id = 0; id < CONFIG_OPTION_COUNT; id++)
        seed_option(id);
    fuzz_seed_text("empty", "");
    fuzz_seed_text("comment", "# nothing\n---\n...\n");
    fuzz_seed_text("twice", "cells_max: 10\ncells_max: 11\n--- {}\n");
    fuzz_seed_text("anchor", "cells_max: &a 10\nids_max: *a\n? [x, y]\n: z\n");
    static const char command[] = "\0--print-config\0--cells-max\0"
                                  "20\0--no-archive";
    fuzz_seed("command", command, sizeof command - 1);
}

// What was taken reads back the same, and is within its limits.
static void values_judge(const struct config *c)
{
    for (unsigned id = 0; id < CONFIG_OPTION_COUNT; id++) {
        const struct config_option *o = &config_options[id];
        struct config other = {0};
        char buffer[CONFIG_TEXT_BYTES], again[CONFIG_TEXT_BYTES], why[200] = "";
        const char *text = config_value_text(c, (enum config_id)id, buffer);
        HF_ASSERT(config_value_set(&other, (enum config_id)id, text, why));
        HF_ASSERT(strcmp(config_value_text(&other, (enum config_id)id, again), text) == 0);
        if (o->type == CONFIG_TYPE_COUNT || o->type == CONFIG_TYPE_BYTES ||
            o->type == CONFIG_TYPE_SPAN) {
            uint64_t value = *(const uint64_t *)((const char *)c + o->offset);
            HF_ASSERT(value >= o->min && value <= o->max);
        }
        config_fini(&other);
    }
}

static void errors_judge(const struct config_errors *e)
{
    HF_ASSERT(e->count <= CONFIG_ERRORS_MAX && e->warnings <= e->count);
    HF_ASSERT(e->left_out == 0 || e->count == CONFIG_ERRORS_MAX);
    for (uint32_t i = 0; i < e->count; i++)
        HF_ASSERT(e->texts[i][0] && strnlen(e->texts[i], sizeof e->texts[i]) < sizeof e->texts[i]);
}

void fuzz_one(const uint8_t *data, size_t bytes)
{
    char *pieces[PIECES_MAX], *argv[PIECES_MAX + 4], *environment[PIECES_MAX + 1];
    int count = 0, argc = 0, variables = 0;
    struct config c;
    static struct config_errors errors;
    struct fuzz_input in = {data, data + bytes};
    const uint8_t *nul = memchr(data, 0, bytes);
    size_t text = nul ? (size_t)(nul - data) : bytes, got;
    HF_ASSERT(ftruncate(file, 0) == 0 && pwrite(file, data, text, 0) == (ssize_t)text);
    fuzz_take(&in, text + 1, &got);
    argv[argc++] = fuzz_text("holdfastd", 9);
    argv[argc++] = fuzz_text("--config", 8);
    argv[argc++] = fuzz_text(path, strlen(path));
    while (fuzz_left(&in) > 0 && count < PIECES_MAX) {
        nul = memchr(in.at, 0, fuzz_left(&in));
        const uint8_t *from = fuzz_take(&in, nul ? (size_t)(nul - in.at) : SIZE_MAX, &got);
        char *piece = pieces[count++] = fuzz_text(from, got);
        fuzz_byte(&in);
        if (strncmp(piece, "HOLDFAST_CONFIG", 15) == 0 || strncmp(piece, "--config", 8) == 0)
            continue; // no other file
        if (strncmp(piece, "HOLDFAST_", 9) == 0)
            environment[variables++] = piece;
        else
            argv[argc++] = piece;
    }
    environment[variables] = NULL;
    argv[argc] = NULL;
    bool good = config_load(&c, argc, argv, environment, &errors);
    HF_ASSERT(good == (errors.count == errors.warnings));
    errors_judge(&errors);
    values_judge(&c);
    config_fini(&c);
    for (int i = 0; i < count; i++)
        free(pieces[i]);
    for (int i = 0; i < 3; i++)
        free(argv[i]);
}
