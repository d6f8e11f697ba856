// The flusher between its state file and Odoo: either may say anything.
//
//   byte 0: flags; then
//   STATE: changes of the state file's content, as fuzz_patch.h says, under good checksums
//   else: for each call to Odoo a byte, and what it asks for:
//     0 the stand-in's answer   1 another answer: status, content type, length, bytes
//     2 its answer, changed as fuzz_patch.h says   3 nothing was sent   4 done, and no answer
//   Past the input's end Odoo is honest.
//
// Nothing that Odoo answers, and no state file, may end the process: the flusher goes on, holds, or
// stops with a status; and what it has saved it can read again.
#include "fuzz/fuzz_folder.h"
#include "fuzz/fuzz_patch.h"

#include "flush/flush_internal.h"
#include "journal/chunkfile.h"
#include "sim/fake_odoo.h"

#include <stdio.h>

#define STEPS_MAX  300
#define CHANGES    16
#define ODOO_START "A,WH,100\nA,SHOP,5\nB,WH,1000000000000\n"

enum { STATE = 1, ACTION = 2 };

struct fuzz_odoo { // what the flusher calls
    struct http base;
    struct fake_odoo honest;
    struct fuzz_input *in;
};

struct flush_run {
    struct world w;
    struct sandbox *sandbox;
    struct fuzz_odoo odoo;
    struct flush_options options;
    struct flush *f;
};

static struct fake_storage *image;
static struct chunkfile_header state_header;
static uint8_t *state;
static size_t state_bytes;

// ------------------------------------------------------------------------------ Odoo

static enum http_outcome other_answer(struct fuzz_input *in, struct http_answer *a)
{
    static const int status[] = {200, 200, 200, 401, 403, 404, 422, 500, 502, 504, 302, 0};
    static const char *const type[] = {"application/json", "text/html", "",
                                       "application/json; charset=utf-8"};
    size_t got;
    a->status = status[fuzz_byte(in) % 12];
    snprintf(a->content_type, sizeof a->content_type, "%s", type[fuzz_byte(in) % 4]);
    const uint8_t *body = fuzz_take(in, fuzz_number(in, 2), &got);
    HF_ASSERT(got < a->body_capacity);
    memcpy(a->body, body, got);
    a->body[got] = '\0';
    a->body_bytes = got;
    return HTTP_ANSWERED;
}

static enum http_outcome odoo_answers(struct http *h, const struct http_request *r,
                                      struct http_answer *a)
{
    struct fuzz_odoo *o = (struct fuzz_odoo *)h;
    uint8_t how = fuzz_byte(o->in) % 5;
    if (how == 3) {
        a->status = 0;
        a->body_bytes = 0;
        a->content_type[0] = a->why[0] = '\0';
        return HTTP_NOT_SENT;
    }
    enum http_outcome outcome = o->honest.base.ops->call(&o->honest.base, r, a);
    if (outcome != HTTP_ANSWERED || how == 0)
        return outcome;
    if (how == 1)
        return other_answer(o->in, a);
    if (how == 4)
        return HTTP_UNKNOWN;
    for (unsigned n = 1 + fuzz_byte(o->in) % 3; n > 0; n--)
        patch_one(o->in, (uint8_t *)a->body, a->body_bytes);
    return outcome;
}

// ------------------------------------------------------------------------------ the world

static void options_fill(struct flush_run *r, struct fuzz_input *in, uint8_t flags)
{
    static const struct http_ops ops = {odoo_answers, NULL};
    static const struct flush_location places[] = {{.name = "main", .warehouse = "WH"},
                                                   {.name = "W2", .warehouse = "SHOP"}};
    struct sandbox_options so;
    uint32_t line;
    sandbox_options_default(&so);
    so.unit_digits = 6;
    r->sandbox = sandbox_create(&so);
    HF_ASSERT(r->sandbox && sandbox_seed_csv(r->sandbox, ODOO_START, strlen(ODOO_START), &line));
    r->odoo = (struct fuzz_odoo){.base = {&ops}, .in = in};
    fake_odoo_init(&r->odoo.honest, r->sandbox, r->w.disk, &r->w.clock);
    flush_options_default(&r->options);
    r->options.storage = &r->w.disk->base;
    r->options.http = &r->odoo.base;
    r->options.engine = "test";
    r->options.database = "odoo";
    r->options.key = "sandbox";
    r->options.locations = places;
    r->options.location_count = 2;
    r->options.action_id = (flags & ACTION) ? 1 : 0;
    r->options.fresh_id = (struct hf_uuid){0x0190000000007abc, 0x8000123456789abc};
    r->options.seed = 1;
    r->options.batch_lines = 1;
    r->options.window_lines = 2 * HF_LINES_MAX;
    r->options.open_lines_max = 2 * HF_LINES_MAX;
    r->options.dead_max = 8;
    r->options.attempts_max = 2;
}

static enum hf_status opened(struct flush_run *r)
{
    char why[200] = "";
    r->options.core = r->w.core;
    enum hf_status s = flush_open(&r->options, &r->f, why);
    HF_ASSERT(s == HF_OK || why[0]);
    return s;
}

static void begin(struct flush_run *r, struct fuzz_input *in, uint8_t flags)
{
    r->f = NULL;
    r->w.options.outbox = true;
    world_open(&r->w);
    options_fill(r, in, flags);
}

static void end(struct flush_run *r)
{
    world_fini(&r->w);
    fake_odoo_fini(&r->odoo.honest);
    sandbox_destroy(r->sandbox);
}

static enum hf_status work(struct flush_run *r, unsigned steps)
{
    enum hf_status s = HF_OK;
    for (unsigned i = 0; i < steps && (s == HF_OK || s == HF_AGAIN); i++) {
        HF_ASSERT(core_step_segments(r->w.core) != HF_IO);
        (void)core_step_writer(r->w.core, false);
        s = flush_step(r->f, r->w.worker, core_now(r->w.core));
        if (s == HF_AGAIN)
            fake_clock_advance_ms(&r->w.clock, 2000);
        HF_ASSERT(core_status(r->w.core) == HF_OK);
    }
    return s;
}

static void sell(struct flush_run *r, uint32_t cell, int64_t quantity)
{
    struct core_line line = {cell, 0, quantity};
    struct core_request q = {
        .verb = CORE_ORDER, .id = world_id(&r->w), .lines = &line, .line_count = 1};
    HF_ASSERT(world_do(&r->w, &q).outcome == CORE_OUT_DONE);
}

// A folder whose flusher has batches of some kinds under way, and dead letters.
void fuzz_set_up(void)
{
    static const uint8_t none[1];
    struct fuzz_input in = {none, none};
    struct fake_storage *simple = folder_simple();
    struct flush_run r;
    struct chunkfile_reader *reader;
    folder_clone(&r.w, simple);
    storage_destroy(&simple->base);
    begin(&r, &in, 0);
    HF_ASSERT(opened(&r) == HF_OK);
    work(&r, 100); // in contact; what was there is posted or dead
    for (uint32_t i = 0; i < 3; i++)
        sell(&r, i, 2);
    while (r.f->batch_count < 3 || r.f->must_save) // formed and saved, not sent
        work(&r, 1);
    flush_close(r.f);
    world_kill(&r.w);
    image = fake_storage_clone(r.w.disk);
    image->clock = NULL;
    uint64_t bytes, count;
    const uint8_t *content = fake_storage_content(image, FLUSH_STATE_NAME, &bytes);
    HF_ASSERT(content);
    memcpy(&count, content + bytes - HF_BLOCK + 24, sizeof count);
    HF_ASSERT(chunkfile_reader_create(&image->base, FLUSH_STATE_NAME, FLUSH_STATE_KIND,
                                      FLUSH_STATE_VERSION, (struct hf_uuid){0, 0}, &state_header,
                                      &reader) == HF_OK);
    state_bytes = count;
    state = malloc(state_bytes);
    HF_ASSERT(state && chunkfile_read(reader, state, state_bytes) == HF_OK);
    chunkfile_reader_destroy(reader);
    end(&r);
}

void fuzz_seeds(void)
{
    static const char *const bodies[] = {
        "[]",
        "[7]",
        "true",
        "false",
        "{}",
        "null",
        "[{\"id\":1,\"state\":\"done\"}]",
        "{\"id\":1,\"state\":\"done\",\"dup\":false}",
        "{\"type\":\"ir.actions.act_window\",\"res_model\":\"stock.backorder.confirmation\"}",
        "{\"name\":\"odoo.exceptions.ValidationError\",\"message\":\"no\"}",
        "<html>502</html>"};
    static const char *const words[] = {"done",
                                        "cancel",
                                        "assigned",
                                        "draft",
                                        "state",
                                        "origin",
                                        "odoo.exceptions.UserError",
                                        "odoo.exceptions.AccessDenied",
                                        "odoo.exceptions.MissingError",
                                        "builtins.ValueError",
                                        "id",
                                        "name",
                                        "lot_stock_id",
                                        "company_id",
                                        "default_code",
                                        "uom_id",
                                        "tracking",
                                        "usage"};
    char name[64];
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        fuzz_word(words[i]);
    for (uint8_t call = 0; call < 12; call++) { // one lie behind so many true answers
        for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
            uint8_t seed[300] = {(uint8_t)(i & 1 ? ACTION : 0)};
            size_t n = 1 + call, length = strlen(bodies[i]);
            seed[n++] = 1;
            seed[n++] = i >= 9 ? 6 : 0;
            seed[n++] = i == 10;
            seed[n++] = (uint8_t)length;
            seed[n++] = 0;
            memcpy(seed + n, bodies[i], length);
            snprintf(name, sizeof name, "call-%u-body-%zu", call, i);
            fuzz_seed(name, seed, n + length);
        }
        uint8_t seed[16] = {0};
        seed[1 + call] = call % 2 ? 3 : 4;
        snprintf(name, sizeof name, "call-%u-lost", call);
        fuzz_seed(name, seed, 2 + call);
    }
    for (unsigned at = 0; at + 16 < state_bytes; at += 8) {
        uint8_t seed[] = {STATE, (uint8_t)(at % 3 ? 5 : 2), (uint8_t)at, (uint8_t)(at >> 8),
                          (uint8_t)(at % 7)};
        snprintf(name, sizeof name, "state-at-%u", at);
        fuzz_seed(name, seed, sizeof seed);
    }
}

static void state_change(struct world *w, struct fuzz_input *in)
{
    struct chunkfile_writer *out;
    uint8_t *copy = malloc(state_bytes);
    HF_ASSERT(copy);
    memcpy(copy, state, state_bytes);
    for (int i = 0; i < CHANGES && fuzz_left(in) > 0; i++)
        patch_one(in, copy, state_bytes);
    HF_ASSERT(chunkfile_writer_create(&w->disk->base, FLUSH_STATE_NAME, &state_header, HF_BLOCK,
                                      &out) == HF_OK);
    HF_ASSERT(chunkfile_write(out, copy, state_bytes) == HF_OK);
    HF_ASSERT(chunkfile_finish(out) == HF_OK);
    free(copy);
}

void fuzz_one(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, data + bytes};
    struct flush_run r;
    uint8_t flags = fuzz_byte(&in);
    folder_clone(&r.w, image);
    if (flags & STATE)
        state_change(&r.w, &in);
    begin(&r, &in, flags);
    enum hf_status s = opened(&r);
    if (s == HF_OK) {
        (void)work(&r, STEPS_MAX);
        flush_close(r.f);
        s = opened(&r); // what it has saved is good
        HF_ASSERT(s == HF_OK);
        (void)work(&r, 20);
        flush_close(r.f);
    } else {
        HF_ASSERT(flags & STATE);
        HF_ASSERT(s == HF_DAMAGED || s == HF_INVALID || s == HF_TOO_NEW || s == HF_FOREIGN);
    }
    end(&r);
}
