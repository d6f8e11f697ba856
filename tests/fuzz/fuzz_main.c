#include "fuzz/fuzz.h"

#include "base/log.h"
#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const char *seed_folder; // NULL: seeds are not asked for
static FILE *words;             // NULL: words are not asked for

void fuzz_seed(const char *name, const void *data, size_t bytes)
{
    char path[4096];
    if (!seed_folder)
        return;
    snprintf(path, sizeof path, "%s/%s", seed_folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

void fuzz_seed_text(const char *name, const char *text)
{
    fuzz_seed(name, text, strlen(text));
}

void fuzz_word(const char *text)
{
    if (!words)
        return;
    fputc('"', words);
    for (const char *p = text; *p; p++)
        fprintf(words, *p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
    fputs("\"\n", words);
}

static void log_nothing(void *ctx, enum hf_log_level level, const char *line)
{
    (void)ctx, (void)level, (void)line;
}

static const char *argument(int argc, char **argv, const char *name)
{
    size_t bytes = strlen(name);
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], name, bytes) == 0)
            return argv[i] + bytes;
    return NULL;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *folder = argument(*argc, *argv, "--write-seeds=");
    const char *file = argument(*argc, *argv, "--write-words=");
    hf_log_set_sink(log_nothing, NULL); // damage is logged, and there is plenty of it
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    fuzz_set_up();
    if (!folder && !file)
        return 0;
    seed_folder = folder;
    words = file ? fopen(file, "w") : NULL;
    if (file && !words) {
        perror(file);
        exit(1);
    }
    fuzz_seeds();
    if (words && fclose(words) != 0) {
        perror(file);
        exit(1);
    }
    _Exit(0); // libFuzzer would take exit for a crash
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    fuzz_one(data, bytes);
    return 0;
}
