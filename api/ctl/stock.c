// stock show, list, set, adjust, create; channel create.
#include "ctl/commands.h"

#include "base/limits.h"
#include "ctl/cells.h"
#include "ctl/message_json.h"
#include "ctl/table.h"

#include "holdfast/v1/stock_admin.pb-c.h"
#include "holdfast/v1/stock_read.pb-c.h"

#include <inttypes.h>
#include <string.h>

#define READ_SERVICE  (&holdfast__v1__stock_read_service__descriptor)
#define ADMIN_SERVICE (&holdfast__v1__stock_admin_service__descriptor)
#define PAGE_MAX      1000

static const struct table_column cell_columns[] = {
    {"SKU", false, true},      {"LOCATION", false, true}, {"AVAILABLE", true, false},
    {"ON HAND", true, false},  {"HELD", true, false},     {"COMMITTED", true, false},
    {"EXTERNAL", true, false}, {"SAFETY", true, false},   {"BACKORDER", true, false},
    {"NOTE", false, false},    {NULL, false, false},
};

static void add_quantity(struct table *t, int64_t quantity, unsigned scale)
{
    char text[FORMAT_BYTES];
    table_add(t, format_quantity(quantity, scale, text));
}

static void add_cell(struct table *t, const struct ctl *c, const Holdfast__V1__StockCell *cell,
                     const char *note)
{
    unsigned scale = c->raw || cell->unit_scale > HF_UNIT_SCALE_MAX ? 0 : cell->unit_scale;
    table_add(t, cell->sku);
    table_add(t, cell->location);
    add_quantity(t, cell->available, scale);
    add_quantity(t, cell->on_hand, scale);
    add_quantity(t, cell->held, scale);
    add_quantity(t, cell->committed, scale);
    add_quantity(t, cell->external, scale);
    add_quantity(t, cell->safety_stock, scale);
    add_quantity(t, cell->backorder_limit, scale);
    table_add(t, note                  ? note
                 : !cell->active       ? "not active"
                 : cell->unsettled     ? "changing"
                 : cell->available < 0 ? "short"
                                       : "");
}

static enum ctl_exit show_sku(struct ctl *c)
{
    Holdfast__V1__GetSkuStockRequest request = HOLDFAST__V1__GET_SKU_STOCK_REQUEST__INIT;
    request.sku = c->argv[0];
    Holdfast__V1__GetSkuStockResponse *reply = ctl_call(c, READ_SERVICE, "GetSkuStock", &request);
    if (!reply)
        return ctl_failed(c);
    if (c->json) {
        json_print(message_json(&reply->base), c->io.out);
    } else {
        struct table t;
        table_init(&t, cell_columns);
        for (size_t i = 0; i < reply->n_cells; i++)
            add_cell(&t, c, reply->cells[i], NULL);
        if (reply->total && (reply->n_cells > 1 || reply->cells_left_out > 0))
            add_cell(&t, c, reply->total, "total");
        table_print(&t, c->io.out, c->io.columns_max);
        table_fini(&t);
        if (reply->cells_left_out > 0)
            fprintf(c->io.out,
                    "%" PRIu32 " more cells are in the total, which one answer has no room for: "
                    "`stock list` shows them\n",
                    reply->cells_left_out);
    }
    ctl_free(reply);
    return CTL_OK;
}

enum ctl_exit ctl_stock_show(struct ctl *c)
{
    if (c->argc == 1)
        return show_sku(c);
    Holdfast__V1__StockName name = HOLDFAST__V1__STOCK_NAME__INIT;
    Holdfast__V1__GetStockRequest request = HOLDFAST__V1__GET_STOCK_REQUEST__INIT;
    name.sku = c->argv[0];
    name.location = c->argv[1];
    request.stock = &name;
    Holdfast__V1__GetStockResponse *reply = ctl_call(c, READ_SERVICE, "GetStock", &request);
    if (!reply)
        return ctl_failed(c);
    enum ctl_exit e = CTL_OK;
    if (!reply->cell) {
        (void)ctl_usage(c, "the server's answer has no cell");
        e = CTL_FAILED;
    } else if (c->json) {
        json_print(message_json(&reply->cell->base), c->io.out);
    } else {
        struct table t;
        table_init(&t, cell_columns);
        add_cell(&t, c, reply->cell, NULL);
        table_print(&t, c->io.out, c->io.columns_max);
        table_fini(&t);
    }
    ctl_free(reply);
    return e;
}

static void print_page(struct ctl *c, struct table *t, Holdfast__V1__StockCell **cells, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (c->json)
            json_print(message_json(&cells[i]->base), c->io.out);
        else
            add_cell(t, c, cells[i], NULL);
    }
    if (!c->json)
        table_print(t, c->io.out, c->io.columns_max);
}

enum ctl_exit ctl_stock_list(struct ctl *c)
{
    uint64_t left = UINT64_MAX;
    if (!ctl_number(c, OPT_LIMIT, 1, UINT64_MAX, &left))
        return CTL_USAGE;
    struct table t;
    table_init(&t, cell_columns);
    char token[512] = "";
    enum ctl_exit e = CTL_OK;
    do {
        Holdfast__V1__ListStockRequest request = HOLDFAST__V1__LIST_STOCK_REQUEST__INIT;
        request.location = (char *)(c->option[OPT_LOCATION] ? c->option[OPT_LOCATION] : "");
        request.short_only = c->option[OPT_SHORT] != NULL;
        request.page_size = left < PAGE_MAX ? (uint32_t)left : PAGE_MAX;
        request.page_token = token;
        Holdfast__V1__ListStockResponse *reply = ctl_call(c, READ_SERVICE, "ListStock", &request);
        if (!reply) {
            e = ctl_failed(c);
            break;
        }
        size_t n = reply->n_cells < left ? reply->n_cells : left;
        print_page(c, &t, reply->cells, n);
        left -= n;
        snprintf(token, sizeof token, "%s", reply->next_page_token);
        ctl_free(reply);
    } while (left > 0 && token[0]);
    table_fini(&t);
    return e;
}

// ------------------------------------------------------------------------------------ changes

static const struct {
    const char *name;
    Holdfast__V1__StockSetting setting;
    bool quantity; // has the cell's unit
} settings[] = {
    {"on-hand", HOLDFAST__V1__STOCK_SETTING__STOCK_SETTING_ON_HAND, true},
    {"safety-stock", HOLDFAST__V1__STOCK_SETTING__STOCK_SETTING_SAFETY_STOCK, true},
    {"backorder-limit", HOLDFAST__V1__STOCK_SETTING__STOCK_SETTING_BACKORDER_LIMIT, true},
    {"external", HOLDFAST__V1__STOCK_SETTING__STOCK_SETTING_EXTERNAL, true},
    {"active", HOLDFAST__V1__STOCK_SETTING__STOCK_SETTING_ACTIVE, false},
};

static enum ctl_exit fetch_scale(struct ctl *c, unsigned *scale)
{
    struct scales s = {0};
    const char *sku = c->argv[0], *location = c->argv[1];
    struct scales_wanted w = {&sku, &location, 1, false};
    enum ctl_exit e = scales_fetch(c, &s, &w, true);
    *scale = scales_get(&s, sku, location);
    scales_fini(&s);
    return e;
}

// `outcome` of both kinds of change.
static enum ctl_exit tell_change(struct ctl *c, const char *operation_id,
                                 const ProtobufCMessage *reply, bool done, bool repeat,
                                 int64_t value, unsigned scale)
{
    if (c->json) {
        json_t *object = message_json(reply);
        json_object_set_new(object, "operation_id", json_string(operation_id));
        json_print(object, c->io.out);
    } else {
        char text[FORMAT_BYTES];
        fprintf(c->io.out, "%s %s%s\n", done ? "is now" : "refused: the present value is",
                format_quantity(value, scale, text), repeat ? " (done earlier under this id)" : "");
    }
    return done ? CTL_OK : CTL_REFUSED;
}

static bool read_value(struct ctl *c, const char *text, unsigned scale, int64_t *value)
{
    const char *why;
    if (strcmp(c->argv[2], "active") == 0 &&
        (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) {
        *value = text[0] == 't';
        return true;
    }
    if (parse_quantity(text, scale, value, &why))
        return true;
    ctl_usage(c, "%s %s", text, why);
    return false;
}

enum ctl_exit ctl_stock_set(struct ctl *c)
{
    size_t k = 0;
    while (k < sizeof settings / sizeof *settings && strcmp(settings[k].name, c->argv[2]) != 0)
        k++;
    if (k == sizeof settings / sizeof *settings)
        return ctl_usage(c,
                         "%s is none of on-hand, safety-stock, backorder-limit, external, active",
                         c->argv[2]);
    Holdfast__V1__SetStockRequest request = HOLDFAST__V1__SET_STOCK_REQUEST__INIT;
    unsigned scale = 0;
    enum ctl_exit e = settings[k].quantity ? fetch_scale(c, &scale) : CTL_OK;
    if (e != CTL_OK)
        return e;
    char id[HF_UUID_TEXT_BYTES];
    if (!read_value(c, c->argv[3], scale, &request.value) ||
        (c->option[OPT_EXPECT] &&
         !read_value(c, c->option[OPT_EXPECT], scale, &request.expected)) ||
        !ctl_id(c, OPT_OPERATION_ID, "operation_id", id))
        return CTL_USAGE;
    request.operation_id = id;
    request.sku = c->argv[0];
    request.location = c->argv[1];
    request.setting = settings[k].setting;
    request.compare = c->option[OPT_EXPECT] != NULL;
    request.reason = (char *)(c->option[OPT_REASON] ? c->option[OPT_REASON] : "");
    Holdfast__V1__SetStockResponse *reply = ctl_call(c, ADMIN_SERVICE, "SetStock", &request);
    if (!reply)
        return ctl_failed(c);
    e = tell_change(c, id, &reply->base,
                    reply->outcome == HOLDFAST__V1__STOCK_CHANGE_OUTCOME__STOCK_CHANGE_OUTCOME_DONE,
                    reply->repeat, reply->value, scale);
    ctl_free(reply);
    return e;
}

enum ctl_exit ctl_stock_adjust(struct ctl *c)
{
    Holdfast__V1__AdjustStockRequest request = HOLDFAST__V1__ADJUST_STOCK_REQUEST__INIT;
    unsigned scale = 0;
    enum ctl_exit e = fetch_scale(c, &scale);
    if (e != CTL_OK)
        return e;
    char id[HF_UUID_TEXT_BYTES];
    if (!read_value(c, c->argv[2], scale, &request.difference) ||
        !ctl_id(c, OPT_OPERATION_ID, "operation_id", id))
        return CTL_USAGE;
    request.operation_id = id;
    request.sku = c->argv[0];
    request.location = c->argv[1];
    request.reason = (char *)(c->option[OPT_REASON] ? c->option[OPT_REASON] : "");
    Holdfast__V1__AdjustStockResponse *reply = ctl_call(c, ADMIN_SERVICE, "AdjustStock", &request);
    if (!reply)
        return ctl_failed(c);
    e = tell_change(c, id, &reply->base,
                    reply->outcome == HOLDFAST__V1__STOCK_CHANGE_OUTCOME__STOCK_CHANGE_OUTCOME_DONE,
                    reply->repeat, reply->value, scale);
    ctl_free(reply);
    return e;
}

enum ctl_exit ctl_stock_create(struct ctl *c)
{
    Holdfast__V1__CreateStockRequest request = HOLDFAST__V1__CREATE_STOCK_REQUEST__INIT;
    uint64_t scale = 0;
    if (!ctl_number(c, OPT_UNIT_SCALE, 0, HF_UNIT_SCALE_MAX, &scale))
        return CTL_USAGE;
    request.sku = c->argv[0];
    request.location = c->argv[1];
    request.unit_scale = (uint32_t)scale;
    if (!c->option[OPT_UNIT_SCALE]) { // a cell that is there is found, whatever its unit
        const char *sku = c->argv[0], *location = c->argv[1];
        struct scales_wanted wanted = {&sku, &location, 1, true};
        struct scales scales = {0};
        enum ctl_exit e = scales_fetch(c, &scales, &wanted, false);
        request.unit_scale = scales_get(&scales, sku, location);
        scales_fini(&scales);
        if (e != CTL_OK)
            return e;
    }
    Holdfast__V1__CreateStockResponse *reply = ctl_call(c, ADMIN_SERVICE, "CreateStock", &request);
    if (!reply)
        return ctl_failed(c);
    if (c->json)
        json_print(message_json(&reply->base), c->io.out);
    else
        fprintf(c->io.out, "handle %" PRIu32 ", generation %" PRIu64 "\n", reply->handle,
                reply->generation);
    ctl_free(reply);
    return CTL_OK;
}

enum ctl_exit ctl_channel_create(struct ctl *c)
{
    Holdfast__V1__CreateChannelRequest request = HOLDFAST__V1__CREATE_CHANNEL_REQUEST__INIT;
    request.channel = c->argv[0];
    Holdfast__V1__CreateChannelResponse *reply =
        ctl_call(c, ADMIN_SERVICE, "CreateChannel", &request);
    if (!reply)
        return ctl_failed(c);
    if (c->json)
        json_print(message_json(&reply->base), c->io.out);
    else
        fprintf(c->io.out, "channel number %" PRIu32 "\n", reply->number);
    ctl_free(reply);
    return CTL_OK;
}
