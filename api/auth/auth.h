// API keys: who is calling, and what they may do.
//
// A key file holds one key a line, never in clear:
//
//   # name      roles                    sha256 of the key (hex)   limits, each optional
//   shop-eu     storefront,reader        3f5a…                     channels=web,app locations=WH1
//   ops         operator                 90bc…
//
// operator implies the others and has no limits; stock_admin and storefront imply reader. Names are
// of letters, digits, '.', '_' and '-', and may repeat: two keys of one name are how a key is
// changed without a gap.
// `#` begins a comment. A file that cannot be read whole, or has no key, is refused as a whole,
// with the line, and the keys in force stay.
//
// Identities are never freed and never change: whoever holds a pointer to one may read it as long
// as the struct auth lives. A key that is not in the file any more, or there with other rights, is
// *revoked*: its identity says so (auth_in_force), for streams that outlive a reload.
#ifndef HOLDFAST_API_AUTH_H
#define HOLDFAST_API_AUTH_H

#include "base/limits.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum auth_role {
    AUTH_READER = 1,
    AUTH_STOREFRONT = 2,
    AUTH_STOCK_ADMIN = 4,
    AUTH_OPERATOR = 8,
};

#define AUTH_NAME_BYTES_MAX 32
#define AUTH_LIMITS_MAX     16 // channels, and locations, of one key
#define AUTH_KEYS_MAX       4096
#define AUTH_SEEN_MAX       65536 // keys over the life of a struct auth, revoked ones included
#define AUTH_KEY_BYTES_MIN  16
#define AUTH_KEY_BYTES_MAX  128 // of a key as the client sends it

struct auth_identity {
    char name[AUTH_NAME_BYTES_MAX + 1];
    uint32_t number; // 1..AUTH_SEEN_MAX, of one key, never given again; 0: anonymous
    unsigned roles;  // enum auth_role, with what they imply
    uint8_t channel_count, location_count; // 0: no limit
    char channels[AUTH_LIMITS_MAX][HF_CHANNEL_BYTES_MAX + 1];
    char locations[AUTH_LIMITS_MAX][HF_LOCATION_BYTES_MAX + 1];
};

struct auth; // the keys in force

// Loads a file. NULL path: no keys, everybody is the identity `anonymous` with all roles.
// HF_INVALID (why names the line, never what a key column holds: it may be a key in clear),
// HF_NOT_FOUND, HF_IO, HF_NO_MEMORY. Set-up.
enum hf_status auth_create(const char *path, struct auth **out, char why[200]) HF_CHECKED;
void auth_destroy(struct auth *a); // after every check has returned
// Reads the file again; on any error the keys in force stay. Any one thread at a time, blocking.
// Keys change one by one: new ones are in force before old ones are revoked. HF_FULL: more than
// AUTH_SEEN_MAX keys since the start. HF_OK without a path.
enum hf_status auth_reload(struct auth *a, char why[200]) HF_CHECKED;
uint32_t auth_key_count(const struct auth *a); // in force; any thread

// The identity of a key, NULL: unknown. Any thread, wait-free; what it takes depends on the key's
// SHA-256 and length only.
const struct auth_identity *auth_check(const struct auth *a, const char *key, size_t bytes);
// False once the key has been revoked. Of an identity that auth_check gave; any thread, wait-free.
bool auth_in_force(const struct auth_identity *who);
// True when no key file was given: everything is open.
bool auth_open(const struct auth *a);
const struct auth_identity *auth_anonymous(void);

static inline bool auth_may(const struct auth_identity *who, enum auth_role role)
{
    return (who->roles & role) != 0;
}
bool auth_channel_ok(const struct auth_identity *who, const char *channel, size_t bytes);
bool auth_location_ok(const struct auth_identity *who, const char *location, size_t bytes);

// Makes a key from 32 random bytes ("hf_" and base64url) and the line for the key file that goes
// with it. False: a name or roles that a key file would refuse, a short buffer, no randomness. For
// holdfastctl.
bool auth_key_make(const char *name, const char *roles, char key[AUTH_KEY_BYTES_MAX], char *line,
                   size_t line_bytes);

#endif
