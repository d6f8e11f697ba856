// A library to preload before a program under test: system calls and allocations of the program
// itself, and of the libraries at its edges, fail, take long or see another wall clock, as a file
// that the test shares with it says. tests/faults/faults.py is the other side.
//
// Only calls from the program's own text and from the libraries named in $HF_FAULTS_FROM (parts of
// file names, separated by commas) count: what gRPC does when it finds no memory is not ours.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

// Bit numbers are those of faults.py.
enum kind { ALLOC, OPEN, MAP, THREAD, SOCKET, READ, WRITE, SYNC, FILES, KINDS };

// The shared file. Words of 8 bytes, in this order.
struct control {
    uint64_t kinds;                 // bits: which calls are counted
    uint64_t nth;                   // the counted call that fails, from 1; 0: none
    uint64_t every;                 // and each so many after it; 0: it alone
    uint64_t error;                 // errno
    uint64_t count, failed;         // told by this side
    int64_t wall_offset_ns;         // added to CLOCK_REALTIME
    uint64_t delay_kinds, delay_ns; // calls of these kinds take so much longer
};

#define RANGES_MAX 32

static struct control *control;
static struct range {
    uintptr_t from, to;
} ranges[RANGES_MAX];
static int range_count;

// ------------------------------------------------------------------------------ who calls

static bool named(const char *path)
{
    const char *list = getenv("HF_FAULTS_FROM");
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    while (list && *list) {
        size_t n = strcspn(list, ",");
        if (n && strncmp(base, list, n) == 0)
            return true;
        list += n + (list[n] == ',');
    }
    return false;
}

static int range_add(struct dl_phdr_info *info, size_t size, void *program)
{
    (void)size;
    bool *first = program; // the program itself is told first
    bool wanted = *first || named(info->dlpi_name);
    *first = false;
    for (int i = 0; wanted && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) || range_count == RANGES_MAX)
            continue;
        uintptr_t from = info->dlpi_addr + p->p_vaddr;
        ranges[range_count++] = (struct range){from, from + p->p_memsz};
    }
    return 0;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("HF_FAULTS");
    bool program = true;
    if (!path)
        return;
    dl_iterate_phdr(range_add, &program);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        abort();
    void *at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        abort();
    control = at;
}

static bool ours(const void *caller)
{
    for (int i = 0; i < range_count; i++)
        if ((uintptr_t)caller >= ranges[i].from && (uintptr_t)caller < ranges[i].to)
            return true;
    return false;
}

// True: this call is to fail, errno is set.
static bool fails(enum kind kind, const void *caller)
{
    struct control *c = control;
    if (!c || !ours(caller))
        return false;
    if (__atomic_load_n(&c->delay_kinds, __ATOMIC_RELAXED) >> kind & 1) {
        uint64_t ns = __atomic_load_n(&c->delay_ns, __ATOMIC_RELAXED);
        struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
        nanosleep(&t, NULL);
    }
    if (!(__atomic_load_n(&c->kinds, __ATOMIC_ACQUIRE) >> kind & 1))
        return false;
    uint64_t n = __atomic_add_fetch(&c->count, 1, __ATOMIC_RELAXED), nth = c->nth;
    if (nth == 0 || n < nth || (n > nth && (c->every == 0 || (n - nth) % c->every != 0)))
        return false;
    __atomic_add_fetch(&c->failed, 1, __ATOMIC_RELAXED);
    errno = (int)c->error;
    return true;
}

#define REAL(type, name, ...)                                                                      \
    static type (*real)(__VA_ARGS__);                                                              \
    if (!real)                                                                                     \
    *(void **)&real = dlsym(RTLD_NEXT, name)
#define FAILS(kind) fails(kind, __builtin_return_address(0))

// ------------------------------------------------------------------------------ memory

void *malloc(size_t bytes)
{
    REAL(void *, "malloc", size_t);
    return FAILS(ALLOC) ? NULL : real(bytes);
}

void *calloc(size_t n, size_t bytes)
{
    REAL(void *, "calloc", size_t, size_t);
    return FAILS(ALLOC) ? NULL : real(n, bytes);
}

void *realloc(void *old, size_t bytes)
{
    REAL(void *, "realloc", void *, size_t);
    return FAILS(ALLOC) ? NULL : real(old, bytes);
}

void *aligned_alloc(size_t align, size_t bytes)
{
    REAL(void *, "aligned_alloc", size_t, size_t);
    return FAILS(ALLOC) ? NULL : real(align, bytes);
}

int posix_memalign(void **out, size_t align, size_t bytes)
{
    REAL(int, "posix_memalign", void **, size_t, size_t);
    return FAILS(ALLOC) ? ENOMEM : real(out, align, bytes);
}

char *strdup(const char *s)
{
    REAL(char *, "strdup", const char *);
    return FAILS(ALLOC) ? NULL : real(s);
}

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    REAL(void *, "mmap", void *, size_t, int, int, int, off_t);
    return FAILS(MAP) ? MAP_FAILED : real(at, bytes, protection, flags, fd, offset);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
    REAL(int, "pthread_create", pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    return FAILS(THREAD) ? (int)control->error : real(thread, attr, start, arg);
}

// ------------------------------------------------------------------------------ files

#define MODE(flags)                                                                                \
    mode_t mode = 0;                                                                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                         \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode = va_arg(args, mode_t);                                                               \
        va_end(args);                                                                              \
    }

int open(const char *path, int flags, ...)
{
    REAL(int, "open", const char *, int, mode_t);
    MODE(flags)
    return FAILS(OPEN) ? -1 : real(path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    REAL(int, "openat", int, const char *, int, mode_t);
    MODE(flags)
    return FAILS(OPEN) ? -1 : real(folder, path, flags, mode);
}

FILE *fopen(const char *path, const char *how)
{
    REAL(FILE *, "fopen", const char *, const char *);
    return FAILS(OPEN) ? NULL : real(path, how);
}

ssize_t read(int fd, void *to, size_t bytes)
{
    REAL(ssize_t, "read", int, void *, size_t);
    return FAILS(READ) ? -1 : real(fd, to, bytes);
}

ssize_t pread(int fd, void *to, size_t bytes, off_t at)
{
    REAL(ssize_t, "pread", int, void *, size_t, off_t);
    return FAILS(READ) ? -1 : real(fd, to, bytes, at);
}

ssize_t pwrite(int fd, const void *from, size_t bytes, off_t at)
{
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    return FAILS(WRITE) ? -1 : real(fd, from, bytes, at);
}

int fdatasync(int fd)
{
    REAL(int, "fdatasync", int);
    return FAILS(SYNC) ? -1 : real(fd);
}

int fsync(int fd)
{
    REAL(int, "fsync", int);
    return FAILS(SYNC) ? -1 : real(fd);
}

int mkdir(const char *path, mode_t mode)
{
    REAL(int, "mkdir", const char *, mode_t);
    return FAILS(FILES) ? -1 : real(path, mode);
}

int flock(int fd, int how)
{
    REAL(int, "flock", int, int);
    return FAILS(FILES) ? -1 : real(fd, how);
}

int fstat(int fd, struct stat *out)
{
    REAL(int, "fstat", int, struct stat *);
    return FAILS(FILES) ? -1 : real(fd, out);
}

int fstatvfs(int fd, struct statvfs *out)
{
    REAL(int, "fstatvfs", int, struct statvfs *);
    return FAILS(FILES) ? -1 : real(fd, out);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    REAL(int, "renameat", int, const char *, int, const char *);
    return FAILS(FILES) ? -1 : real(from_folder, from, to_folder, to);
}

int unlinkat(int folder, const char *path, int flags)
{
    REAL(int, "unlinkat", int, const char *, int);
    return FAILS(FILES) ? -1 : real(folder, path, flags);
}

// ------------------------------------------------------------------------------ sockets

int socket(int domain, int type, int protocol)
{
    REAL(int, "socket", int, int, int);
    return FAILS(SOCKET) ? -1 : real(domain, type, protocol);
}

int bind(int fd, const struct sockaddr *address, socklen_t bytes)
{
    REAL(int, "bind", int, const struct sockaddr *, socklen_t);
    return FAILS(SOCKET) ? -1 : real(fd, address, bytes);
}

int listen(int fd, int backlog)
{
    REAL(int, "listen", int, int);
    return FAILS(SOCKET) ? -1 : real(fd, backlog);
}

int connect(int fd, const struct sockaddr *address, socklen_t bytes)
{
    REAL(int, "connect", int, const struct sockaddr *, socklen_t);
    return FAILS(SOCKET) ? -1 : real(fd, address, bytes);
}

int accept4(int fd, struct sockaddr *address, socklen_t *bytes, int flags)
{
    REAL(int, "accept4", int, struct sockaddr *, socklen_t *, int);
    return FAILS(SOCKET) ? -1 : real(fd, address, bytes, flags);
}

// ------------------------------------------------------------------------------ the wall clock

int clock_gettime(clockid_t which, struct timespec *out)
{
    REAL(int, "clock_gettime", clockid_t, struct timespec *);
    int result = real(which, out);
    if (result != 0 || which != CLOCK_REALTIME || !control || !ours(__builtin_return_address(0)))
        return result;
    int64_t ns = (int64_t)out->tv_sec * 1000000000 + out->tv_nsec +
                 __atomic_load_n(&control->wall_offset_ns, __ATOMIC_RELAXED);
    out->tv_sec = ns / 1000000000;
    out->tv_nsec = ns % 1000000000;
    return 0;
}
