#include "daemon/rehearsal.h"

#include "base/hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint64_t rehearsal_next(struct rehearsal_random *r)
{
    r->state += UINT64_C(0x9e3779b97f4a7c15);
    return hf_mix64(r->state);
}

uint32_t rehearsal_below(struct rehearsal_random *r, uint32_t bound)
{
    return (uint32_t)((rehearsal_next(r) >> 32) * bound >> 32);
}

// ------------------------------------------------------------------------------- processes

void *rehearsal_share(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void rehearsal_unshare(void *memory, size_t bytes)
{
    if (memory)
        munmap(memory, bytes);
}

pid_t rehearsal_fork(int (*run)(void *ctx), void *ctx)
{
    pid_t parent = getpid();
    fflush(NULL);
    pid_t child = fork();
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) // it had gone before we asked
        _exit(1);
    int status = run(ctx);
    fflush(NULL);
    _exit(status);
}

static int exit_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool rehearsal_running(pid_t child, int *status)
{
    int raw;
    if (waitpid(child, &raw, WNOHANG) != child)
        return true;
    *status = exit_status(raw);
    return false;
}

int rehearsal_join(pid_t child)
{
    int raw = 0;
    while (waitpid(child, &raw, 0) < 0)
        if (errno != EINTR)
            return 1;
    return exit_status(raw);
}

void rehearsal_kill(pid_t child)
{
    kill(child, SIGKILL);
    rehearsal_join(child);
}

void rehearsal_sleep_ms(uint32_t ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

bool rehearsal_folder_make(const char *prefix, char *path, size_t bytes)
{
    const char *base = getenv("TMPDIR");
    int n = snprintf(path, bytes, "%s/%s.XXXXXX", base && base[0] ? base : "/tmp", prefix);
    return n > 0 && (size_t)n < bytes && mkdtemp(path) != NULL;
}

void rehearsal_folder_remove(const char *path)
{
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(path);
}

// ------------------------------------------------------------------------------- latencies

// Values below REHEARSAL_STEPS have a bucket each; above, the five bits after the highest choose.
static uint32_t bucket_of(uint64_t ns)
{
    if (ns < REHEARSAL_STEPS)
        return (uint32_t)ns;
    uint32_t shift = 58 - (uint32_t)__builtin_clzll(ns);
    uint32_t bucket = (shift + 1) * REHEARSAL_STEPS + (uint32_t)(ns >> shift) - REHEARSAL_STEPS;
    return bucket < REHEARSAL_BUCKETS ? bucket : REHEARSAL_BUCKETS - 1;
}

static uint64_t bucket_end(uint32_t bucket)
{
    if (bucket < REHEARSAL_STEPS)
        return bucket;
    uint32_t shift = bucket / REHEARSAL_STEPS - 1;
    return (uint64_t)(bucket % REHEARSAL_STEPS + REHEARSAL_STEPS + 1) << shift;
}

void rehearsal_note(struct rehearsal_latency *l, uint64_t ns, uint64_t count)
{
    l->counts[bucket_of(ns)] += count;
}

void rehearsal_merge(struct rehearsal_latency *to, const struct rehearsal_latency *from)
{
    for (uint32_t i = 0; i < REHEARSAL_BUCKETS; i++)
        to->counts[i] += from->counts[i];
}

uint64_t rehearsal_quantile(const struct rehearsal_latency *l, double share)
{
    uint64_t total = 0, seen = 0;
    for (uint32_t i = 0; i < REHEARSAL_BUCKETS; i++)
        total += l->counts[i];
    for (uint32_t i = 0; i < REHEARSAL_BUCKETS; i++) {
        seen += l->counts[i];
        if (seen && (double)seen >= share * (double)total)
            return bucket_end(i);
    }
    return 0;
}

const char *rehearsal_grouped(uint64_t n)
{
    static char texts[8][32];
    static unsigned turn;
    char *text = texts[turn++ % 8], digits[24];
    int count = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), at = 0;
    for (int i = 0; i < count; i++) {
        if (i && (count - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}
