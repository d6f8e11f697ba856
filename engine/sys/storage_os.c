// The operating system's files behind storage_ops: one folder descriptor, names relative to it.
#include "sys/storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct storage_os {
    struct storage base;
    int folder;
    int lock_file;
};

static struct storage_os *os_of(struct storage *s)
{
    return (struct storage_os *)s;
}

static enum hf_status from_errno(int e)
{
    switch (e) {
    case ENOENT:
        return HF_NOT_FOUND;
    case EEXIST:
        return HF_EXISTS;
    case ENOSPC:
    case EDQUOT:
        return HF_NO_SPACE;
    case EMFILE: // descriptors come back, as memory does
    case ENFILE:
    case ENOMEM:
        return HF_NO_MEMORY;
    default:
        return HF_IO;
    }
}

static enum hf_status os_open(struct storage *s, const char *name, unsigned flags, int *file)
{
    int how = O_CLOEXEC;
    how |= (flags & STORAGE_WRITE) ? O_RDWR : O_RDONLY;
    if (flags & STORAGE_CREATE)
        how |= O_CREAT | O_EXCL;
    int fd = -1;
    if (flags & STORAGE_DIRECT)
        fd = openat(os_of(s)->folder, name, how | O_DIRECT, 0600);
    // EINVAL: this file system has no direct access (tmpfs); the page cache serves as well.
    if (fd < 0 && (!(flags & STORAGE_DIRECT) || errno == EINVAL)) {
        if ((flags & STORAGE_DIRECT) && (flags & STORAGE_CREATE))
            how &= ~O_EXCL; // the failed attempt may have made the file
        fd = openat(os_of(s)->folder, name, how, 0600);
    }
    if (fd < 0)
        return from_errno(errno);
    *file = fd;
    return HF_OK;
}

static void os_close(struct storage *s, int file)
{
    (void)s;
    close(file);
}

static enum hf_status os_pread(struct storage *s, int file, void *buffer, size_t bytes,
                               uint64_t offset, size_t *done)
{
    (void)s;
    size_t have = 0;
    while (have < bytes) {
        ssize_t n = pread(file, (char *)buffer + have, bytes - have, (off_t)(offset + have));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return HF_IO;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    *done = have;
    return HF_OK;
}

static enum hf_status os_pwrite(struct storage *s, int file, const void *buffer, size_t bytes,
                                uint64_t offset)
{
    (void)s;
    size_t have = 0;
    while (have < bytes) {
        ssize_t n = pwrite(file, (const char *)buffer + have, bytes - have, (off_t)(offset + have));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return from_errno(errno) == HF_NO_SPACE ? HF_NO_SPACE : HF_IO;
        have += (size_t)n;
    }
    return HF_OK;
}

static enum hf_status os_sync(struct storage *s, int file)
{
    (void)s;
    return fdatasync(file) == 0 ? HF_OK : HF_IO;
}

static enum hf_status os_size(struct storage *s, int file, uint64_t *bytes)
{
    (void)s;
    struct stat st;
    if (fstat(file, &st) != 0)
        return HF_IO;
    *bytes = (uint64_t)st.st_size;
    return HF_OK;
}

static enum hf_status os_rename(struct storage *s, const char *from, const char *to)
{
    int f = os_of(s)->folder;
    return renameat(f, from, f, to) == 0 ? HF_OK : from_errno(errno);
}

static enum hf_status os_unlink(struct storage *s, const char *name)
{
    return unlinkat(os_of(s)->folder, name, 0) == 0 ? HF_OK : from_errno(errno);
}

static enum hf_status os_sync_folder(struct storage *s)
{
    return fsync(os_of(s)->folder) == 0 ? HF_OK : HF_IO;
}

static enum hf_status os_list(struct storage *s, void (*each)(void *ctx, const char *name),
                              void *ctx)
{
    int fd = openat(os_of(s)->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        int why = errno;
        if (fd >= 0)
            close(fd);
        return from_errno(why);
    }
    errno = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL; errno = 0)
        if (e->d_name[0] != '.' && strlen(e->d_name) < STORAGE_NAME_BYTES)
            each(ctx, e->d_name);
    int failed = errno;
    closedir(d);
    return failed ? HF_IO : HF_OK;
}

static enum hf_status os_free_bytes(struct storage *s, uint64_t *bytes)
{
    struct statvfs v;
    if (fstatvfs(os_of(s)->folder, &v) != 0)
        return HF_IO;
    *bytes = (uint64_t)v.f_bavail * v.f_frsize;
    return HF_OK;
}

static enum hf_status os_lock(struct storage *s)
{
    struct storage_os *os = os_of(s);
    os->lock_file = openat(os->folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (os->lock_file < 0)
        return from_errno(errno);
    if (flock(os->lock_file, LOCK_EX | LOCK_NB) == 0)
        return HF_OK;
    return errno == EWOULDBLOCK ? HF_LOCKED : HF_IO;
}

static void os_destroy(struct storage *s)
{
    struct storage_os *os = os_of(s);
    if (os->lock_file >= 0)
        close(os->lock_file);
    close(os->folder);
    free(os);
}

static const struct storage_ops os_ops = {
    .open = os_open,
    .close = os_close,
    .pread = os_pread,
    .pwrite = os_pwrite,
    .sync = os_sync,
    .size = os_size,
    .rename = os_rename,
    .unlink = os_unlink,
    .sync_folder = os_sync_folder,
    .list = os_list,
    .free_bytes = os_free_bytes,
    .lock = os_lock,
    .destroy = os_destroy,
};

// What the caller can mend is told apart from what the disk did.
static enum hf_status from_errno_of_folder(int e)
{
    switch (e) {
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
        return HF_INVALID;
    default:
        return from_errno(e);
    }
}

// Before anything is opened in it: an owner that is another's is no failure of the disk.
static int write_check(int folder)
{
    if (faccessat(folder, ".", R_OK | W_OK | X_OK, AT_EACCESS) != 0)
        return errno;
    if (faccessat(folder, "lock", R_OK | W_OK, AT_EACCESS) != 0 && errno != ENOENT)
        return errno;
    return 0;
}

const char *storage_os_why(int error)
{
    const char *text = error == ENOTDIR ? "is no folder" : strerrordesc_np(error);
    return text ? text : "cannot be opened";
}

enum hf_status storage_os_create(const char *path, bool make, struct storage **out)
{
    if (make && mkdir(path, 0700) != 0 && errno != EEXIST)
        return from_errno_of_folder(errno);
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return from_errno_of_folder(errno);
    int error = make ? write_check(folder) : 0;
    if (error != 0) {
        close(folder);
        errno = error;
        return from_errno_of_folder(error);
    }
    struct storage_os *os = calloc(1, sizeof *os);
    if (!os) {
        close(folder);
        errno = ENOMEM;
        return HF_NO_MEMORY;
    }
    os->base.ops = &os_ops;
    os->folder = folder;
    os->lock_file = -1;
    *out = &os->base;
    return HF_OK;
}
