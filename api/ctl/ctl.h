// holdfastctl: what its commands share. One thread, blocking.
//
// A command is a row of the table in commands.c: words, arguments, options, help, function. Every
// option is a row of CTL_OPTION_TABLE. The help texts come from both, and nowhere else.
#ifndef HOLDFAST_CTL_H
#define HOLDFAST_CTL_H

#include "base/uuid.h"
#include "client/client.h"
#include "ctl/exit.h"
#include "journal/record.h"
#include "sys/clock.h"

#include <assert.h>
#include <stdio.h>

// symbol, name, argument (NULL: none), environment variable (NULL: none), help
#define CTL_OPTION_TABLE(X)                                                                        \
    X(ADDRESS, "address", "HOST:PORT", "HOLDFAST_ADDRESS",                                         \
      "default 127.0.0.1:7420; or unix:/path")                                                     \
    X(TLS, "tls", NULL, "HOLDFAST_TLS", "encrypt, trusting the system's roots")                    \
    X(CA, "ca", "FILE", "HOLDFAST_CA", "encrypt, trusting these roots (PEM)")                      \
    X(CERT, "cert", "FILE", "HOLDFAST_CERT", "client certificate (PEM)")                           \
    X(CERT_KEY, "cert-key", "FILE", "HOLDFAST_CERT_KEY", "its private key (PEM)")                  \
    X(SERVER_NAME, "server-name", "NAME", "HOLDFAST_SERVER_NAME",                                  \
      "in its certificate, if not the address's")                                                  \
    X(KEY_FILE, "key-file", "FILE", "HOLDFAST_CLIENT_KEY_FILE",                                    \
      "API key, first line; or in HOLDFAST_KEY")                                                   \
    X(INSECURE, "insecure", NULL, NULL, "in clear, key included, beyond this machine")             \
    X(TIMEOUT, "timeout", "SPAN", "HOLDFAST_TIMEOUT",                                              \
      "for each call, tries included; default 10s")                                                \
    X(TRIES, "tries", "N", NULL, "when busy or away, the same ids again; default 5")               \
    X(JSON, "json", NULL, NULL, "for programs: an object, or one a line")                          \
    X(RAW, "raw", NULL, NULL, "quantities in smallest units: 2500, not 2.500")                     \
    X(HELP, "help", NULL, NULL, "this text; after a command: the command's")                       \
    X(VERSION, "version", NULL, NULL, "the version")                                               \
    X(SKU, "sku", "SKU", NULL, "that name this SKU")                                               \
    X(LOCATION, "location", "LOCATION", NULL, "of this location only")                             \
    X(SHORT, "short", NULL, NULL, "only cells with less than nothing available")                   \
    X(STATE, "state", "STATE", NULL, "held, committed, released, expired or rejected")             \
    X(LIMIT, "limit", "N", NULL, "at most so many; default: all")                                  \
    X(CHANNEL, "channel", "NAME", NULL, "where the sale comes from")                               \
    X(REFERENCE, "reference", "TEXT", NULL, "order or cart number")                                \
    X(BUYER_KEY, "buyer-key", "TEXT", NULL, "opaque key of the buyer; no personal data")           \
    X(TRACEPARENT, "traceparent", "TEXT", NULL, "W3C trace context")                               \
    X(ID, "id", "UUID", NULL, "the reservation's id; default: a new one, printed first")           \
    X(OPERATION_ID, "operation-id", "UUID", NULL,                                                  \
      "of this change, for a retry; default: a new one, printed first")                            \
    X(TTL, "ttl", "SPAN", NULL, "how long, from now: 30s, 10m, 2h, 1d")                            \
    X(BEST_EFFORT, "best-effort", NULL, NULL, "each line takes what there is")                     \
    X(RETAKE, "retake", NULL, NULL, "when the hold has expired, take the stock again")             \
    X(SCRAP, "scrap", NULL, NULL, "the goods can't be sold again")                                 \
    X(EXPECT, "expect", "VALUE", NULL, "only if the present value is this one")                    \
    X(REASON, "reason", "TEXT", NULL, "for the audit trail, at most 64 bytes")                     \
    X(ACTOR, "actor", "NAME", NULL, "who decides so; default: the user of this shell")             \
    X(ALL, "all", NULL, NULL, "what agrees too")                                                   \
    X(CSV, "csv", NULL, NULL, "as CSV")                                                            \
    X(FIX, "fix", NULL, NULL, "set right here what differs")                                       \
    X(DATE, "date", "YYYY-MM-DD", NULL, "which day")                                               \
    X(ORDERS, "orders", NULL, NULL, "the orders behind each line too")                             \
    X(UNIT_SCALE, "unit-scale", "N", NULL, "decimal places of the unit, 0..6; default 0")          \
    X(INTERVAL, "interval", "SPAN", NULL, "gather changes so long; default 250ms")                 \
    X(COUNT, "count", "N", NULL, "end after so many lines")                                        \
    X(FOR, "for", "SPAN", NULL, "end after this time")                                             \
    X(ONCE, "once", NULL, NULL, "end when every cell has been told")                               \
    X(IMPORT_ID, "import-id", "UUID", NULL, "go on with this import; see --resume")                \
    X(RESUME, "resume", NULL, NULL, "go on with what the state file tells of")                     \
    X(FROM_LINE, "from-line", "N", NULL, "with --import-id: rows before this line are done")       \
    X(STATE_FILE, "state-file", "FILE", NULL, "default: the CSV file's name and what it is of")    \
    X(SKIP_BAD, "skip-bad", NULL, NULL, "import the good rows of a file that has bad ones")        \
    X(DRY_RUN, "dry-run", NULL, NULL, "look, and change nothing")                                  \
    X(BATCH, "batch", "N", NULL, "rows a call, 1..1000; default 500")                              \
    X(ROLES, "roles", "LIST", NULL, "of reader, storefront, stock_admin, operator, with commas")   \
    X(CHANNELS, "channels", "LIST", NULL, "of these channels only, with commas")                   \
    X(LOCATIONS, "locations", "LIST", NULL, "of these locations only, with commas")                \
    X(ODOO_URL, "odoo-url", "URL", "HOLDFAST_ODOO_URL", "Odoo's origin, as the server has it")     \
    X(ODOO_DATABASE, "odoo-database", "NAME", "HOLDFAST_ODOO_DATABASE", "name of the database")    \
    X(ODOO_KEY_FILE, "odoo-key-file", "FILE", "HOLDFAST_ODOO_KEY_FILE",                            \
      "Odoo's key; or in HOLDFAST_ODOO_KEY")                                                       \
    X(ODOO_LOGIN, "odoo-login", "NAME", "HOLDFAST_ODOO_LOGIN",                                     \
      "the key's user: JSON-RPC (Odoo 18); none: JSON-2")                                          \
    X(ODOO_CA_FILE, "odoo-ca-file", "FILE", "HOLDFAST_ODOO_CA_FILE", "authorities to trust (PEM)") \
    X(ODOO_LOCATIONS, "odoo-locations", "LIST", "HOLDFAST_ODOO_LOCATIONS",                         \
      "LOCATION=WAREHOUSE[:MODE],...")                                                             \
    X(ODOO_ENGINE, "odoo-engine", "LIST", "HOLDFAST_ODOO_ENGINE",                                  \
      "names in Odoo, former ones too; default holdfast")                                          \
    X(OTHER_ENGINES, "other-engines", "LIST", NULL, "names in Odoo that count as others'")         \
    X(SINCE, "since", "YYYY-MM-DD", NULL, "from this day on; default: the file's oldest day")      \
    X(ODOO_ACTION_ID, "odoo-action-id", "N", "HOLDFAST_ODOO_ACTION_ID",                            \
      "of the server action; 0: two calls")
enum ctl_option {
#define X(symbol, name, argument, variable, help) OPT_##symbol,
    CTL_OPTION_TABLE(X)
#undef X
        OPTION_COUNT
};
static_assert(OPTION_COUNT <= 64, "a command's options are a mask of 64 bits");

struct ctl;

struct ctl_command {
    const char *words;     // "stock import"
    const char *arguments; // "FILE.csv"; "" none
    const char *help;      // one line
    const char *more;      // further lines for the command's own --help; NULL none
    int arguments_min, arguments_max;
    uint64_t options; // beside those that all have
    bool offline;     // needs no server
    enum ctl_exit (*run)(struct ctl *c);
};

struct ctl_io {
    FILE *out, *err;
    int columns_max; // of a table on `out`; 0: no bound, as for a file
    bool progress;   // `err` is a terminal
    struct clock *clock;
    bool (*random)(void *bytes, size_t n);     // false: there is none
    const char *(*variable)(const char *name); // the environment
    // Prints a record's payload of `journal export`; see ctl/journal_tool.h.
    void (*print_record)(FILE *out, const struct journal_record *r);
};

struct ctl {
    struct ctl_io io;
    const struct ctl_command *command;
    const char *option[OPTION_COUNT]; // given, or from the environment; "" without argument
    int argc;                         // arguments after the command's words
    char **argv;
    bool json, raw;
    struct client *client;       // NULL: offline
    struct client_status status; // of the last call
    char address[256];
};

// The whole tool.
enum ctl_exit ctl_main(const struct ctl_io *io, int argc, char **argv);

// ----------------------------------------------------------------------------- args.c, help.c
// Fills command, option, argc, argv. CTL_OK with command NULL: the help was printed.
enum ctl_exit ctl_args(struct ctl *c, int argc, char **argv);
const char *ctl_option_name(enum ctl_option o);
void ctl_help(const struct ctl *c, const struct ctl_command *command); // NULL: of all
extern const struct ctl_command ctl_commands[];
extern const size_t ctl_command_count;

// ----------------------------------------------------------------------------- ctl.c
// One line on `err`; the answer is CTL_USAGE.
enum ctl_exit ctl_usage(struct ctl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// Says why the last call failed, and what that means for whoever wants to try again.
enum ctl_exit ctl_failed(struct ctl *c);
enum ctl_exit ctl_exit_of_code(int code); // of a gRPC status
// Memory for a tool: ends the process when there is none.
void *ctl_alloc(size_t bytes); // zeroed
void *ctl_grow(void *old, size_t bytes);

// A call; NULL: it failed, see ctl_failed.
void *ctl_call(struct ctl *c, const ProtobufCServiceDescriptor *service, const char *method,
               const void *request);
static inline void ctl_free(void *message)
{
    if (message)
        protobuf_c_message_free_unpacked(message, NULL);
}

// Values of options. False: told on `err`.
bool ctl_number(struct ctl *c, enum ctl_option o, uint64_t least, uint64_t most, uint64_t *out);
bool ctl_span(struct ctl *c, enum ctl_option o, uint32_t *ms);
// The id given by the option, else a new one, which is told on `err` before anything is sent.
bool ctl_id(struct ctl *c, enum ctl_option o, const char *what, char text[HF_UUID_TEXT_BYTES]);
// --actor, or whose shell it is; "" when neither is known.
const char *ctl_actor(const struct ctl *c);
bool ctl_new_id(struct ctl *c, struct hf_uuid *id);

#endif
