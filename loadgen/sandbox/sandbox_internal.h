#ifndef HOLDFAST_LOADGEN_SANDBOX_INTERNAL_H
#define HOLDFAST_LOADGEN_SANDBOX_INTERNAL_H

#include "sandbox/sandbox.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>

#define SANDBOX_NAME_BYTES   96
#define SANDBOX_TEXT_BYTES   160
#define SANDBOX_ORIGIN_BYTES 56 // of a move
#define SANDBOX_FAULTS_MAX   64
// Of the server action that it imitates.
#define SANDBOX_ACTION_VERSION 1
#define SANDBOX_ACTION_NAME    "Holdfast: post a batch"
#define SANDBOX_WAREHOUSES     64
#define SANDBOX_LOCATIONS      512
#define SANDBOX_DIGITS_MAX     6
#define SANDBOX_UNITS          1000
#define SANDBOX_MILLION        INT64_C(1000000)
#define SANDBOX_QUANTITY_MAX   (INT64_C(9000000000000) * SANDBOX_MILLION)

// Ids of a model are its base + index, so that an id of one model is never one of another.
enum sandbox_base {
    BASE_PRODUCT = 1000,
    BASE_LOCATION = 10000000,
    BASE_WAREHOUSE = 11000000,
    BASE_TYPE = 12000000,
    BASE_QUANT = 20000000,
    BASE_PICKING = 40000000,
    BASE_MOVE = 60000000,
    BASE_ACTION = 13000000,
};

struct product {
    char code[SANDBOX_NAME_BYTES], name[SANDBOX_NAME_BYTES], tracking[8];
    uint32_t uom_id, next; // next: index + 1 in its bucket
    bool storable;
};
struct location {
    char name[SANDBOX_NAME_BYTES], complete[SANDBOX_NAME_BYTES], usage[12];
    uint32_t company_id; // 0: shared
};
struct warehouse {
    char code[16], name[SANDBOX_NAME_BYTES];
    uint32_t company_id, stock; // index of its stock location; types are 3 * index + 0..2
};
enum type_kind { TYPE_OUT, TYPE_IN, TYPE_INTERNAL, TYPE_KINDS };

struct quant {
    uint32_t product, location, next;
    int64_t quantity, reserved; // millionths
};
enum picking_state { PICKING_DRAFT, PICKING_ASSIGNED, PICKING_DONE, PICKING_CANCEL };
struct picking {
    char name[SANDBOX_NAME_BYTES], origin[SANDBOX_TEXT_BYTES], date_done[24];
    uint32_t type, source, destination, company_id, next;
    uint32_t move_first, move_count;
    uint64_t write_ms;
    enum picking_state state;
};
struct move {
    uint32_t picking, product, uom_id, source, destination;
    bool picked;
    int64_t demand, quantity; // millionths
    char origin[SANDBOX_ORIGIN_BYTES];
};

// Chained buckets over an array of records that have `next`.
struct chain {
    uint32_t *buckets; // index + 1, 0: empty
    uint32_t mask;
};

enum fault_kind {
    FAULT_CLOSE,
    FAULT_COMMIT_CLOSE,
    FAULT_HANG,
    FAULT_COMMIT_HANG,
    FAULT_SLOW,
    FAULT_429,
    FAULT_500,
    FAULT_502,
    FAULT_503,
    FAULT_504,
    FAULT_COMMIT_502,
    FAULT_COMMIT_504,
    FAULT_DATABASE_DOWN,
    FAULT_HTML_200,
    FAULT_SERIALIZATION,
    FAULT_OPERATIONAL,
    FAULT_UNAUTHORIZED,
    FAULT_ACCESS,
    FAULT_USER_ERROR,
    FAULT_VALIDATION,
    FAULT_VALUE_ERROR,
    FAULT_MISSING,
    FAULT_WIZARD,
    FAULT_KINDS
};
struct fault {
    enum fault_kind kind;
    char model[64], method[64];       // empty: any
    char product[SANDBOX_NAME_BYTES]; // only postings with this product; empty: any
    int64_t skip, count;              // matching calls to let pass, then to strike; count < 0: all
    uint32_t chance;                  // per mille
    uint32_t ms;                      // SLOW, HANG
};

struct sandbox {
    struct sandbox_options options;
    char database[64], uuid[64], key[128];
    pthread_mutex_t mutex;
    struct product *products;
    struct location *locations;
    struct warehouse *warehouses;
    struct quant *quants;
    struct picking *pickings;
    struct move *moves;
    uint32_t product_count, location_count, warehouse_count, quant_count, picking_count, move_count;
    uint32_t product_room, quant_room, picking_room, move_room;
    struct chain by_code, by_place, by_name;
    struct fault faults[SANDBOX_FAULTS_MAX];
    uint32_t fault_count;
    uint64_t random, calls, struck, duplicates, name_sequence;
    const char *seed_wrong; // static text
    char *action_code;      // NULL: no server action
    FILE *log;              // NULL: forgets everything at its end
};

// What a call comes to: a result, or an error in Odoo's words.
struct outcome {
    json_t *result; // owned
    int status;     // 0: a result
    const char *error;
    char message[SANDBOX_TEXT_BYTES];
    uint32_t lines; // moves touched, for the latency
};
void outcome_fail(struct outcome *o, int status, const char *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// ------------------------------------------------------------------- store.c
struct location *location_of(struct sandbox *s, json_int_t id);
struct product *product_of(struct sandbox *s, json_int_t id);
struct picking *picking_of(struct sandbox *s, json_int_t id);
// Makes what is missing: the warehouse, its locations and types. NULL: no room.
struct warehouse *warehouse_get(struct sandbox *s, const char *code, uint32_t company_id);
bool location_make(struct sandbox *s, const char *complete, const char *usage, uint32_t company_id);
struct product *product_add(struct sandbox *s, const char *code);
bool product_rename(struct sandbox *s, struct product *p, const char *code);
struct product *product_find(struct sandbox *s, const char *code);
struct picking *picking_find(struct sandbox *s, const char *name, uint32_t company_id);
struct picking *picking_add(struct sandbox *s, const char *name);
struct move *move_add(struct sandbox *s, struct picking *p);
struct quant *quant_get(struct sandbox *s, uint32_t product, uint32_t location);
// Forgets the pickings and moves made since, newest first.
void store_rewind(struct sandbox *s, uint32_t picking_count, uint32_t move_count);
// As Odoo stores it: half up, to the decimal places of its units.
int64_t quantity_round(const struct sandbox *s, int64_t millionths);
bool quantity_parse(const json_t *v, int64_t *millionths);
json_t *quantity_json(int64_t millionths);

// ------------------------------------------------------------------- pickings.c
void picking_create(struct sandbox *s, const json_t *args, uint64_t now_ms, struct outcome *o);
void picking_validate(struct sandbox *s, const json_t *args, uint64_t now_ms, struct outcome *o);
void picking_cancel(struct sandbox *s, const json_t *args, uint64_t now_ms, struct outcome *o);
void picking_write(struct sandbox *s, const json_t *args, uint64_t now_ms, struct outcome *o);
// Of stock.move: what somebody changes by hand in an open or a done document.
void move_write(struct sandbox *s, const json_t *args, uint64_t now_ms, struct outcome *o);
// Of ir.actions.server: only the one-call action can be made, and its code is kept but not run.
void action_create(struct sandbox *s, const json_t *args, struct outcome *o);
void action_write(struct sandbox *s, const json_t *args, struct outcome *o);
void action_run(struct sandbox *s, const json_t *args, uint64_t now_ms, struct outcome *o);

// ------------------------------------------------------------------- search.c
// search_read and search_count. False: no such model.
bool search_run(struct sandbox *s, const char *model, const json_t *args, bool count,
                struct outcome *o);
bool search_knows(const char *model);

// ------------------------------------------------------------------- rpc.c
void rpc_handle(struct sandbox *s, const struct sandbox_request *r, struct sandbox_answer *a);

// ------------------------------------------------------------------- handle.c
// One call of somebody who may, with the faults that strike it.
void call_run(struct sandbox *s, const char *model, const char *method, const json_t *args,
              uint64_t now_ms, struct sandbox_answer *a);
// One call of a model's method, without faults.
void call_do(struct sandbox *s, const char *model, const char *method, const json_t *args,
             uint64_t now_ms, struct outcome *o);

// ------------------------------------------------------------------- log.c
// A call that was done, to be done again at the next start.
void log_append(struct sandbox *s, const char *model, const char *method, const json_t *args,
                uint64_t now_ms);

// ------------------------------------------------------------------- faults.c
const char *fault_name(enum fault_kind k);
bool fault_add(struct sandbox *s, const json_t *v); // false: not understood, or no room
// The fault that strikes this call, or NULL.
const struct fault *fault_strike(struct sandbox *s, const char *model, const char *method,
                                 const json_t *args);
void fault_error(const struct fault *f, struct outcome *o); // those that are errors of Odoo

// ------------------------------------------------------------------- admin.c
#define SANDBOX_DOOR "sandbox" // in the log, where a model's name stands
bool catalogue_take(struct sandbox *s, const json_t *body);
void admin_handle(struct sandbox *s, const struct sandbox_request *r, struct sandbox_answer *a);

void answer_json(struct sandbox_answer *a, int status, json_t *v); // takes v
void answer_html(struct sandbox_answer *a, int status, const char *text);

#endif
