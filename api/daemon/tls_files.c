#include "daemon/tls_files.h"

#include "sys/text_file.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PEM_BYTES_MAX (1u << 20)

static bool wrong(struct config_errors *e, const char *option, const char *path, const char *why)
{
    config_wrong_file(e, option, path, why);
    return false;
}

// False: not read, and told. *text stays NULL where no path is given.
static bool read_text(const char *option, const char *path, char **text, size_t *bytes,
                      struct config_errors *e)
{
    const char *why;
    if (path[0] == 0 || text_file_read(path, PEM_BYTES_MAX, text, bytes, &why) == HF_OK)
        return true;
    return wrong(e, option, path, why);
}

// Of an encrypted key: nobody is there to be asked.
static int no_password(char *buffer, int bytes, int writing, void *ctx)
{
    (void)buffer, (void)bytes, (void)writing, (void)ctx;
    return -1;
}

static X509 *certificate_parse(const char *text)
{
    BIO *in = BIO_new_mem_buf(text, -1);
    X509 *x = in ? PEM_read_bio_X509(in, NULL, no_password, NULL) : NULL;
    BIO_free(in);
    return x;
}

static EVP_PKEY *key_parse(const char *text)
{
    BIO *in = BIO_new_mem_buf(text, -1);
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, no_password, NULL) : NULL;
    BIO_free(in);
    return key;
}

static uint64_t end_of(const X509 *x)
{
    struct tm at;
    if (!ASN1_TIME_to_tm(X509_get0_notAfter(x), &at))
        return 0;
    time_t s = timegm(&at);
    return s > 0 ? (uint64_t)s : 0;
}

static bool pair_check(const struct config *c, struct tls_files *t, struct config_errors *e)
{
    X509 *x = certificate_parse(t->certificate);
    EVP_PKEY *key = key_parse(t->key);
    bool good = true;
    if (!x)
        good = wrong(e, "tls_certificate", c->tls_certificate, "has no certificate in PEM");
    if (!key)
        good = wrong(e, "tls_key", c->tls_key, "has no private key in PEM, or an encrypted one");
    if (good && X509_check_private_key(x, key) != 1)
        good = wrong(e, "tls_key", c->tls_key, "is not the key of the certificate");
    if (good) {
        t->ends_s = end_of(x);
        if (X509_cmp_current_time(X509_get0_notAfter(x)) < 0)
            config_warn_file(e, "tls_certificate", c->tls_certificate, "has expired");
    }
    X509_free(x);
    EVP_PKEY_free(key);
    return good;
}

static bool authority_check(const struct config *c, const struct tls_files *t,
                            struct config_errors *e)
{
    X509 *x = certificate_parse(t->client_ca);
    X509_free(x);
    return x || wrong(e, "tls_client_ca", c->tls_client_ca, "has no certificate in PEM");
}

bool tls_files_read(const struct config *c, struct tls_files *t, struct config_errors *errors)
{
    size_t bytes;
    *t = (struct tls_files){0};
    bool good = read_text("tls_certificate", c->tls_certificate, &t->certificate, &bytes, errors);
    good &= read_text("tls_key", c->tls_key, &t->key, &t->key_bytes, errors);
    good &= read_text("tls_client_ca", c->tls_client_ca, &t->client_ca, &bytes, errors);
    if (t->certificate && t->key)
        good &= pair_check(c, t, errors);
    if (t->client_ca)
        good &= authority_check(c, t, errors);
    ERR_clear_error(); // what failed has been told; the queue is the thread's, and others look at
                       // it
    return good;
}

void tls_files_free(struct tls_files *t)
{
    if (t->key)
        explicit_bzero(t->key, t->key_bytes);
    free(t->certificate);
    free(t->key);
    free(t->client_ca);
    *t = (struct tls_files){0};
}
