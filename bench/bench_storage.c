// One write past the page cache and one sync, by group size: the floor under every durable answer.
// The file lies in the current folder, so run it on the disk in question.
#include "base/limits.h"
#include "harness.h"
#include "suites.h"
#include "yardstick.h"

#include <stdlib.h>
#include <unistd.h>

#define FILE_BYTES (64 << 20)
#define GROUP_MAX  (1 << 20)
#define BATCH      16

static void run_groups(struct bench_state *s, struct yardstick_file *f)
{
    struct yardstick_sync r;
    uint32_t group_bytes = (uint32_t)bench_arg(s);
    while (bench_next(s, BATCH))
        if (yardstick_sync_run(f, group_bytes, BATCH, &r) != HF_OK) {
            bench_skip(s, "writing failed");
            return;
        }
    bench_bytes(s, bench_iterations(s) * group_bytes);
    bench_items(s, bench_iterations(s));
}

static void sync_groups(struct bench_state *s)
{
    char folder[] = "holdfast-bench.XXXXXX";
    struct storage *storage;
    struct yardstick_file f;
    if (!mkdtemp(folder)) {
        bench_skip(s, "no folder can be made here");
        return;
    }
    if (storage_os_create(folder, false, &storage) == HF_OK) {
        struct yardstick_file_options o = {storage, FILE_BYTES, GROUP_MAX, BATCH};
        if (yardstick_file_create(&f, &o) == HF_OK) {
            run_groups(s, &f);
            yardstick_file_destroy(&f);
        } else {
            bench_skip(s, "no file can be made here");
        }
        storage_destroy(storage);
    }
    if (rmdir(folder) != 0)
        bench_counter(s, "folder_left", 1);
}

void bench_storage_register(void)
{
    static const int64_t group_bytes[] = {HF_BLOCK, 64 << 10, GROUP_MAX};
    bench_register("storage/write_sync", sync_groups, &(struct bench_options){group_bytes, 3, 1});
}
