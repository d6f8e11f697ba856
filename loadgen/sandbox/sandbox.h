// A stand-in for Odoo 19's JSON-2 API, and for the JSON-RPC of Odoo 18: products, locations, quants
// and pickings in memory, with the answers and refusals that the flusher meets. docs/sandbox.md.
//
// One call is one transaction under one mutex; latencies and hanging are the server's business, so
// the model itself is deterministic and serves tests in their own process too.
#ifndef HOLDFAST_LOADGEN_SANDBOX_H
#define HOLDFAST_LOADGEN_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sandbox;

struct sandbox_options {
    const char *database;       // default "odoo"
    const char *uuid;           // database.uuid; default a fixed one
    const char *key;            // bearer key; default "sandbox"
    uint32_t products_max;      // default 1,000,000
    uint32_t pickings_max;      // default 1,000,000
    uint32_t moves_max;         // default 8,000,000
    uint32_t fixed_ms, line_ms; // latency of a posting: fixed and per line. default 0
    uint32_t lookup_ms;         // of everything else. default 0
    bool server_action;         // the one-call action is installed. default true
    int version;                // of Odoo, 18 or 19. default 19
    uint32_t unit_digits; // decimal places that quantities are rounded to. default 2, as Odoo's
    uint64_t seed;        // of faults by chance
};
void sandbox_options_default(struct sandbox_options *o);

// NULL: no memory. Copies the strings.
struct sandbox *sandbox_create(const struct sandbox_options *o);
void sandbox_destroy(struct sandbox *s);

enum sandbox_delivery {
    SANDBOX_SEND,
    SANDBOX_CLOSE, // the connection is closed without an answer
};

struct sandbox_request {
    const char *method, *path;                           // path with its query
    const char *authorization, *database, *content_type; // headers, NULL: absent
    const char *body;
    size_t body_bytes;
    uint64_t now_ms; // since 1970, for the documents' dates
};
struct sandbox_answer {
    enum sandbox_delivery delivery;
    int status;
    const char *content_type; // static
    char *body;               // free() it; may be NULL
    size_t body_bytes;
    uint32_t delay_ms; // to wait before delivering
};
// Any thread.
void sandbox_handle(struct sandbox *s, const struct sandbox_request *r, struct sandbox_answer *a);

// `default_code,warehouse,quantity[,tracking]` a line; a first line that begins with
// "default_code" is skipped. False: *line is the line that was not understood, and why.
bool sandbox_seed_csv(struct sandbox *s, const char *text, size_t bytes, uint32_t *line);
const char *sandbox_seed_wrong(const struct sandbox *s); // static text; after a call that failed

// Does again what this file tells, and from now on writes down there what changes. Set-up, after
// the catalogue. False: the file cannot be opened or was not understood.
bool sandbox_log(struct sandbox *s, const char *path);

// For tests in the same process. Quantities in millionths. Any thread.
int64_t sandbox_quantity(struct sandbox *s, const char *default_code, const char *complete_name);
uint64_t sandbox_pickings(struct sandbox *s, const char *state); // how many in this state

#endif
