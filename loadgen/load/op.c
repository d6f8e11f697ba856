#include "load/op.h"

const char *op_verb_name(enum op_verb v)
{
    static const char *const names[] = {
#define X(name, method) #name,
        OP_VERB_TABLE(X)
#undef X
    };
    return (unsigned)v < OP_VERB_COUNT ? names[v] : "unknown";
}

const char *op_outcome_name(enum op_outcome o)
{
    static const char *const names[] = {
#define X(name, help) #name,
        OP_OUTCOME_TABLE(X)
#undef X
    };
    return (unsigned)o < OP_OUTCOME_COUNT ? names[o] : "unknown";
}

const char *op_outcome_help(enum op_outcome o)
{
    static const char *const help[] = {
#define X(name, text) text,
        OP_OUTCOME_TABLE(X)
#undef X
    };
    return (unsigned)o < OP_OUTCOME_COUNT ? help[o] : "unknown";
}

const char *op_state_name(enum op_state s)
{
    static const char *const names[] = {
#define X(name) #name,
        OP_STATE_TABLE(X)
#undef X
    };
    return (unsigned)s < OP_STATE_COUNT ? names[s] : "unknown";
}
