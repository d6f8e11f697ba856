// A client of Odoo's JSON-2 API, or, with a login, of the JSON-RPC of Odoo 18 and before: one call
// at a time, and what kind of answer it was. Errors are told apart by HTTP status and exception
// name, never by their text, which is translated.
//
// One thread at a time; calls block. The key is kept here and never told.
#ifndef HOLDFAST_FLUSH_ODOO_H
#define HOLDFAST_FLUSH_ODOO_H

#include "base/status.h"
#include "sys/http.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define ODOO_DATABASE_BYTES_MAX 63
#define ODOO_KEY_BYTES_MAX      255
#define ODOO_LOGIN_BYTES_MAX    127
#define ODOO_WORDS_BYTES        120
#define ODOO_ANSWER_BYTES       (8u << 20)

enum odoo_class {
    ODOO_OK,
    ODOO_RETRY, // may pass; may have been done
    ODOO_KEY,
    ODOO_RIGHTS,
    ODOO_REFUSED, // 422: validation or a rule of the business
    ODOO_MISSING, // a record is not there
    ODOO_SCHEMA,  // unknown field, model, method; bad type; our own mistake
};

struct odoo_answer {
    enum odoo_class class;
    int status;     // of HTTP; 0: no answer came
    json_t *result; // OK; owned by whoever called
    char words[ODOO_WORDS_BYTES];
};

struct odoo {
    struct http *http; // borrowed
    char database_header[ODOO_DATABASE_BYTES_MAX + 20], key_header[ODOO_KEY_BYTES_MAX + 30];
    char login[ODOO_LOGIN_BYTES_MAX + 1]; // of the key's user, for JSON-RPC; empty: JSON-2
    uint32_t uid;                         // JSON-RPC: the user's number; 0: not asked for yet
    uint64_t uid_key;                     // hash of the key that it was asked for with
    uint32_t version;                     // JSON-RPC: Odoo's, such as 18; 0: not known
    char *body;                           // ODOO_ANSWER_BYTES
    uint32_t timeout_ms;
};

// Allocates room for answers. False: no memory.
bool odoo_init(struct odoo *o, struct http *http, const char *database, const char *key,
               uint32_t timeout_ms) HF_CHECKED;
void odoo_fini(struct odoo *o);
// JSON-RPC from now on, as this user; empty: JSON-2.
void odoo_login_set(struct odoo *o, const char *login);
void odoo_key_set(struct odoo *o, const char *key);

// Adds to a list, or sets in an object; what is given is taken. NULL, and the whole is gone, when
// there is no memory for it (or was none for what is given): what is sent must lack nothing. A call
// with NULL arguments fails as one that may be tried again.
json_t *odoo_append(json_t *list, json_t *item);
json_t *odoo_put(json_t *object, const char *key, json_t *value);
// A method of a model, with its arguments by name as in JSON-2 ("ids", "vals_list"). Takes args;
// NULL stands for no memory.
void odoo_ask(struct odoo *o, const char *model, const char *method, json_t *args,
              struct odoo_answer *a);
// search_read's arguments, with load: null. Takes both.
json_t *odoo_search(json_t *domain, json_t *fields);
// A quantity in a unit with `scale` decimal places.
json_t *odoo_quantity(int64_t quantity, uint8_t scale);

// Odoo's times are in UTC: "2026-11-24 08:51:07". False: not understood, or before 1970.
#define ODOO_TIME_BYTES 20
bool odoo_time_parse(const char *text, uint64_t *ms);
const char *odoo_time_format(uint64_t ms, char text[ODOO_TIME_BYTES]);

#endif
