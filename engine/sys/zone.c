#include "sys/zone.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S 86400

struct zone {
    GTimeZone *zone;
};

struct zone *zone_create(const char *name)
{
    struct zone *z = calloc(1, sizeof *z);
    if (z)
        z->zone = g_time_zone_new_identifier(name);
    if (z && z->zone)
        return z;
    free(z);
    return NULL;
}

void zone_destroy(struct zone *z)
{
    if (z)
        g_time_zone_unref(z->zone);
    free(z);
}

static int64_t local_s(const struct zone *z, uint64_t ms)
{
    int64_t s = (int64_t)(ms / 1000);
    gint interval = g_time_zone_find_interval(z->zone, G_TIME_TYPE_UNIVERSAL, s);
    return s + (interval < 0 ? 0 : g_time_zone_get_offset(z->zone, interval));
}

int32_t zone_day(const struct zone *z, uint64_t ms)
{
    int64_t s = local_s(z, ms);
    return (int32_t)((s >= 0 ? s : s - (DAY_S - 1)) / DAY_S);
}

uint32_t zone_minute(const struct zone *z, uint64_t ms)
{
    int64_t s = local_s(z, ms) % DAY_S;
    return (uint32_t)((s < 0 ? s + DAY_S : s) / 60);
}

bool zone_time_parse(const char *text, uint64_t *ms)
{
    // GLib also takes what ISO 8601 has beside: weeks, days of the year, no separators.
    bool plain = strlen(text) >= 20 && text[4] == '-' && text[7] == '-' && text[13] == ':' &&
                 text[16] == ':';
    GDateTime *t = plain ? g_date_time_new_from_iso8601(text, NULL) : NULL;
    if (!t)
        return false;
    int64_t at = g_date_time_to_unix(t) * 1000 + g_date_time_get_microsecond(t) / 1000;
    g_date_time_unref(t);
    *ms = at > 0 ? (uint64_t)at : 0;
    return at > 0;
}
