// What the `odoo` commands share: an Odoo that the options name. One thread, blocking.
#ifndef HOLDFAST_CTL_ODOO_H
#define HOLDFAST_CTL_ODOO_H

#include "ctl/ctl.h"
#include "flush/odoo.h"

struct ctl_odoo {
    struct http *http;
    struct odoo odoo;
    const char *url;
};

// CTL_OK, or told on `err`. ctl_odoo_close after it in any case.
enum ctl_exit ctl_odoo_open(struct ctl *c, struct ctl_odoo *o);
void ctl_odoo_close(struct ctl_odoo *o);

// Rows of search_read; NULL: see *a. The caller's.
json_t *ctl_odoo_rows(struct ctl_odoo *o, const char *model, json_t *domain, json_t *fields,
                      struct odoo_answer *a);
// Every row of search_read, archived ones too, by id. Takes domain and fields. What `visit` answers
// other than CTL_OK ends it, and is the answer; when Odoo fails, *a tells, and the answer is
// ctl_odoo_exit's.
typedef enum ctl_exit (*ctl_odoo_visit)(void *ctx, const json_t *row);
enum ctl_exit ctl_odoo_pages(struct ctl_odoo *o, const char *model, json_t *domain, json_t *fields,
                             ctl_odoo_visit visit, void *ctx, struct odoo_answer *a);
// How a command ends after an answer that is not as wanted.
enum ctl_exit ctl_odoo_exit(const struct odoo_answer *a);
// Ids are positive and fit; 0 otherwise.
uint32_t ctl_odoo_id(const json_t *row, const char *field);
// "" when it is no text.
const char *ctl_odoo_text(const json_t *row, const char *field);

#endif
