// key make: an API key for a client, and the line for the server's key file.
#include "ctl/commands.h"

#include "auth/auth.h"
#include "ctl/message_json.h"

#include <string.h>

#define LINE_BYTES 256

enum ctl_exit ctl_key_make(struct ctl *c)
{
    char key[AUTH_KEY_BYTES_MAX], line[LINE_BYTES];
    const char *roles = c->option[OPT_ROLES];
    if (!roles)
        return ctl_usage(c, "`key make` needs --roles");
    if (!auth_key_make(c->argv[0], roles, key, line, sizeof line))
        return ctl_usage(c,
                         "no key: a name has 1 to %d visible characters, roles are reader, "
                         "storefront, stock_admin, operator",
                         AUTH_NAME_BYTES_MAX);
    if (c->json)
        json_print(json_pack("{s:s,s:s}", "key", key, "line", line), c->io.out);
    else
        fprintf(c->io.out, "key   %s\nline  %s\n", key, line);
    explicit_bzero(key, sizeof key);
    return CTL_OK;
}
