#include "ctl/ctl.h"

#include "ctl/format.h"
#include "ctl/message_json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_ADDRESS    "127.0.0.1:7420"
#define DEFAULT_TIMEOUT_MS 10000
#define DEFAULT_TRIES      5
#define FILE_BYTES_MAX     (1 << 20) // of a certificate or key file

static _Noreturn void no_memory(void)
{
    fputs("holdfastctl: no memory\n", stderr);
    exit(CTL_FAILED);
}

void *ctl_alloc(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p)
        no_memory();
    return p;
}

void *ctl_grow(void *old, size_t bytes)
{
    void *p = realloc(old, bytes);
    if (!p)
        no_memory();
    return p;
}

enum ctl_exit ctl_usage(struct ctl *c, const char *fmt, ...)
{
    char text[512], clean[512];
    va_list list;
    va_start(list, fmt);
    vsnprintf(text, sizeof text, fmt, list);
    va_end(list);
    format_clean(text, clean, sizeof clean);
    fprintf(c->io.err, "holdfastctl: %s\n", clean);
    return CTL_USAGE;
}

// ------------------------------------------------------------------------------------ failures

enum ctl_exit ctl_exit_of_code(int code)
{
    switch ((enum rpc_code)code) {
    case RPC_OK:
        return CTL_OK;
    case RPC_NOT_FOUND:
        return CTL_NOT_FOUND;
    case RPC_INVALID_ARGUMENT:
    case RPC_ALREADY_EXISTS:
    case RPC_FAILED_PRECONDITION:
    case RPC_OUT_OF_RANGE:
        return CTL_REJECTED;
    case RPC_PERMISSION_DENIED:
    case RPC_UNAUTHENTICATED:
        return CTL_FORBIDDEN;
    case RPC_UNAVAILABLE:
    case RPC_DEADLINE_EXCEEDED:
    case RPC_CANCELLED:
        return CTL_UNREACHED;
    case RPC_RESOURCE_EXHAUSTED:
    case RPC_ABORTED:
        return CTL_BUSY;
    case RPC_UNKNOWN:
    case RPC_UNIMPLEMENTED:
    case RPC_INTERNAL:
    case RPC_DATA_LOSS:
        return CTL_FAILED;
    case RPC_CODE_COUNT:
        break;
    }
    return CTL_FAILED;
}

static void failed_json(const struct ctl *c, enum ctl_exit e)
{
    const struct client_status *s = &c->status;
    json_print(json_pack("{s:{s:s,s:s,s:s,s:s,s:I,s:I,s:i}}", "error", "code",
                         rpc_code_name(s->code), "reason", s->reason, "field", s->field,
                         "message", s->message, "retry_after_ms", (json_int_t)s->retry_ms, "tries",
                         (json_int_t)s->tries, "exit", (int)e),
               c->io.err);
}

enum ctl_exit ctl_failed(struct ctl *c)
{
    const struct client_status *s = &c->status;
    enum ctl_exit e = ctl_exit_of_code(s->code);
    if (c->json) {
        failed_json(c, e);
        return e;
    }
    char text[sizeof s->message], field[sizeof s->field];
    format_clean(s->message, text, sizeof text);
    format_clean(s->field, field, sizeof field);
    fprintf(c->io.err, "holdfastctl: %s%s%s: %s\n", rpc_code_name(s->code),
            *s->reason ? " " : "", s->reason, text);
    if (*s->field)
        fprintf(c->io.err, "  field: %s\n", field);
    if (e == CTL_UNREACHED)
        fprintf(c->io.err, "  server: %s, tries: %" PRIu32 "\n", c->address, s->tries);
    bool clear = !c->option[OPT_TLS] && !c->option[OPT_CA] && !c->option[OPT_CERT];
    if (e == CTL_UNREACHED && clear && strstr(s->message, "Socket closed"))
        fprintf(c->io.err, "  it closed the connection: does it want TLS? (--tls or --ca)\n");
    if (e == CTL_BUSY && s->retry_ms > 0)
        fprintf(c->io.err, "  the server asks to wait %" PRIu32 " ms\n", s->retry_ms);
    return e;
}

// ------------------------------------------------------------------------------------ options

bool ctl_number(struct ctl *c, enum ctl_option o, uint64_t least, uint64_t most, uint64_t *out)
{
    const char *text = c->option[o];
    if (!text)
        return true;
    if (parse_number(text, out) && *out >= least && *out <= most)
        return true;
    ctl_usage(c, "--%s must be a number from %" PRIu64 " to %" PRIu64 ", not %s",
              ctl_option_name(o), least, most, text);
    return false;
}

bool ctl_span(struct ctl *c, enum ctl_option o, uint32_t *ms)
{
    const char *text = c->option[o];
    if (!text || parse_span(text, ms))
        return true;
    ctl_usage(c, "--%s must be a time such as 250ms, 30s, 10m, 2h or 1d, not %s",
              ctl_option_name(o), text);
    return false;
}

bool ctl_new_id(struct ctl *c, struct hf_uuid *id)
{
    uint64_t random[2];
    if (!c->io.random(random, sizeof random)) {
        ctl_usage(c, "this machine gives no random numbers");
        return false;
    }
    *id = hf_uuid_v7(clock_wall_ms(c->io.clock), random[0], random[1]);
    return true;
}

bool ctl_id(struct ctl *c, enum ctl_option o, const char *what, char text[HF_UUID_TEXT_BYTES])
{
    struct hf_uuid id;
    const char *given = c->option[o];
    if (given) {
        if (!hf_uuid_parse(given, &id)) {
            ctl_usage(c, "--%s must be a UUID, not %s", ctl_option_name(o), given);
            return false;
        }
        hf_uuid_format(id, text);
        return true;
    }
    if (!ctl_new_id(c, &id))
        return false;
    hf_uuid_format(id, text);
    fprintf(c->io.err, "%s %s\n", what, text);
    fflush(c->io.err); // before anything is sent: a retry needs it
    return true;
}

// ------------------------------------------------------------------------------------ the server

// The whole of a small file; NULL: told.
static char *read_file(struct ctl *c, const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = NULL;
    size_t n = 0;
    bool good = false;
    if (f) {
        text = ctl_alloc(FILE_BYTES_MAX);
        n = fread(text, 1, FILE_BYTES_MAX, f);
        good = !ferror(f) && n > 0 && n < FILE_BYTES_MAX && !memchr(text, 0, n);
        (void)fclose(f);
    }
    if (good)
        return text;
    ctl_usage(c, "%s cannot be read, is empty, or is no text", path);
    free(text);
    return NULL;
}

static bool read_option_file(struct ctl *c, enum ctl_option o, char **text)
{
    *text = c->option[o] ? read_file(c, c->option[o]) : NULL;
    return *text || !c->option[o];
}

// The file when it was named on the command line, else the variable, else the file that a variable
// names. The key is never an argument: arguments are seen by every user of a machine.
static bool read_key(struct ctl *c, char **key)
{
    const char *variable = c->io.variable("HOLDFAST_KEY");
    const char *file = c->option[OPT_KEY_FILE],
               *by_variable = c->io.variable("HOLDFAST_CLIENT_KEY_FILE");
    *key = NULL;
    if (variable && *variable && (!file || file == by_variable)) {
        *key = ctl_alloc(strlen(variable) + 1);
        memcpy(*key, variable, strlen(variable));
    } else if (!read_option_file(c, OPT_KEY_FILE, key)) {
        return false;
    }
    if (*key)
        (*key)[strcspn(*key, "\r\n")] = 0;
    return true;
}

static void tell_again(void *ctx, const struct client_status *why, uint32_t wait_ms)
{
    const struct ctl *c = ctx;
    if (c->io.progress)
        fprintf(c->io.err, "%s %s; again in %" PRIu32 " ms\n", rpc_code_name(why->code),
                why->reason, wait_ms);
}

static enum ctl_exit connect_with(struct ctl *c, struct client_options *o)
{
    uint64_t tries = DEFAULT_TRIES;
    o->call_ms = DEFAULT_TIMEOUT_MS;
    if (!ctl_span(c, OPT_TIMEOUT, &o->call_ms) || !ctl_number(c, OPT_TRIES, 1, 1000, &tries))
        return CTL_USAGE;
    o->tries = (uint32_t)tries;
    o->address = c->option[OPT_ADDRESS] ? c->option[OPT_ADDRESS] : DEFAULT_ADDRESS;
    snprintf(c->address, sizeof c->address, "%s", o->address);
    o->tls = c->option[OPT_TLS] || o->ca_pem || o->cert_pem;
    o->clear_anywhere = c->option[OPT_INSECURE];
    o->server_name = c->option[OPT_SERVER_NAME];
    o->user_agent = "holdfastctl/" HF_VERSION;
    o->again = tell_again;
    o->ctx = c;
    char why[200];
    enum hf_status st = client_create(o, &c->client, why);
    if (st == HF_INVALID)
        return ctl_usage(c, "%s%s", why,
                         o->tls || o->clear_anywhere || client_address_local(o->address)
                             ? ""
                             : " (--tls, --ca, or --insecure)");
    if (st != HF_OK)
        no_memory();
    return CTL_OK;
}

static enum ctl_exit connect_server(struct ctl *c)
{
    char *ca = NULL, *cert = NULL, *cert_key = NULL, *key = NULL;
    enum ctl_exit e = CTL_USAGE;
    if (read_option_file(c, OPT_CA, &ca) && read_option_file(c, OPT_CERT, &cert) &&
        read_option_file(c, OPT_CERT_KEY, &cert_key) && read_key(c, &key)) {
        struct client_options o = {
            .ca_pem = ca, .cert_pem = cert, .key_pem = cert_key, .api_key = key};
        e = connect_with(c, &o);
    }
    free(ca);
    free(cert);
    free(cert_key);
    free(key);
    return e;
}

void *ctl_call(struct ctl *c, const ProtobufCServiceDescriptor *service, const char *method,
               const void *request)
{
    ProtobufCMessage *reply;
    return client_call(c->client, service, method, request, &reply, &c->status) ? reply : NULL;
}

enum ctl_exit ctl_main(const struct ctl_io *io, int argc, char **argv)
{
    struct ctl c = {.io = *io};
    json_set_alloc_funcs(ctl_alloc, free); // so that no object is ever printed without a part of it
    enum ctl_exit e = ctl_args(&c, argc, argv);
    if (e == CTL_OK && c.command && !c.command->offline)
        e = connect_server(&c);
    if (e == CTL_OK && c.command)
        e = c.command->run(&c);
    client_destroy(c.client);
    free(c.argv);
    if (e == CTL_OK && (fflush(io->out) != 0 || ferror(io->out))) {
        fprintf(io->err, "holdfastctl: the output could not be written\n");
        e = CTL_FAILED;
    }
    return e;
}
