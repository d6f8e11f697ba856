// What the files of ErpService share.
#ifndef HOLDFAST_API_SERVICE_ERP_H
#define HOLDFAST_API_SERVICE_ERP_H

#include "service/service_internal.h"

#include "flush/desk.h"
#include "flush/fate.h"

#include "holdfast/v1/erp.pb-c.h"

// Runs `work` in the flusher's thread. False: the call has failed, and was told so.
bool erp_ask(struct service_local *l, struct rpc_call *call, flush_desk_work work, void *ctx);
// The desk, or NULL after the call has failed for want of one.
struct flush_desk *erp_desk(struct service_local *l, struct rpc_call *call);
// Where everything is, copied in the flusher's thread. NULL: the call has failed.
struct flush_fates *erp_fates(struct service_local *l, struct rpc_call *call);
void erp_fail(struct rpc_call *call, enum rpc_code code, const char *reason, const char *field,
              const char *message);
void erp_fail_memory(struct rpc_call *call);
void erp_fail_status(struct rpc_call *call, enum hf_status s);
// Names of a cell, in the arena; its decimal places. False: no memory.
bool erp_cell(struct core *c, struct arena *a, uint32_t handle, char **sku, char **location,
              uint32_t *scale);
// In the arena; "" for nil. NULL: no memory.
char *erp_uuid(struct arena *a, struct hf_uuid id);
// A list of pointers in the arena with room for one more: the same, or a copy twice as long. *room:
// pointers that it has room for, 0 at first. NULL: no memory.
void *erp_list_grow(struct arena *a, void *list, size_t count, uint32_t *room);

#endif
