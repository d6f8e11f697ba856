#include "admin/collect.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

// jemalloc's, where it is the allocator; a sanitizer brings its own.
extern int mallctl(const char *name, void *old, size_t *old_bytes, void *fresh, size_t fresh_bytes)
    __attribute__((weak));

static uint64_t files_open(void)
{
    uint64_t count = 0;
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return 0;
    for (const struct dirent *e; (e = readdir(d));)
        count += e->d_name[0] != '.';
    closedir(d);
    return count - 1; // the folder's own
}

static void memory_read(uint64_t *virtual_bytes, uint64_t *resident_bytes)
{
    unsigned long long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%llu %llu", &total, &resident) != 2) // NOLINT(cert-err34-c): the kernel's
        total = resident = 0;
    if (f)
        fclose(f);
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    *virtual_bytes = total * page;
    *resident_bytes = resident * page;
}

static uint64_t processor_ns(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0)
        return 0;
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

static void allocator_collect(struct metrics *m)
{
    static const struct {
        const char *stat, *name, *help;
    } stats[] = {
        {"stats.allocated", "holdfast_heap_allocated_bytes", "handed out by the allocator"},
        {"stats.active", "holdfast_heap_active_bytes", "in pages that hold any of it"},
        {"stats.resident", "holdfast_heap_resident_bytes", "in memory, the allocator's own too"},
        {"stats.retained", "holdfast_heap_retained_bytes",
         "addresses kept, given back to the system"},
    };
    uint64_t epoch = 1;
    if (!mallctl || mallctl("epoch", NULL, NULL, &epoch, sizeof epoch) != 0)
        return;
    for (size_t i = 0; i < sizeof stats / sizeof *stats; i++) {
        size_t value, bytes = sizeof value;
        if (mallctl(stats[i].stat, &value, &bytes, NULL, 0) != 0)
            continue;
        metrics_family(m, METRICS_GAUGE, stats[i].name, stats[i].help);
        metrics_value(m, stats[i].name, NULL, METRICS_PLAIN, value);
    }
}

void collect_process(struct metrics *m, uint64_t uptime_ms)
{
    uint64_t virtual_bytes, resident_bytes;
    struct rlimit files = {0, 0};
    memory_read(&virtual_bytes, &resident_bytes);
    getrlimit(RLIMIT_NOFILE, &files);
    const struct metrics_row rows[] = {
        {METRICS_GAUGE, METRICS_MS, "holdfast_uptime_seconds", uptime_ms, "since the start"},
        {METRICS_GAUGE, METRICS_PLAIN, "process_resident_memory_bytes", resident_bytes,
         "memory in use"},
        {METRICS_GAUGE, METRICS_PLAIN, "process_virtual_memory_bytes", virtual_bytes,
         "addresses in use"},
        {METRICS_COUNTER, METRICS_NS, "process_cpu_seconds_total", processor_ns(),
         "processor time, user and system"},
        {METRICS_GAUGE, METRICS_PLAIN, "process_open_fds", files_open(),
         "file descriptors in use; when few are left, connections are refused"},
        {METRICS_GAUGE, METRICS_PLAIN, "process_max_fds", files.rlim_cur,
         "and how many there may be"},
    };
    metrics_rows(m, rows, sizeof rows / sizeof *rows);
    allocator_collect(m);
}
