// What the two ways of asking Odoo share.
#ifndef HOLDFAST_FLUSH_ODOO_INTERNAL_H
#define HOLDFAST_FLUSH_ODOO_INTERNAL_H

#include "flush/odoo.h"

// What an error of this name means; status: of HTTP, 0 where it says nothing.
enum odoo_class odoo_class_of(int status, const char *name);
// Words for logs and dead letters: printable, without quotes.
void odoo_words_set(struct odoo_answer *a, const char *head, const char *text);
// Sends a body, and reads the answer as the way in force does. Takes `whole`; NULL: no memory.
void odoo_post(struct odoo *o, const char *path, json_t *whole, struct odoo_answer *a);

// A call by JSON-RPC; as odoo_ask.
void odoo_rpc_ask(struct odoo *o, const char *model, const char *method, json_t *args,
                  struct odoo_answer *a);
// Its answer, which came with HTTP 200.
void odoo_rpc_read(json_t *body, struct odoo_answer *a);

#endif
