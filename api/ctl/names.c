#include "ctl/names.h"

#include <string.h>

static const char *const states[] = {"none",     "held",    "committed",
                                     "released", "expired", "rejected"};
static const char *const kinds[] = {"unknown", "hold", "order", "record"};

#define COUNT(list) (sizeof(list) / sizeof *(list))

const char *state_name(Holdfast__V1__ReservationState state)
{
    return (size_t)state < COUNT(states) ? states[state] : "unknown";
}

const char *kind_name(Holdfast__V1__ReservationKind kind)
{
    return (size_t)kind < COUNT(kinds) ? kinds[kind] : "unknown";
}

bool state_parse(const char *text, Holdfast__V1__ReservationState *state)
{
    for (size_t i = 1; i < COUNT(states); i++)
        if (strcmp(text, states[i]) == 0) {
            *state = (Holdfast__V1__ReservationState)i;
            return true;
        }
    return false;
}

bool read_id(struct ctl *c, const char *text, char id[HF_UUID_TEXT_BYTES])
{
    struct hf_uuid parsed;
    if (!hf_uuid_parse(text, &parsed)) {
        ctl_usage(c, "a reservation's id is a UUID, not %s", text);
        return false;
    }
    hf_uuid_format(parsed, id);
    return true;
}
