#include "daemon/odoo_options.h"

#include "daemon/config_internal.h"
#include "daemon/poster.h"
#include "flush/flush.h"
#include "flush/odoo.h"
#include "sys/text_file.h"
#include "sys/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CA_FILE_BYTES_MAX (4u << 20)

// Scheme and authority, nothing behind; in the clear only where nobody else listens.
static void url_check(const struct config *c, struct config_errors *e)
{
    const char *url = c->odoo_url, *host = strstr(url, "://");
    char at[300];
    if (!host)
        return; // told with the options' relations
    host += 3;
    if (host[0] == 0 || host[strcspn(host, "/?#@\\ ")] != 0) {
        config_wrong(e,
                     "odoo_url: %.100s: must be scheme, host and port alone, such as "
                     "https://odoo.example:8069",
                     url);
        return;
    }
    const char *behind = host[0] == '[' ? strchr(host, ']') : host;
    snprintf(at, sizeof at, "%s%s", host, behind && strchr(behind, ':') ? "" : ":80");
    if (strncmp(url, "http://", 7) == 0 && !config_loopback(at))
        config_warn(e, "odoo_url: %.100s: http:// outside loopback sends the key in the clear",
                    url);
}

static void zone_check(const struct flush_location *l, struct config_errors *e)
{
    struct zone *zone = l->zone ? zone_create(l->zone) : NULL;
    if (l->zone && !zone)
        config_wrong(e,
                     "odoo_locations: %.60s: no time zone '%.60s': wants a name such as "
                     "Europe/Berlin",
                     l->name, l->zone);
    zone_destroy(zone);
}

// Each pair by itself, so that it can be named; then all, for what they ask of one another.
static void locations_check(const struct config *c, struct config_errors *e)
{
    struct flush_location *all = calloc(FLUSH_LOCATIONS_MAX, sizeof *all);
    char *pairs = strdup(c->odoo_locations), *whole = strdup(c->odoo_locations), *rest = pairs;
    uint32_t count, before = e->count;
    if (!all || !pairs || !whole)
        config_wrong(e, "odoo_locations: no memory");
    for (char *pair; e->count == before && (pair = strsep(&rest, ",")) != NULL;) {
        char told[80];
        snprintf(told, sizeof told, "%s", pair);
        const char *wrong = flush_locations_parse(pair, all, &count);
        if (wrong)
            config_wrong(e, "odoo_locations: '%s': %s", told, wrong);
        else
            zone_check(&all[0], e);
    }
    const char *wrong = e->count == before ? flush_locations_parse(whole, all, &count) : NULL;
    if (wrong)
        config_wrong(e, "odoo_locations: %s", wrong);
    free(whole);
    free(pairs);
    free(all);
}

static void files_check(const struct config *c, struct config_errors *e)
{
    char why[200], *text;
    const char *wrong;
    size_t bytes;
    if (c->odoo_key_file[0] && poster_key_read(c->odoo_key_file, &text, why) != HF_OK) {
        config_wrong_file(e, "odoo_key_file", c->odoo_key_file, why + strlen("odoo_key_file: "));
    } else if (c->odoo_key_file[0]) {
        explicit_bzero(text, strlen(text));
        free(text);
    }
    if (!c->odoo_ca_file[0])
        return;
    if (text_file_read(c->odoo_ca_file, CA_FILE_BYTES_MAX, &text, &bytes, &wrong) != HF_OK)
        config_wrong_file(e, "odoo_ca_file", c->odoo_ca_file, wrong);
    else
        free(text);
}

void odoo_options_check(const struct config *c, struct config_errors *e)
{
    if (c->odoo_url[0] == 0)
        return;
    url_check(c, e);
    files_check(c, e);
    if (c->odoo_engine[strspn(c->odoo_engine, "abcdefghijklmnopqrstuvwxyz0123456789-")])
        config_wrong(e, "odoo_engine: '%.40s' must be 1 to 32 of a-z, 0-9 and '-'", c->odoo_engine);
    for (const char *p = c->odoo_database; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 127) {
            config_wrong(e, "odoo_database: '%.63s' must be without spaces", c->odoo_database);
            break;
        }
    if (c->odoo_locations[0])
        locations_check(c, e);
}
