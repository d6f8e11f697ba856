#include "auth/auth_internal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#define RANDOM_BYTES 32
// base64 of 32 bytes: 44 characters, the last one padding.
#define TEXT_BYTES 44

bool auth_key_make(const char *name, const char *roles, char key[AUTH_KEY_BYTES_MAX], char *line,
                   size_t line_bytes)
{
    unsigned char random[RANDOM_BYTES], text[TEXT_BYTES + 1], digest[EVP_MAX_MD_SIZE];
    char hex[2 * AUTH_DIGEST_BYTES + 1];
    if (!auth_name_ok(name) || auth_roles_parse(roles) == 0)
        return false;
    if (RAND_priv_bytes(random, sizeof random) != 1)
        return false;
    EVP_EncodeBlock(text, random, sizeof random);
    OPENSSL_cleanse(random, sizeof random);
    for (int i = 0; i < TEXT_BYTES; i++)
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i] == '=' ? 0 : text[i];
    snprintf(key, AUTH_KEY_BYTES_MAX, "hf_%s", (char *)text);
    OPENSSL_cleanse(text, sizeof text);
    if (!EVP_Digest(key, strlen(key), digest, NULL, EVP_sha256(), NULL))
        return false;
    for (int i = 0; i < AUTH_DIGEST_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    int n = snprintf(line, line_bytes, "%s %s %s", name, roles, hex);
    return n > 0 && (size_t)n < line_bytes;
}
