// API keys: who is calling, and what they may do.
//
// A key file holds one key a line, never in clear:
//
//   # name      roles                    sha256 of the key (hex)   limits, each optional
//   shop-eu     storefront,reader        3f5a…                     channels=web,app locations=WH1
//   ops         operator                 90bc…
//
// operator implies the others; stock_admin and storefront imply reader. A file that cannot be read
// whole is refused as a whole, with the line, and the keys in force stay.
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
#define AUTH_KEY_BYTES_MAX  128 // of a key as the client sends it; at least 16

struct auth_identity {
    char name[AUTH_NAME_BYTES_MAX + 1];
    unsigned roles; // enum auth_role, with what they imply
    uint8_t channel_count, location_count; // 0: no limit
    char channels[AUTH_LIMITS_MAX][HF_CHANNEL_BYTES_MAX + 1];
    char locations[AUTH_LIMITS_MAX][HF_LOCATION_BYTES_MAX + 1];
};

struct auth; // the keys in force

// Loads a file. NULL path: no keys, everybody is the identity `anonymous` with all roles.
// HF_INVALID (why names the line), HF_NOT_FOUND, HF_IO, HF_NO_MEMORY. Set-up.
enum hf_status auth_create(const char *path, struct auth **out, char why[200]) HF_CHECKED;
void auth_destroy(struct auth *a); // after every check has returned
// Reads the file again; on any error the keys in force stay. Any one thread at a time. Keys that
// were in force before stay in memory until the second reload after, so that identities handed out
// outlive the calls that carry them: no call lasts over two reloads, which are at least a minute
// apart (HF_BUSY otherwise).
enum hf_status auth_reload(struct auth *a, char why[200]) HF_CHECKED;

// The identity of a key, NULL: unknown. Any thread, wait-free; takes the same time for every
// unknown key of one length. The pointer stays valid for at least a minute after the next reload.
const struct auth_identity *auth_check(const struct auth *a, const char *key, size_t bytes);
// True when there are no keys: everything is open.
bool auth_open(const struct auth *a);
const struct auth_identity *auth_anonymous(void);

static inline bool auth_may(const struct auth_identity *who, enum auth_role role)
{
    return (who->roles & role) != 0;
}
bool auth_channel_ok(const struct auth_identity *who, const char *channel, size_t bytes);
bool auth_location_ok(const struct auth_identity *who, const char *location, size_t bytes);

// Makes a key from 32 random bytes ("hf_" and base64url) and the line for the key file that goes
// with it. For holdfastctl.
bool auth_key_make(const char *name, const char *roles, char key[AUTH_KEY_BYTES_MAX],
                   char *line, size_t line_bytes);

#endif
