// The file names the machine (a hash of its id), the file system and its own inode. A copy made
// file by file has another inode, a disk in another machine another machine's id, and a clone of
// the file system another file system's id, except where that is only the device's number, which a
// restart may change. What looks the same all the same, such as a virtual machine that was set
// back, is found out by the flusher, which asks Odoo.
#include "daemon/binding.h"

#include "base/crc32c.h"
#include "base/hash.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define NAME      "binding.hfb"
#define TEMPORARY "binding.hfb.tmp"
#define MAGIC     "HFBOUND"
#define VERSION   1
#define XFS_MAGIC 0x58465342 // its id is the device's number
#define ID_FILE   "/etc/machine-id"
#define ID_BYTES  128

struct file {
    char magic[8];
    uint32_t version, crc; // crc: of what follows
    uint64_t machine, file_system, inode;
    uint32_t posting_off, zero[5];
};
static_assert(sizeof(struct file) == 64, "binding");

static enum hf_status from_errno(int e)
{
    return e == ENOSPC || e == EDQUOT                  ? HF_NO_SPACE
           : e == EMFILE || e == ENFILE || e == ENOMEM ? HF_NO_MEMORY
           : e == EACCES || e == EPERM                 ? HF_INVALID
                                                       : HF_IO;
}

static uint32_t crc_of(const struct file *f)
{
    return hf_crc32c(0, &f->machine, sizeof *f - offsetof(struct file, machine));
}

// 0: the machine has no id that can be read, as in some containers.
static uint64_t machine_id(void)
{
    char text[ID_BYTES];
    int fd = open(ID_FILE, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : 0;
    if (fd >= 0)
        close(fd);
    return n > 0 ? hf_hash(text, (size_t)n, 0) : 0;
}

static enum hf_status here(int fd, struct file *f)
{
    struct stat st;
    struct statfs fs;
    uint64_t id = 0;
    if (fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0)
        return from_errno(errno);
    memcpy(&id, &fs.f_fsid, sizeof id < sizeof fs.f_fsid ? sizeof id : sizeof fs.f_fsid);
    *f = (struct file){.version = VERSION,
                       .machine = machine_id(),
                       .file_system = fs.f_type == XFS_MAGIC ? 0 : id,
                       .inode = st.st_ino};
    memcpy(f->magic, MAGIC, sizeof f->magic);
    return HF_OK;
}

static enum hf_status compare(int fd, struct binding *out)
{
    struct file had, now;
    ssize_t n = pread(fd, &had, sizeof had, 0);
    if (n < 0)
        return from_errno(errno);
    if (n != sizeof had || memcmp(had.magic, MAGIC, sizeof had.magic) != 0 ||
        had.crc != crc_of(&had))
        return HF_DAMAGED;
    if (had.version > VERSION)
        return HF_TOO_NEW;
    enum hf_status s = here(fd, &now);
    if (s != HF_OK)
        return s;
    const char *what = had.machine != now.machine           ? "another machine"
                       : had.file_system != now.file_system ? "another file system"
                       : had.inode != now.inode             ? "another place: it is a copy"
                                                            : NULL;
    out->state = what ? BINDING_MOVED : BINDING_HERE;
    out->posting_off = had.posting_off != 0;
    snprintf(out->why, sizeof out->why, "%s", what ? what : "");
    return HF_OK;
}

enum hf_status binding_read(const char *folder, struct binding *out)
{
    *out = (struct binding){.state = BINDING_NONE};
    int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0) // no folder of this user's: the engine says so in more words
        return from_errno(errno) == HF_NO_MEMORY ? HF_NO_MEMORY : HF_OK;
    int fd = openat(at, NAME, O_RDONLY | O_CLOEXEC);
    enum hf_status s = fd >= 0 ? compare(fd, out) : errno == ENOENT ? HF_OK : from_errno(errno);
    if (fd >= 0)
        close(fd);
    close(at);
    return s;
}

static enum hf_status fill(int fd, bool posting_off)
{
    struct file f;
    enum hf_status s = here(fd, &f);
    if (s != HF_OK)
        return s;
    f.posting_off = posting_off;
    f.crc = crc_of(&f);
    ssize_t n = write(fd, &f, sizeof f);
    if (n < 0 || fsync(fd) != 0)
        return from_errno(errno);
    return n == sizeof f ? HF_OK : HF_NO_SPACE;
}

enum hf_status binding_write(const char *folder, bool posting_off)
{
    int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return from_errno(errno);
    int fd = openat(at, TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    enum hf_status s = fd >= 0 ? fill(fd, posting_off) : from_errno(errno);
    if (fd >= 0)
        close(fd);
    if (s == HF_OK && (renameat(at, TEMPORARY, at, NAME) != 0 || fsync(at) != 0))
        s = from_errno(errno);
    if (s != HF_OK)
        unlinkat(at, TEMPORARY, 0);
    close(at);
    return s;
}
