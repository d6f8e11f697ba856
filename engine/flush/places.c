// Which place in Odoo a location stands for, as people write it.
#include "flush/flush.h"

#include <stdio.h>
#include <string.h>

#define NAME_OF(name, text, help) text,
static const char *const mode_names[] = {FLUSH_MODE_TABLE(NAME_OF)};

const char *flush_mode_name(enum flush_mode m)
{
    return (unsigned)m < FLUSH_MODE_COUNT ? mode_names[m] : "unknown";
}

static bool mode_parse(const char *text, enum flush_mode *mode)
{
    for (unsigned i = 0; i < FLUSH_MODE_COUNT; i++)
        if (strcmp(mode_names[i], text) == 0) {
            *mode = (enum flush_mode)i;
            return true;
        }
    return false;
}

// "LOCATION=WAREHOUSE[:MODE[:ZONE]]", cut in place.
static const char *pair_parse(char *pair, struct flush_location *l)
{
    char *equals = strrchr(pair, '='), *colon = equals ? strchr(equals, ':') : NULL;
    if (!equals || equals == pair || equals[1] == 0 || colon == equals + 1)
        return "wants LOCATION=WAREHOUSE[:MODE[:ZONE]],...";
    *equals = 0;
    if (colon)
        *colon++ = 0;
    char *zone = colon ? strchr(colon, ':') : NULL;
    if (zone)
        *zone++ = 0;
    *l = (struct flush_location){.name = pair, .warehouse = equals + 1, .zone = zone};
    if (colon && !mode_parse(colon, &l->mode))
        return "a mode is ship, stage or external";
    if (strlen(pair) > HF_LOCATION_BYTES_MAX || strlen(l->warehouse) > FLUSH_WAREHOUSE_BYTES_MAX)
        return "a location or warehouse is too long";
    return NULL;
}

const char *flush_locations_parse(char *text, struct flush_location *out, uint32_t *count)
{
    char *pair;
    for (*count = 0; (pair = strsep(&text, ",")) != NULL; ++*count) {
        if (*count == FLUSH_LOCATIONS_MAX)
            return "at most 256 locations";
        const char *wrong = pair_parse(pair, &out[*count]);
        if (wrong)
            return wrong;
        for (uint32_t i = 0; i < *count; i++) {
            if (strcmp(out[i].name, out[*count].name) == 0)
                return "a location is there twice";
            if (strcmp(out[i].warehouse, out[*count].warehouse) == 0)
                return "two locations stand for one warehouse: its stock would be sold twice";
        }
    }
    return NULL;
}

// ------------------------------------------------------------------------------- closed hours

// "HH:MM"; moves *text past it. False: not that.
static bool time_parse(const char **text, uint16_t *minute)
{
    const char *t = *text;
    for (int i = 0; i < 5; i++)
        if (i == 2 ? t[i] != ':' : t[i] < '0' || t[i] > '9')
            return false;
    int hour = (t[0] - '0') * 10 + t[1] - '0', min = (t[3] - '0') * 10 + t[4] - '0';
    *minute = (uint16_t)(hour * 60 + min);
    *text = t + 5;
    return hour < 24 && min < 60;
}

const char *flush_hours_parse(const char *text, struct flush_hours *out)
{
    *out = (struct flush_hours){0};
    for (bool more = *text != 0; more;) {
        uint32_t i = out->count;
        if (i == FLUSH_HOURS_MAX)
            return "at most 8 spans";
        if (!time_parse(&text, &out->from[i]) || *text++ != '-' || !time_parse(&text, &out->to[i]))
            return "wants HH:MM-HH:MM[,...][ ZONE]";
        if (out->from[i] == out->to[i])
            return "a span is empty";
        out->count++;
        more = *text == ',';
        text += more;
    }
    if (*text == ' ' && text[1] && strlen(text + 1) < sizeof out->zone)
        snprintf(out->zone, sizeof out->zone, "%s", text + 1);
    else if (*text)
        return "wants HH:MM-HH:MM[,...][ ZONE]";
    return NULL;
}
