#include "auth/auth_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\r\v\f"
#define SLOTS  (2 * AUTH_KEYS_MAX) // a power of two

static_assert((SLOTS & (SLOTS - 1)) == 0 && SLOTS > AUTH_KEYS_MAX, "a free slot is always found");

struct parser {
    const char *path;
    uint32_t line;
    char *why; // 200 bytes
};

static bool wrong(const struct parser *p, const char *what, const char *word)
{
    const char *slash = strrchr(p->path, '/');
    snprintf(p->why, 200, "%.60s:%u: %s%s%.40s%s", slash ? slash + 1 : p->path, p->line, what,
             word ? " '" : "", word ? word : "", word ? "'" : "");
    return false;
}

bool auth_name_ok(const char *name)
{
    size_t bytes = strlen(name);
    return bytes > 0 && bytes <= AUTH_NAME_BYTES_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               bytes;
}

static unsigned role_parse(const char *word, size_t bytes)
{
    static const struct {
        const char *name;
        unsigned roles; // with what they imply
    } roles[] = {
        {"reader", AUTH_READER},
        {"storefront", AUTH_STOREFRONT | AUTH_READER},
        {"stock_admin", AUTH_STOCK_ADMIN | AUTH_READER},
        {"operator", AUTH_OPERATOR | AUTH_STOCK_ADMIN | AUTH_STOREFRONT | AUTH_READER},
    };
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strlen(roles[i].name) == bytes && memcmp(roles[i].name, word, bytes) == 0)
            return roles[i].roles;
    return 0;
}

unsigned auth_roles_parse(const char *text)
{
    unsigned all = 0;
    for (;;) {
        size_t bytes = strcspn(text, ",");
        unsigned role = role_parse(text, bytes);
        if (role == 0)
            return 0;
        all |= role;
        if (text[bytes] == 0)
            return all;
        text += bytes + 1;
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool digest_parse(const char *word, uint8_t out[AUTH_DIGEST_BYTES])
{
    if (strlen(word) != 2 * AUTH_DIGEST_BYTES)
        return false;
    for (int i = 0; i < AUTH_DIGEST_BYTES; i++) {
        int high = hex_digit(word[2 * i]), low = hex_digit(word[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

// A list of names with commas between, into `slots` of slot_bytes each, terminated.
static bool limits_parse(const struct parser *p, char *list, char *slots, size_t slot_bytes,
                         uint8_t *count)
{
    if (*count > 0)
        return wrong(p, "a limit is given twice", NULL);
    for (char *name = list, *end; name; name = end) {
        end = strchr(name, ',');
        if (end)
            *end++ = 0;
        size_t bytes = strlen(name);
        if (bytes == 0)
            return wrong(p, "an empty name among the limits", NULL);
        if (bytes >= slot_bytes)
            return wrong(p, "too long:", name);
        if (*count == AUTH_LIMITS_MAX)
            return wrong(p, "more than 16 names in a limit", NULL);
        memcpy(slots + *count * slot_bytes, name, bytes + 1);
        ++*count;
    }
    return true;
}

static bool option_parse(const struct parser *p, char *word, struct auth_identity *who)
{
    static const char channels[] = "channels=", locations[] = "locations=";
    bool by_channel = strncmp(word, channels, sizeof channels - 1) == 0;
    bool by_location = strncmp(word, locations, sizeof locations - 1) == 0;
    // What stands between Holdfast and the ERP is of all channels and locations.
    if ((by_channel || by_location) && (who->roles & AUTH_OPERATOR))
        return wrong(p, "an operator does everything and cannot be limited by",
                     by_channel ? channels : locations);
    if (by_channel)
        return limits_parse(p, word + sizeof channels - 1, who->channels[0],
                            sizeof who->channels[0], &who->channel_count);
    if (by_location)
        return limits_parse(p, word + sizeof locations - 1, who->locations[0],
                            sizeof who->locations[0], &who->location_count);
    // Not quoted: a blank inside a key in clear would put a part of it here.
    return wrong(p, "after the digest only channels= and locations= may stand", NULL);
}

// Words of a line; *word_count is 0 for an empty one.
static bool line_parse(const struct parser *p, char *line, struct auth_key *key, int *word_count)
{
    char *rest = NULL;
    *word_count = 0;
    for (char *w = strtok_r(line, BLANKS, &rest); w; w = strtok_r(NULL, BLANKS, &rest)) {
        if (w[0] == '#')
            break;
        switch ((*word_count)++) {
        case 0:
            if (!auth_name_ok(w))
                return wrong(p, "a name has 1 to 32 letters, digits, '.', '_' or '-'", NULL);
            memcpy(key->who.name, w, strlen(w) + 1);
            break;
        case 1:
            key->who.roles = auth_roles_parse(w);
            if (key->who.roles == 0)
                return wrong(p, "roles are reader, storefront, stock_admin, operator", NULL);
            break;
        case 2:
            if (!digest_parse(w, key->digest))
                return wrong(p, "the third word must be the key's SHA-256: 64 hex digits", NULL);
            break;
        default:
            if (!option_parse(p, w, &key->who))
                return false;
        }
    }
    return *word_count == 0 || *word_count >= 3 ||
           wrong(p, "a line is: name roles sha256 [channels=...] [locations=...]", NULL);
}

// Where a key with this digest is, or belongs, in a table that is never full.
static struct auth_key **slot_of(struct auth_key **slots, const uint8_t digest[AUTH_DIGEST_BYTES])
{
    uint32_t at;
    memcpy(&at, digest, sizeof at);
    for (;; at++) {
        struct auth_key **slot = &slots[at & (SLOTS - 1)];
        if (!*slot || memcmp((*slot)->digest, digest, AUTH_DIGEST_BYTES) == 0)
            return slot;
    }
}

void auth_keys_free(struct auth_key *first)
{
    while (first) {
        struct auth_key *next = first->next;
        free(first);
        first = next;
    }
}

struct parsed {
    struct auth_key *first, **last;
    uint32_t count;
    struct auth_key *slots[SLOTS]; // the same keys by digest
};

static bool key_fits(const struct parser *p, struct parsed *to, const struct auth_key *key)
{
    const struct auth_key *same = *slot_of(to->slots, key->digest);
    if (same) {
        char other[40];
        snprintf(other, sizeof other, "line %u", same->line);
        return wrong(p, "the same key as", other);
    }
    return to->count < AUTH_KEYS_MAX || wrong(p, "more than 4096 keys", NULL);
}

static enum hf_status line_take(const struct parser *p, char *line, struct parsed *to)
{
    int words;
    struct auth_key *key = calloc(1, sizeof *key);
    if (!key)
        return HF_NO_MEMORY;
    bool good = line_parse(p, line, key, &words) && (words == 0 || key_fits(p, to, key));
    if (!good || words == 0) {
        free(key);
        return good ? HF_OK : HF_INVALID;
    }
    key->line = p->line;
    *slot_of(to->slots, key->digest) = key;
    *to->last = key;
    to->last = &key->next;
    to->count++;
    return HF_OK;
}

enum hf_status auth_parse(const char *path, char *text, struct auth_key **first, uint32_t *count,
                          char why[200])
{
    struct parser p = {.path = path, .why = why};
    struct parsed *to = calloc(1, sizeof *to);
    enum hf_status s = to ? HF_OK : HF_NO_MEMORY;
    if (to)
        to->last = &to->first;
    for (char *line = text, *end; line && s == HF_OK; line = end) {
        end = strchr(line, '\n');
        if (end)
            *end++ = 0;
        p.line++;
        s = line_take(&p, line, to);
    }
    if (s == HF_OK && to->count == 0) {
        wrong(&p, "no key in the file", NULL);
        s = HF_INVALID;
    }
    if (s == HF_OK) {
        *first = to->first;
        *count = to->count;
    } else if (to) {
        auth_keys_free(to->first);
    }
    if (s == HF_NO_MEMORY)
        snprintf(why, 200, "no memory for the keys");
    free(to);
    return s;
}
