// Every command, in the order of the help.
#include "ctl/commands.h"

#include "ctl/journal_tool.h"

#define B(o)   (UINT64_C(1) << OPT_##o)
#define NEW    (B(ID) | B(CHANNEL) | B(REFERENCE) | B(BUYER_KEY) | B(TRACEPARENT))
#define CHANGE (B(OPERATION_ID) | B(REASON))
#define ODOO                                                                                       \
    (B(ODOO_URL) | B(ODOO_DATABASE) | B(ODOO_KEY_FILE) | B(ODOO_LOGIN) | B(ODOO_CA_FILE) |         \
     B(TIMEOUT))
#define LINES 1024
#define CELLS 10000

static const char import_more[] =
    "Columns, named in the first line, in any order: sku, location, unit_scale, on_hand,\n"
    "safety_stock, backorder_limit; all but the first two may be missing, and an empty field\n"
    "leaves what there is. The whole file is checked first; every error is told with its line,\n"
    "and nothing is sent while there is one (but see --skip-bad).\n\n"
    "An import that was interrupted goes on with --resume, or with --import-id and the id that\n"
    "was printed: rows that are done are not done again, however often they are sent. That holds\n"
    "while the import is younger than the server's id window (24 hours unless configured); after\n"
    "that the server refuses the rest, and the tool says so. FILE - is standard input.\n";
static const char set_more[] =
    "SETTING is on-hand, safety-stock, backorder-limit, external, or active (true or false).\n";
static const char ids_more[] =
    "The id is printed before the request is sent. When no answer came, the same command with\n"
    "that id asks again, and acts once.\n";
static const char release_more[] =
    "Without lines the whole hold ends. The reason is journaled and archived with the decision.\n";
static const char holds_more[] =
    "Who holds the last ones: every live hold on the SKU, at one location or at all, with its\n"
    "quantity, deadline, channel and reference, and the sum.\n";
static const char list_more[] =
    "What is in memory. --reference finds live holds only: of sales, and of what has ended, it is\n"
    "in the journal and the archive, where `holdfastctl trace REFERENCE` looks.\n";
static const char watch_more[] =
    "First every cell's available quantity, then each that has changed. Without cells: all.\n";

static const char reconcile_more[] =
    "Odoo = on hand - unposted - in flight - booked - dead - discarded + difference. The server\n"
    "compares while both sides go on; what sold all the while is told as MOVING. Without --all "
    "only\n"
    "cells that don't agree. With --fix the differences are added to stock on hand here, and Odoo\n"
    "is not told; --dry-run shows them. It ends with 1 while there are differences.\n";
static const char odoo_import_more[] =
    "Makes cells for what Odoo has in stock at the server's locations, then sets on hand right by "
    "the\n"
    "differences that reconciliation finds: sales that are not posted yet are never overwritten, "
    "and\n"
    "it may be repeated, or run again after it was interrupted. A cell that Odoo has no stock of "
    "comes\n"
    "to nothing. --dry-run shows the differences and makes no cells.\n";
static const char again_more[] =
    "For a data folder that was lost or restored. Columns of the shop's sales, named in the first\n"
    "line, in any order: reference, sold_at (2026-11-26T10:00:00Z), sku, location, quantity\n"
    "(negative: taken back) and, if wanted, channel. Cell by cell,\n"
    "    sold - in Odoo - here (dead letters, discards) = missing,\n"
    "since the beginning of a day in the time zone of --odoo-locations; what is missing is booked\n"
    "with the lines of the newest orders that the server does not know. Posting must be at rest.\n"
    "The options of Odoo are the server's; --odoo-engine names the lost folder too.\n\n"
    "What is told is written to FILE.csv.tell-again-state first. An interrupted run goes on with\n"
    "--resume, and acts once. It ends with 1 when something is left for a person and, with\n"
    "--dry-run, while anything differs; with 8 while posting is not at rest. FILE - is standard\n"
    "input.\n";
static const char close_more[] =
    "Sales that were decided on that day (this machine's), less cancellations, by location and\n"
    "channel in smallest units of all SKUs together: committed = posted + in flight + waiting + "
    "dead\n"
    "+ discarded + netted. It ends with 1 while anything is in flight, waiting or dead.\n";
static const char short_more[] = "Live holds, and sales that Odoo has not booked yet, oldest "
                                 "first. It ends with 1 when any cell\n"
                                 "is short.\n";
static const char session_more[] =
    "For programs that send packets. The key is shown once; whoever has it can order.\n"
    "--ttl: how long the session lives, at most as long as the server lets it, the default.\n";

static const char discard_more[] =
    "A sale leaves on hand and committed together, so nothing comes back for sale; the ERP keeps\n"
    "what it was never told of, and reconciliation counts the discard as the reason. Asked again\n"
    "with the operation's id, it acts once.\n";
static const char trace_more[] =
    "Every record of the reservation and, of each movement, its batch, the ERP's document and the\n"
    "acknowledgement, as far back as the archive reaches. A reference names all that carried it.\n";
static const char key_more[] =
    "The key is shown once: the line holds only its digest. Append the line to the key file and\n"
    "have the server read it again. --channels and --locations limit what it sees and may do.\n";

static const char odoo_more[] =
    "One line a check: ok, warn or FAIL, and what to do. The options are the server's, with the\n"
    "same names in the environment, so that what is checked is what it will use.\n";
static const char action_more[] =
    "Needs the key of an administrator, once; the server's own key needs no more than Odoo's\n"
    "Inventory / User then. Again after an update of Holdfast. Prints the action's id, which\n"
    "goes into the server's option odoo_action_id.\n";

const struct ctl_command ctl_commands[] = {
    {"stock import", "FILE.csv", "makes and sets cells from a file, exactly once", import_more, 1,
     1,
     B(IMPORT_ID) | B(RESUME) | B(FROM_LINE) | B(STATE_FILE) | B(SKIP_BAD) | B(DRY_RUN) | B(BATCH) |
         B(REASON),
     false, ctl_stock_import},
    {"stock show", "SKU [LOCATION]", "one cell, or a SKU's cells and their sum", NULL, 1, 2, 0,
     false, ctl_stock_show},
    {"stock list", "", "cells, all or some", NULL, 0, 0, B(LOCATION) | B(SHORT) | B(LIMIT), false,
     ctl_stock_list},
    {"stock set", "SKU LOCATION SETTING VALUE", "sets a value of a cell", set_more, 4, 4,
     CHANGE | B(EXPECT), false, ctl_stock_set},
    {"stock adjust", "SKU LOCATION DIFFERENCE", "adds to stock on hand, or takes from it", NULL, 3,
     3, CHANGE, false, ctl_stock_adjust},
    {"stock create", "SKU LOCATION", "makes a cell, or finds it", NULL, 2, 2, B(UNIT_SCALE), false,
     ctl_stock_create},
    {"channel create", "NAME", "makes a channel known", NULL, 1, 1, 0, false, ctl_channel_create},
    {"reserve", "LINE...", "holds stock; --ttl, default 10m", ids_more, 1, LINES,
     NEW | B(TTL) | B(BEST_EFFORT), false, ctl_reserve},
    {"order", "LINE...", "sells at once", ids_more, 1, LINES, NEW | B(BEST_EFFORT), false,
     ctl_order},
    {"record", "LINE...", "books a sale that has happened already", ids_more, 1, LINES, NEW, false,
     ctl_record},
    {"commit", "ID [LINE...]", "sells a hold, whole or these lines", NULL, 1, LINES + 1, B(RETAKE),
     false, ctl_commit},
    {"release", "ID [LINE...]", "gives a hold back, whole or these lines", release_more, 1,
     LINES + 1, B(OPERATION_ID) | B(REASON), false, ctl_release},
    {"extend", "ID", "moves a hold's deadline to --ttl from now", ids_more, 1, 1,
     B(OPERATION_ID) | B(TTL), false, ctl_extend},
    {"cancel", "ID LINE...", "takes back a sale before shipment", ids_more, 2, LINES + 1,
     B(OPERATION_ID), false, ctl_cancel},
    {"return", "ID LINE...", "takes goods back after shipment", ids_more, 2, LINES + 1,
     B(OPERATION_ID) | B(SCRAP), false, ctl_return},
    {"get", "ID", "a reservation as it stands", NULL, 1, 1, 0, false, ctl_get},
    {"list", "", "reservations, all or some", list_more, 0, 0,
     B(SKU) | B(LOCATION) | B(STATE) | B(CHANNEL) | B(REFERENCE) | B(LIMIT), false, ctl_list},
    {"holds", "SKU [LOCATION]", "who holds it: quantities, deadlines, references", holds_more, 1, 2,
     B(CHANNEL) | B(REFERENCE) | B(LIMIT), false, ctl_holds},
    {"watch", "[SKU@LOCATION...]", "availability as it changes", watch_more, 0, CELLS,
     B(INTERVAL) | B(COUNT) | B(FOR) | B(ONCE), false, ctl_watch},
    {"handle", "SKU LOCATION", "a cell's number, for packets, and its generation", NULL, 2, 2, 0,
     false, ctl_handle},
    {"session open", "", "opens a session for packets", session_more, 0, 0, B(CHANNEL) | B(TTL),
     false, ctl_session_open},
    {"session close", "NUMBER", "ends a session", NULL, 1, 1, 0, false, ctl_session_close},
    {"session list", "", "sessions that are open: the key's own, or all", NULL, 0, 0, 0, false,
     ctl_session_list},
    {"health", "", "whether the server serves", NULL, 0, 0, 0, false, ctl_health},
    {"posting", "", "how far posting to the ERP is", NULL, 0, 0, 0, false, ctl_posting},
    {"deadletter list", "", "what could not be posted, oldest first", NULL, 0, 0, B(LIMIT), false,
     ctl_deadletter_list},
    {"deadletter show", "ID", "one of them, or its discard", NULL, 1, 1, 0, false,
     ctl_deadletter_show},
    {"deadletter retry", "ID", "sends it again, in a new batch", NULL, 1, 1, 0, false,
     ctl_deadletter_retry},
    {"deadletter discard", "ID", "the ERP will never be told; books the counter-entry",
     discard_more, 1, 1, B(REASON) | B(ACTOR) | B(OPERATION_ID), false, ctl_deadletter_discard},
    {"batch list", "", "batches on their way to the ERP", NULL, 0, 0, 0, false, ctl_batch_list},
    {"batch show", "BATCH", "a batch by number or name; --orders: what is behind it", NULL, 1, 1,
     B(ORDERS), false, ctl_batch_show},
    {"trace", "ID-OR-REFERENCE", "a reservation's way into the ERP", trace_more, 1, 1, 0, false,
     ctl_trace},
    {"key make", "NAME", "offline: an API key, and its line for the server's key file", key_more, 1,
     1, B(ROLES) | B(CHANNELS) | B(LOCATIONS), true, ctl_key_make},
    {"odoo check", "", "whether the server can post to this Odoo, point by point", odoo_more, 0, 0,
     ODOO | B(ODOO_LOCATIONS) | B(ODOO_ACTION_ID) | B(UNIT_SCALE), true, ctl_odoo_check},
    {"odoo reconcile", "", "both sides' stock, and what explains each difference", reconcile_more,
     0, 0, B(ALL) | B(CSV) | B(FIX) | B(DRY_RUN) | B(REASON) | B(ACTOR) | B(OPERATION_ID), false,
     ctl_odoo_reconcile},
    {"odoo import", "", "cells and opening stock as Odoo has them, with sales going on",
     odoo_import_more, 0, 0,
     B(DRY_RUN) | B(UNIT_SCALE) | B(ALL) | B(CSV) | B(REASON) | B(ACTOR) | B(OPERATION_ID), false,
     ctl_odoo_import},
    {"odoo tell-again", "FILE.csv", "tells what the shop has sold and neither side knows",
     again_more, 1, 1,
     (ODOO & ~B(TIMEOUT)) | B(ODOO_LOCATIONS) | B(ODOO_ENGINE) | B(OTHER_ENGINES) | B(SINCE) |
         B(ALL) | B(DRY_RUN) | B(RESUME) | B(STATE_FILE),
     false, ctl_odoo_tell_again},
    {"odoo close", "", "control totals of a day, and its documents in Odoo", close_more, 0, 0,
     B(DATE), false, ctl_close_day},
    {"short", "", "cells below zero, and the orders affected", short_more, 0, 0, B(LOCATION), false,
     ctl_short},
    {"odoo install-action", "", "makes or renews the server action that posts in one call",
     action_more, 0, 0, ODOO, true, ctl_odoo_install_action},
    {"journal inspect", "FOLDER", "offline: every group, and what the end means", NULL, 1, 1, 0,
     true, ctl_journal_inspect},
    {"journal verify", "FOLDER", "offline: reads and checks everything", NULL, 1, 1, 0, true,
     ctl_journal_verify},
    {"journal export", "FOLDER", "offline: every record that can be read, an object a line", NULL,
     1, 1, 0, true, ctl_journal_export},
};
const size_t ctl_command_count = sizeof ctl_commands / sizeof *ctl_commands;

static enum ctl_exit journal(struct ctl *c, const char *command)
{
    const struct journal_tool t = {
        .out = c->io.out, .err = c->io.err, .print_record = c->io.print_record};
    char *argv[] = {(char *)"journal", (char *)command, c->argv[0], (char *)"--json"};
    return journal_tool_run(&t, c->json ? 4 : 3, argv);
}

enum ctl_exit ctl_journal_inspect(struct ctl *c)
{
    return journal(c, "inspect");
}

enum ctl_exit ctl_journal_verify(struct ctl *c)
{
    return journal(c, "verify");
}

enum ctl_exit ctl_journal_export(struct ctl *c)
{
    return journal(c, "export");
}
