// What the files of api/auth share.
#ifndef HOLDFAST_API_AUTH_INTERNAL_H
#define HOLDFAST_API_AUTH_INTERNAL_H

#include "auth/auth.h"

#define AUTH_DIGEST_BYTES   32
#define AUTH_FILE_BYTES_MAX (8u << 20)

struct auth_key {
    struct auth_identity who; // first: auth_in_force goes back from it. Immutable once published
    uint8_t digest[AUTH_DIGEST_BYTES]; // SHA-256 of the key; immutable
    struct auth_key *next; // in its bucket, or in the parsed list; immutable once published
    uint32_t in_force;     // atomic bool
    uint32_t line;         // of the file, while parsing
    uint64_t reload;       // the last one that had it; the reloading thread's
};

// The keys of a file's text, in its order, each on the heap. text is cut into words. HF_INVALID:
// why is "path:line: ..."; HF_NO_MEMORY. Nothing is left behind unless HF_OK.
enum hf_status auth_parse(const char *path, char *text, struct auth_key **first, uint32_t *count,
                          char why[200]) HF_CHECKED;
void auth_keys_free(struct auth_key *first);

// Pure. 0: not a list of roles.
unsigned auth_roles_parse(const char *text);
bool auth_name_ok(const char *name);

#endif
