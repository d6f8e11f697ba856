#include "core/core.h"

#define NAME_OF(table, value)                                                                      \
    ((size_t)(value) < sizeof(table) / sizeof *(table) && (table)[value] ? (table)[value]          \
                                                                         : "unknown")

const char *core_verb_name(enum core_verb v)
{
    static const char *const names[] = {
#define X(name, help) #name,
        CORE_VERB_TABLE(X)
#undef X
    };
    return NAME_OF(names, v);
}

const char *core_outcome_name(enum core_outcome o)
{
    static const char *const names[] = {
#define X(name, help) #name,
        CORE_OUTCOME_TABLE(X)
#undef X
    };
    return NAME_OF(names, o);
}

const char *core_outcome_help(enum core_outcome o)
{
    static const char *const texts[] = {
#define X(name, help) help,
        CORE_OUTCOME_TABLE(X)
#undef X
    };
    return NAME_OF(texts, o);
}

const char *core_short_help(enum core_short s)
{
    static const char *const texts[] = {
#define X(name, help) help,
        CORE_SHORT_TABLE(X)
#undef X
    };
    return NAME_OF(texts, s);
}

const char *core_field_name(enum core_field f)
{
    static const char *const names[] = {
#define X(name, text) text,
        CORE_FIELD_TABLE(X)
#undef X
    };
    return NAME_OF(names, f);
}

const char *core_state_name(enum core_state s)
{
    static const char *const names[] = {
#define X(name) #name,
        CORE_STATE_TABLE(X)
#undef X
    };
    return NAME_OF(names, s);
}
