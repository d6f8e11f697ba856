// accept4, as this process has it: gRPC's library and all others call the one below, because the
// dynamic linker finds the program's own first (docs/adr/0035-our-own-accept.md).
//
// gRPC 1.51 listens no more, for good, when accept4 fails with anything but EAGAIN, EINTR or
// ECONNABORTED. There is much else, none of it the listener's fault: no descriptor or memory at the
// moment, and errors of a connection that is gone already, which Linux tells here. The first become
// EAGAIN: gRPC looks again when the next connection comes. The others become EINTR: it goes on.
//
// G0  add, remove   release stores of a place: the limit is set before
// G1  accept        acquire load of a place: pairs with G0
#include "rpc/accept.h"

#include "base/atomics.h"
#include "base/log.h"
#include "sys/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LISTENERS_MAX 16 // of a process at once; more than that go unguarded
#define AT_ONCE_MAX   64 // refused before gRPC is asked whether it has something else to do
#define TOLD_EVERY_NS 10000000000

static uint32_t places[LISTENERS_MAX]; // atomic: 0 free, else the port plus 1
static uint32_t limit = INT_MAX;       // atomic: descriptors from here on are not for connections
static uint64_t refused, told_ns;      // atomic

// ------------------------------------------------------------------------------- the limit

static uint32_t limit_find(void)
{
    struct rlimit files;
    int lowest = fcntl(0, F_DUPFD_CLOEXEC, 0); // the lowest that is free
    if (lowest >= 0)
        close(lowest);
    if (lowest < 0 || getrlimit(RLIMIT_NOFILE, &files) != 0)
        return INT_MAX;
    uint32_t all = files.rlim_cur < INT_MAX ? (uint32_t)files.rlim_cur : INT_MAX;
    uint32_t free_now = all > (uint32_t)lowest ? all - (uint32_t)lowest : 0;
    return all - (free_now / 2 < ACCEPT_KEPT ? free_now / 2 : ACCEPT_KEPT);
}

static void place_change(uint32_t from, uint32_t to)
{
    for (int i = 0; i < LISTENERS_MAX; i++) {
        uint32_t expected = from;
        if (hf_cas(&places[i], &expected, to)) // G0
            return;
    }
}

void accept_guard_add(uint16_t port)
{
    hf_store_relaxed(&limit, limit_find());
    place_change(0, port + 1u);
}

void accept_guard_remove(uint16_t port)
{
    place_change(port + 1u, 0);
}

uint64_t accept_refused(void)
{
    return hf_load_relaxed(&refused);
}

// ------------------------------------------------------------------------------- accept

static bool guarded(int listener)
{
    struct sockaddr_storage at = {0};
    socklen_t bytes = sizeof at;
    if (getsockname(listener, (struct sockaddr *)&at, &bytes) != 0)
        return false;
    uint32_t port = 0; // of a unix: address
    if (at.ss_family == AF_INET)
        port = ntohs(((struct sockaddr_in *)&at)->sin_port);
    else if (at.ss_family == AF_INET6)
        port = ntohs(((struct sockaddr_in6 *)&at)->sin6_port);
    for (int i = 0; i < LISTENERS_MAX; i++)
        if (hf_load_acquire(&places[i]) == port + 1) // G1
            return true;
    return false;
}

// A stranger can cause it: told every ten seconds at most.
static void refusal_count(int fd)
{
    uint64_t now = clock_monotonic_ns(clock_os()), last = hf_load_relaxed(&told_ns);
    hf_add(&refused, 1);
    if ((last == 0 || now - last >= TOLD_EVERY_NS) && hf_cas(&told_ns, &last, now))
        hf_log(HF_LOG_WARN, "connections_refused", "total=%llu descriptor=%d limit=%u",
               (unsigned long long)accept_refused(), fd, hf_load_relaxed(&limit));
}

// What an error of accept4 becomes, so that gRPC goes on.
static int error_told(int error)
{
    switch (error) {
    case EAGAIN:
    case EINTR:
    case ECONNABORTED:
    case EBADF: // from here on: the listener is closed, or none
    case EFAULT:
    case EINVAL:
    case ENOTSOCK:
    case EOPNOTSUPP:
        return error;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return EAGAIN;
    default:
        return EINTR;
    }
}

// A sanitizer has to see where descriptors come from: its own accept4, in a program that has one.
int __interceptor_accept4(int listener, struct sockaddr *from, socklen_t *bytes, int flags)
    __attribute__((weak));

static int accept_any(int listener, struct sockaddr *from, socklen_t *bytes, int flags)
{
    return __interceptor_accept4
               ? __interceptor_accept4(listener, from, bytes, flags)
               : (int)syscall(SYS_accept4, listener, from, bytes, flags);
}

// The name that libraries call; here it has another one, as C's is declared with types of glibc's
// own.
int accept_guarded(int listener, struct sockaddr *from, socklen_t *bytes,
                   int flags) __asm__("accept4") __attribute__((visibility("default")));

int accept_guarded(int listener, struct sockaddr *from, socklen_t *bytes, int flags)
{
    socklen_t room = bytes ? *bytes : 0;
    for (uint32_t i = 0; i < AT_ONCE_MAX; i++) {
        if (bytes)
            *bytes = room;
        int fd = accept_any(listener, from, bytes, flags);
        int error = errno;
        if ((fd >= 0 && (uint32_t)fd < hf_load_relaxed(&limit)) || (fd < 0 && error == EAGAIN))
            return fd;
        if (!guarded(listener)) {
            errno = error;
            return fd;
        }
        if (fd < 0) {
            errno = error_told(error);
            return -1;
        }
        refusal_count(fd); // first: who meets the close finds it counted
        close(fd);
    }
    errno = EINTR;
    return -1;
}
