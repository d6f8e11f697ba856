// The listener's certificate, key and client authorities: read and looked through before gRPC gets
// them, which would only say that it cannot listen.
#ifndef HOLDFAST_API_TLS_FILES_H
#define HOLDFAST_API_TLS_FILES_H

#include "daemon/config.h"

struct tls_files {
    char *certificate, *key, *client_ca; // PEM texts; NULL: not given
    size_t key_bytes;
    uint64_t ends_s; // since 1970: the certificate's last second; 0: no certificate
};

// Set-up, blocking. What is wrong is added to errors: a file that can't be read, is no PEM of its
// kind, a key that is not the certificate's or is encrypted. An expired certificate is a warning.
// True when nothing was wrong; tls_files_free either way.
bool tls_files_read(const struct config *c, struct tls_files *t, struct config_errors *errors);
void tls_files_free(struct tls_files *t); // wipes the key

#endif
