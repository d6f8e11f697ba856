// Key files: what is taken is as the page says, what is refused says where and tells no secret.
#include "fuzz/fuzz.h"

#include "auth/auth_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGEST_1 "3f5a0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8"
#define DIGEST_2 "90bc0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7D8"

static int file = -1;
static char path[64];

void fuzz_set_up(void)
{
    file = memfd_create("keys", MFD_CLOEXEC);
    HF_ASSERT(file >= 0 && fchmod(file, 0600) == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
}

void fuzz_seeds(void)
{
    static const char *const words[] = {"reader",    "storefront", "stock_admin", "operator",
                                        "channels=", "locations=", ",",           " ",
                                        "#",         "\t",         DIGEST_1,      DIGEST_2};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        fuzz_word(words[i][0] == '\t' ? "\\x09" : words[i]);
    fuzz_seed_text("one", "ops operator " DIGEST_1 "\n");
    fuzz_seed_text("two", "# name\n\nshop-eu  storefront,reader\t" DIGEST_1
                          " channels=web,app locations=WH1\r\nshop-eu reader " DIGEST_2 " # new");
    fuzz_seed_text("same", "a reader " DIGEST_1 "\nb reader " DIGEST_1 "\n");
    fuzz_seed_text("names", "a reader " DIGEST_1 " channels=a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\n");
    fuzz_seed_text("clear", "a reader hf_0123456789012345678901234567890123456789012\n");
}

static void identity_ok(const struct auth_identity *who)
{
    HF_ASSERT(auth_name_ok(who->name));
    HF_ASSERT(who->roles & AUTH_READER && who->roles < 16);
    HF_ASSERT(!(who->roles & AUTH_OPERATOR) || who->roles == 15);
    HF_ASSERT(who->channel_count <= AUTH_LIMITS_MAX && who->location_count <= AUTH_LIMITS_MAX);
    for (unsigned i = 0; i < who->channel_count; i++) {
        size_t n = strnlen(who->channels[i], sizeof who->channels[i]);
        HF_ASSERT(n > 0 && n < sizeof who->channels[i]);
        HF_ASSERT(auth_channel_ok(who, who->channels[i], n));
    }
    for (unsigned i = 0; i < who->location_count; i++) {
        size_t n = strnlen(who->locations[i], sizeof who->locations[i]);
        HF_ASSERT(n > 0 && n < sizeof who->locations[i]);
        HF_ASSERT(auth_location_ok(who, who->locations[i], n));
    }
    HF_ASSERT(who->channel_count == 0 || !auth_channel_ok(who, "no such channel", 15));
}

// Every key is in the text, in its order, and no two are the same.
static void keys_ok(const struct auth_key *first, uint32_t count, const char *text)
{
    uint32_t n = 0, line = 0;
    for (const struct auth_key *k = first; k; k = k->next, n++) {
        char hex[65];
        HF_ASSERT(k->line > line);
        line = k->line;
        identity_ok(&k->who);
        for (int i = 0; i < AUTH_DIGEST_BYTES; i++)
            snprintf(hex + 2 * i, 3, "%02x", k->digest[i]);
        HF_ASSERT(strcasestr(text, hex) && strstr(text, k->who.name));
        for (const struct auth_key *other = k->next; other && count < 64; other = other->next)
            HF_ASSERT(memcmp(other->digest, k->digest, AUTH_DIGEST_BYTES) != 0);
    }
    HF_ASSERT(n == count && n > 0);
}

// The same through the file, and twice: a reload of the same file changes nothing.
static void file_judge(const uint8_t *data, size_t bytes, bool good, uint32_t count)
{
    struct auth *a;
    char why[200];
    HF_ASSERT(ftruncate(file, 0) == 0 && pwrite(file, data, bytes, 0) == (ssize_t)bytes);
    enum hf_status s = auth_create(path, &a, why);
    HF_ASSERT((s == HF_OK) == good);
    HF_ASSERT(good || (s == HF_INVALID && why[0] && strnlen(why, sizeof why) < sizeof why));
    if (!good)
        return;
    HF_ASSERT(auth_key_count(a) == count && !auth_open(a));
    HF_ASSERT(auth_reload(a, why) == HF_OK && auth_key_count(a) == count);
    HF_ASSERT(auth_check(a, "0123456789abcdef", 16) == NULL);
    HF_ASSERT(ftruncate(file, 0) == 0);
    HF_ASSERT(auth_reload(a, why) == HF_INVALID && auth_key_count(a) == count);
    auth_destroy(a);
}

void fuzz_one(const uint8_t *data, size_t bytes)
{
    char why[200] = "";
    struct auth_key *first = NULL;
    uint32_t count = 0;
    bool nul = memchr(data, 0, bytes) != NULL;
    char *text = fuzz_text(data, bytes), *cut = fuzz_text(data, bytes);
    enum hf_status s = auth_parse("/etc/holdfast/keys", cut, &first, &count, why);
    HF_ASSERT(s == HF_OK || s == HF_INVALID);
    if (s == HF_OK)
        keys_ok(first, count, text);
    else
        HF_ASSERT(strncmp(why, "keys:", 5) == 0 && strnlen(why, sizeof why) < sizeof why);
    file_judge(data, bytes, s == HF_OK && !nul, count);
    if (s == HF_OK)
        auth_keys_free(first);
    free(text);
    free(cut);
}
