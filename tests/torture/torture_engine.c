#include "torture/torture_engine.h"

#include "sys/clock.h"
#include "sys/storage.h"
#include "torture/torture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void engine_init(struct engine *e)
{
    struct core_options *o = &e->options;
    memset(e, 0, sizeof *e);
    core_options_default(o);
    o->clock = clock_os();
    o->huge_pages = false;
    o->journal.segment_bytes = 1 << 20;
    o->journal.group_bytes_max = 128 << 10;
    o->journal.buffer_bytes = 64 << 10;
    o->journal.buffers_per_producer = 3;
    snprintf(e->folder, sizeof e->folder, "/tmp/holdfast-torture-XXXXXX");
    torture_check(mkdtemp(e->folder), "no folder");
}

static void storage_open(struct engine *e)
{
    enum hf_status s = storage_os_create(e->folder, false, &e->options.storage);
    torture_check(s == HF_OK, "storage: %s", hf_status_name(s));
}

void engine_open(struct engine *e)
{
    struct core_report report;
    storage_open(e);
    e->options.fresh_id =
        hf_uuid_v7(clock_wall_ms(e->options.clock), torture_random(), torture_random());
    enum hf_status s = core_open(&e->options, &e->core, &report);
    torture_check(s == HF_OK, "open: %s, %s", hf_status_name(s), report.why);
}

void engine_close(struct engine *e)
{
    core_close(e->core);
    storage_destroy(e->options.storage);
    e->core = NULL;
}

static void remove_one(void *ctx, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", (const char *)ctx, name);
    unlink(path);
}

void engine_remove(struct engine *e)
{
    storage_open(e);
    enum hf_status s = e->options.storage->ops->list(e->options.storage, remove_one, e->folder);
    storage_destroy(e->options.storage);
    torture_check(s == HF_OK && rmdir(e->folder) == 0, "%s stays", e->folder);
}

uint32_t engine_cell(struct engine *e, struct core_worker *w, uint32_t number, int64_t on_hand)
{
    struct core_admin_answer a;
    char sku[16];
    uint32_t bytes = (uint32_t)snprintf(sku, sizeof sku, "SKU%u", number);
    core_cell_make(w, core_now(e->core), sku, bytes, "main", 4, 0, &a);
    torture_check(a.outcome == CORE_OUT_DONE, "cell %u", number);
    uint32_t handle = a.handle;
    struct core_change ch = {.op_id =
                                 hf_uuid_v7(core_now(e->core), torture_random(), torture_random()),
                             .handle = handle,
                             .value = on_hand};
    core_change(w, core_now(e->core), &ch, &a);
    torture_check(a.outcome == CORE_OUT_DONE, "stock of cell %u", number);
    return handle;
}
