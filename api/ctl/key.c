// key make: an API key for a client, and the line for the server's key file.
#include "ctl/commands.h"

#include "auth/auth.h"
#include "base/limits.h"
#include "ctl/message_json.h"

#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 256

// Names with commas between, as the key file has them: no blanks, which end a word there.
static bool limit_good(struct ctl *c, enum ctl_option o, size_t name_bytes_max)
{
    const char *text = c->option[o];
    uint32_t count = 0;
    for (; text; count++) {
        size_t bytes = strcspn(text, ",");
        if (bytes == 0 || bytes > name_bytes_max || strcspn(text, " \t\r\n\v\f") < bytes ||
            text[0] == '#' || count == AUTH_LIMITS_MAX) {
            ctl_usage(c,
                      "--%s must be up to %d names of at most %zu bytes, with commas between and "
                      "without blanks",
                      ctl_option_name(o), AUTH_LIMITS_MAX, name_bytes_max);
            return false;
        }
        text = text[bytes] ? text + bytes + 1 : NULL;
    }
    return true;
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

enum ctl_exit ctl_key_make(struct ctl *c)
{
    char key[AUTH_KEY_BYTES_MAX], line[LINE_BYTES];
    const char *roles = c->option[OPT_ROLES];
    const char *channels = c->option[OPT_CHANNELS], *locations = c->option[OPT_LOCATIONS];
    if (!limit_good(c, OPT_CHANNELS, HF_CHANNEL_BYTES_MAX) ||
        !limit_good(c, OPT_LOCATIONS, HF_LOCATION_BYTES_MAX))
        return CTL_USAGE;
    if (!roles)
        return ctl_usage(c, "`key make` needs --roles");
    if (!auth_key_make(c->argv[0], roles, key, line, sizeof line))
        return ctl_usage(c,
                         "no key: a name has 1 to %d visible characters, roles are reader, "
                         "storefront, stock_admin, operator",
                         AUTH_NAME_BYTES_MAX);
    if (strstr(roles, "operator") && (channels || locations)) // no other role's name has it inside
        return ctl_usage(c, "an operator does everything and cannot be limited by %s",
                         ctl_option_name(channels ? OPT_CHANNELS : OPT_LOCATIONS));
    size_t room = sizeof line + strlen(or_empty(channels)) + strlen(or_empty(locations)) + 32;
    char *whole = ctl_alloc(room);
    snprintf(whole, room, "%s%s%s%s%s", line, channels ? " channels=" : "", or_empty(channels),
             locations ? " locations=" : "", or_empty(locations));
    if (c->json)
        json_print(json_pack("{s:s,s:s}", "key", key, "line", whole), c->io.out);
    else
        fprintf(c->io.out, "key   %s\nline  %s\n", key, whole);
    free(whole);
    explicit_bzero(key, sizeof key);
    return CTL_OK;
}
