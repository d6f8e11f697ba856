// Values as people write them, both ways.
#include "daemon/config_internal.h"

#include <stdlib.h>
#include <string.h>

const struct config_option config_options[CONFIG_OPTION_COUNT] = {
#define G(title)
#define X(field_, key_, type_, fallback_, min_, max_, help_)                                       \
    [CONFIG_##field_] = {.key = key_,                                                              \
                         .fallback = fallback_,                                                    \
                         .help = help_,                                                            \
                         .type = CONFIG_TYPE_##type_,                                              \
                         .min = min_,                                                              \
                         .max = max_,                                                              \
                         .offset = offsetof(struct config, field_)},
    CONFIG_TABLE(G, X)
#undef X
#undef G
};

const char *config_type_name(enum config_type t)
{
    static const char *const names[CONFIG_TYPES] = {
#define X(name, c, text) text,
        CONFIG_TYPE_TABLE(X)
#undef X
    };
    return names[t];
}

struct unit {
    const char *name;
    uint64_t size;
};
// The last one is what numbers are in.
static const struct unit byte_units[] = {
    {"TiB", CONFIG_TI}, {"GiB", CONFIG_GI}, {"MiB", CONFIG_MI}, {"KiB", CONFIG_KI}, {"", 1}};
static const struct unit span_units[] = {
    {"d", CONFIG_D}, {"h", CONFIG_H}, {"min", CONFIG_M}, {"s", CONFIG_S}, {"ms", 1}};
static const struct unit count_units[] = {{"", 1}};

static const struct unit *units_of(enum config_type t, size_t *count)
{
    switch (t) {
    case CONFIG_TYPE_BYTES:
        *count = sizeof byte_units / sizeof *byte_units;
        return byte_units;
    case CONFIG_TYPE_SPAN:
    case CONFIG_TYPE_DURABILITY:
        *count = sizeof span_units / sizeof *span_units;
        return span_units;
    default:
        *count = sizeof count_units / sizeof *count_units;
        return count_units;
    }
}

void config_number_text(enum config_type t, uint64_t value, char buffer[CONFIG_TEXT_BYTES])
{
    size_t count;
    const struct unit *units = units_of(t, &count);
    size_t i = 0;
    while (i < count - 1 && (value == 0 || value % units[i].size != 0))
        i++;
    snprintf(buffer, CONFIG_TEXT_BYTES, "%llu%s", (unsigned long long)(value / units[i].size),
             value == 0 ? "" : units[i].name);
}

// ------------------------------------------------------------------------------- reading

static bool wrong(char why[200], const char *text, const char *what)
{
    snprintf(why, 200, "'%.60s' %s", text, what);
    return false;
}

// Digits, then one of the units.
static bool number_read(const char *text, enum config_type t, uint64_t *value, char why[200])
{
    size_t count, i = 0, digits = strspn(text, "0123456789");
    const struct unit *units = units_of(t, &count);
    *value = 0;
    if (digits == 0)
        return wrong(why, text, "is no number");
    for (size_t d = 0; d < digits; d++)
        if (__builtin_mul_overflow(*value, 10u, value) ||
            __builtin_add_overflow(*value, (unsigned)(text[d] - '0'), value))
            return wrong(why, text, "is too large a number");
    // A span without a unit would be a guess; nothing is nothing in every unit.
    if (text[digits] == 0 && *value == 0)
        return true;
    while (i < count && strcmp(units[i].name, text + digits) != 0)
        i++;
    if (i == count)
        return wrong(why, text,
                     t == CONFIG_TYPE_BYTES   ? "needs a unit of KiB, MiB, GiB, TiB, or none"
                     : t == CONFIG_TYPE_COUNT ? "is no number"
                                              : "needs a unit: ms, s, min, h or d");
    if (__builtin_mul_overflow(*value, units[i].size, value))
        return wrong(why, text, "is too large a number");
    return true;
}

static bool range_check(const struct config_option *o, uint64_t value, const char *text,
                        char why[200])
{
    char least[CONFIG_TEXT_BYTES], most[CONFIG_TEXT_BYTES];
    if (value >= o->min && value <= o->max)
        return true;
    config_number_text(o->type, o->min, least);
    config_number_text(o->type, o->max, most);
    snprintf(why, 200, "'%.40s' is out of range: %.40s .. %.40s", text, least, most);
    return false;
}

static bool text_read(const struct config_option *o, const char *text, char **field, char why[200])
{
    size_t bytes = strlen(text);
    if (bytes < o->min)
        return wrong(why, text, "may not be empty");
    if (bytes > o->max)
        return wrong(why, text, "is too long");
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return wrong(why, "", "has a control character in it");
    char *copy = strdup(text);
    if (!copy)
        return wrong(why, text, "found no memory");
    free(*field);
    *field = copy;
    return true;
}

static bool durability_read(const struct config_option *o, const char *text,
                            struct config_durability *field, char why[200])
{
    uint64_t ms;
    if (strcmp(text, "sync") == 0) {
        *field = (struct config_durability){.mode = JOURNAL_SYNC};
        return true;
    }
    if (strcmp(text, "none") == 0) {
        *field = (struct config_durability){.mode = JOURNAL_NONE};
        return true;
    }
    if (strncmp(text, "group:", 6) != 0)
        return wrong(why, text, "is none of sync, group:DURATION, none");
    if (!number_read(text + 6, o->type, &ms, why) || !range_check(o, ms, text + 6, why))
        return false;
    *field = (struct config_durability){.mode = JOURNAL_GROUP, .group_ms = (uint32_t)ms};
    return true;
}

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static bool level_read(const char *text, enum hf_log_level *field, char why[200])
{
    for (unsigned i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (strcmp(text, level_names[i]) == 0) {
            *field = (enum hf_log_level)i;
            return true;
        }
    return wrong(why, text, "is none of debug, info, warn, error");
}

static bool flag_read(const char *text, bool *field, char why[200])
{
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return wrong(why, text, "is neither true nor false");
    *field = text[0] == 't';
    return true;
}

bool config_value_set(struct config *c, enum config_id id, const char *text, char why[200])
{
    const struct config_option *o = &config_options[id];
    void *field = (char *)c + o->offset;
    uint64_t value;
    switch (o->type) {
    case CONFIG_TYPE_TEXT:
        return text_read(o, text, field, why);
    case CONFIG_TYPE_FLAG:
        return flag_read(text, field, why);
    case CONFIG_TYPE_COUNT:
    case CONFIG_TYPE_BYTES:
    case CONFIG_TYPE_SPAN:
        if (!number_read(text, o->type, &value, why) || !range_check(o, value, text, why))
            return false;
        *(uint64_t *)field = value;
        return true;
    case CONFIG_TYPE_DURABILITY:
        return durability_read(o, text, field, why);
    case CONFIG_TYPE_LEVEL:
        return level_read(text, field, why);
    case CONFIG_TYPES:
        break;
    }
    return false;
}

// ------------------------------------------------------------------------------- writing

static void durability_text(const struct config_durability *d, char buffer[CONFIG_TEXT_BYTES])
{
    char span[CONFIG_TEXT_BYTES];
    config_number_text(CONFIG_TYPE_SPAN, d->group_ms, span);
    if (d->mode == JOURNAL_GROUP)
        snprintf(buffer, CONFIG_TEXT_BYTES, "group:%.60s", span);
    else
        snprintf(buffer, CONFIG_TEXT_BYTES, "%s", d->mode == JOURNAL_SYNC ? "sync" : "none");
}

const char *config_value_text(const struct config *c, enum config_id id,
                              char buffer[CONFIG_TEXT_BYTES])
{
    const struct config_option *o = &config_options[id];
    const void *field = (const char *)c + o->offset;
    switch (o->type) {
    case CONFIG_TYPE_TEXT:
        return *(char *const *)field ? *(char *const *)field : "";
    case CONFIG_TYPE_FLAG:
        return *(const bool *)field ? "true" : "false";
    case CONFIG_TYPE_COUNT:
    case CONFIG_TYPE_BYTES:
    case CONFIG_TYPE_SPAN:
        config_number_text(o->type, *(const uint64_t *)field, buffer);
        return buffer;
    case CONFIG_TYPE_DURABILITY:
        durability_text(field, buffer);
        return buffer;
    case CONFIG_TYPE_LEVEL:
        return level_names[*(const enum hf_log_level *)field];
    case CONFIG_TYPES:
        break;
    }
    return "";
}
