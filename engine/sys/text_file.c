#include "sys/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum hf_status read_whole(int fd, char *text, size_t room, size_t *bytes)
{
    *bytes = 0;
    while (*bytes < room) {
        ssize_t n = read(fd, text + *bytes, room - *bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return HF_IO;
        if (n == 0)
            break;
        *bytes += (size_t)n;
    }
    return HF_OK;
}

static enum hf_status refuse(enum hf_status s, const char *text, const char **why)
{
    *why = text;
    return s;
}

static enum hf_status read_checked(int fd, size_t bytes_max, char **text, size_t *bytes,
                                   const char **why)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return refuse(HF_IO, "cannot be read", why);
    if (!S_ISREG(st.st_mode))
        return refuse(HF_INVALID, "is no regular file", why);
    if (st.st_mode & S_IWOTH)
        return refuse(HF_INVALID, "may be written by everybody: chmod o-w", why);
    if ((uint64_t)st.st_size > bytes_max)
        return refuse(HF_INVALID, "is too large", why);
    // One byte more than it had: a file that grows meanwhile is noticed.
    size_t room = (size_t)st.st_size + 1;
    char *copy = malloc(room);
    if (!copy)
        return refuse(HF_NO_MEMORY, "no memory to read it", why);
    enum hf_status s = read_whole(fd, copy, room, bytes);
    if (s != HF_OK)
        *why = "cannot be read";
    else if (*bytes == room)
        s = refuse(HF_INVALID, "is being written", why);
    else if (memchr(copy, 0, *bytes))
        s = refuse(HF_INVALID, "is no text: it has a NUL byte", why);
    if (s != HF_OK) {
        free(copy);
        return s;
    }
    copy[*bytes] = 0;
    *text = copy;
    return HF_OK;
}

enum hf_status text_file_read(const char *path, size_t bytes_max, char **text, size_t *bytes,
                              const char **why)
{
    // O_NONBLOCK: opening a named pipe does not wait for its other end.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return refuse(HF_NOT_FOUND, "is not there", why);
    if (fd < 0)
        return refuse(HF_IO, errno == EACCES ? "may not be read" : "cannot be opened", why);
    enum hf_status s = read_checked(fd, bytes_max, text, bytes, why);
    close(fd);
    return s;
}
