// A hash table of all keys ever seen, by digest, to which keys are only added. A reload adds what
// is new and flips `in_force`, so a check never waits and nothing that a call points to is ever
// freed.
//
// K0  publish   release store of a bucket's head: the key behind it is complete
// K1  check     acquire load of the head: pairs with K0
// K2  revoke    release store of in_force; pairs with K3
// K3  check     acquire load of in_force. A check that runs beside the reload sees either
#include "auth/auth_internal.h"

#include "base/atomics.h"
#include "sys/text_file.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 8192 // a power of two

struct auth {
    char *path; // NULL: open
    EVP_MD *sha256;
    uint32_t seen;  // keys in the table; the reloading thread's
    uint32_t count; // in force; atomic
    uint64_t reload;
    struct auth_key *buckets[BUCKETS];
};

static const struct auth_key anonymous = {
    .who = {.name = "anonymous",
            .roles = AUTH_READER | AUTH_STOREFRONT | AUTH_STOCK_ADMIN | AUTH_OPERATOR},
    .in_force = 1,
};

const struct auth_identity *auth_anonymous(void)
{
    return &anonymous.who;
}

bool auth_open(const struct auth *a)
{
    return !a->path;
}

uint32_t auth_key_count(const struct auth *a)
{
    return hf_load_relaxed(&a->count); // a number to show; nothing is reached through it
}

// ------------------------------------------------------------------------------- checks

static uint32_t bucket_of(const uint8_t digest[AUTH_DIGEST_BYTES])
{
    uint32_t word;
    memcpy(&word, digest, sizeof word);
    return word & (BUCKETS - 1);
}

bool auth_in_force(const struct auth_identity *who)
{
    return hf_load_acquire(&((const struct auth_key *)who)->in_force) != 0; // K3
}

const struct auth_identity *auth_check(const struct auth *a, const char *key, size_t bytes)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    if (!a->path)
        return &anonymous.who;
    if (bytes < AUTH_KEY_BYTES_MIN || bytes > AUTH_KEY_BYTES_MAX)
        return NULL;
    if (!EVP_Digest(key, bytes, digest, NULL, a->sha256, NULL))
        return NULL;
    const struct auth_key *k = hf_load_acquire(&a->buckets[bucket_of(digest)]); // K1
    for (; k; k = k->next)
        if (CRYPTO_memcmp(k->digest, digest, AUTH_DIGEST_BYTES) == 0 && auth_in_force(&k->who))
            return &k->who;
    return NULL;
}

static bool among(const char *names, size_t slot_bytes, uint8_t count, const char *name,
                  size_t bytes)
{
    for (uint8_t i = 0; i < count; i++, names += slot_bytes)
        if (strlen(names) == bytes && memcmp(names, name, bytes) == 0)
            return true;
    return count == 0;
}

bool auth_channel_ok(const struct auth_identity *who, const char *channel, size_t bytes)
{
    return among(who->channels[0], sizeof who->channels[0], who->channel_count, channel, bytes);
}

bool auth_location_ok(const struct auth_identity *who, const char *location, size_t bytes)
{
    return among(who->locations[0], sizeof who->locations[0], who->location_count, location, bytes);
}

// ------------------------------------------------------------------------------- reload

// What lies behind the ends of names is zero, so whole arrays compare.
static bool same_rights(const struct auth_identity *a, const struct auth_identity *b)
{
    return a->roles == b->roles && strcmp(a->name, b->name) == 0 &&
           memcmp(a->channels, b->channels, sizeof a->channels) == 0 &&
           memcmp(a->locations, b->locations, sizeof a->locations) == 0;
}

static struct auth_key *find_same(struct auth *a, const struct auth_key *key)
{
    struct auth_key *k = a->buckets[bucket_of(key->digest)];
    while (k && (memcmp(k->digest, key->digest, AUTH_DIGEST_BYTES) != 0 ||
                 !same_rights(&k->who, &key->who)))
        k = k->next;
    return k;
}

static uint32_t count_new(struct auth *a, const struct auth_key *first)
{
    uint32_t fresh = 0;
    for (const struct auth_key *k = first; k; k = k->next)
        fresh += find_same(a, k) == NULL;
    return fresh;
}

// Puts the parsed keys in force: those that are there already, with the same rights, live on.
static void keys_take(struct auth *a, struct auth_key *first)
{
    for (struct auth_key *next; first; first = next) {
        next = first->next;
        struct auth_key *k = find_same(a, first);
        if (k) {
            free(first);
        } else {
            struct auth_key **head = &a->buckets[bucket_of(first->digest)];
            k = first;
            k->next = *head;
            k->who.number = ++a->seen;
            hf_store_release(head, k); // K0
        }
        k->reload = a->reload;
        hf_store_release(&k->in_force, 1);
    }
}

static void keys_revoke(struct auth *a)
{
    for (uint32_t b = 0; b < BUCKETS; b++)
        for (struct auth_key *k = a->buckets[b]; k; k = k->next)
            if (k->reload != a->reload)
                hf_store_release(&k->in_force, 0); // K2
}

enum hf_status auth_reload(struct auth *a, char why[200])
{
    if (!a->path)
        return HF_OK;
    char *text;
    size_t bytes;
    const char *wrong;
    enum hf_status s = text_file_read(a->path, AUTH_FILE_BYTES_MAX, &text, &bytes, &wrong);
    if (s != HF_OK) {
        snprintf(why, 200, "the key file %.120s %s", a->path, wrong);
        return s;
    }
    struct auth_key *first;
    uint32_t count;
    s = auth_parse(a->path, text, &first, &count, why);
    OPENSSL_cleanse(text, bytes); // a key in clear may stand there by mistake
    free(text);
    if (s != HF_OK)
        return s;
    if (count_new(a, first) > AUTH_SEEN_MAX - a->seen) {
        auth_keys_free(first);
        snprintf(why, 200, "over %d keys since the start: restart to forget old ones",
                 AUTH_SEEN_MAX);
        return HF_FULL;
    }
    a->reload++;
    keys_take(a, first);
    keys_revoke(a);
    hf_store_relaxed(&a->count, count);
    return HF_OK;
}

// ------------------------------------------------------------------------------- set-up

enum hf_status auth_create(const char *path, struct auth **out, char why[200])
{
    struct auth *a = calloc(1, sizeof *a);
    why[0] = 0;
    if (a && path) {
        a->path = strdup(path);
        a->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL); // once: a lookup by name takes locks
    }
    if (!a || (path && (!a->path || !a->sha256))) {
        snprintf(why, 200, "no memory for the keys, or no SHA-256");
        auth_destroy(a);
        return HF_NO_MEMORY;
    }
    enum hf_status s = auth_reload(a, why);
    if (s != HF_OK) {
        auth_destroy(a);
        return s;
    }
    *out = a;
    return HF_OK;
}

void auth_destroy(struct auth *a)
{
    if (!a)
        return;
    for (uint32_t b = 0; b < BUCKETS; b++)
        auth_keys_free(a->buckets[b]);
    EVP_MD_free(a->sha256);
    free(a->path);
    free(a);
}
