// Whole text files by path, for set-up: key file, configuration, certificates.
#ifndef HOLDFAST_SYS_TEXT_FILE_H
#define HOLDFAST_SYS_TEXT_FILE_H

#include "base/status.h"

#include <stddef.h>

// Reads a regular file of at most bytes_max bytes into *text, terminated, to be freed by the
// caller; *bytes without the terminator. Blocking. HF_NOT_FOUND, HF_IO, HF_NO_MEMORY; HF_INVALID:
// no regular file, too large, a NUL byte, or everybody may write it, so that what it says is
// nobody's word. Unless HF_OK, *why is static text that says which.
enum hf_status text_file_read(const char *path, size_t bytes_max, char **text, size_t *bytes,
                              const char **why) HF_CHECKED;

#endif
