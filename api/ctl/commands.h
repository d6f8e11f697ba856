// The commands' functions, one a row of the table in commands.c.
#ifndef HOLDFAST_CTL_COMMANDS_H
#define HOLDFAST_CTL_COMMANDS_H

#include "ctl/ctl.h"

enum ctl_exit ctl_stock_import(struct ctl *c);
enum ctl_exit ctl_stock_show(struct ctl *c);
enum ctl_exit ctl_stock_list(struct ctl *c);
enum ctl_exit ctl_stock_set(struct ctl *c);
enum ctl_exit ctl_stock_adjust(struct ctl *c);
enum ctl_exit ctl_stock_create(struct ctl *c);
enum ctl_exit ctl_channel_create(struct ctl *c);
enum ctl_exit ctl_reserve(struct ctl *c);
enum ctl_exit ctl_order(struct ctl *c);
enum ctl_exit ctl_record(struct ctl *c);
enum ctl_exit ctl_commit(struct ctl *c);
enum ctl_exit ctl_release(struct ctl *c);
enum ctl_exit ctl_extend(struct ctl *c);
enum ctl_exit ctl_cancel(struct ctl *c);
enum ctl_exit ctl_return(struct ctl *c);
enum ctl_exit ctl_get(struct ctl *c);
enum ctl_exit ctl_list(struct ctl *c);
enum ctl_exit ctl_holds(struct ctl *c);
enum ctl_exit ctl_watch(struct ctl *c);
enum ctl_exit ctl_handle(struct ctl *c);
enum ctl_exit ctl_session_open(struct ctl *c);
enum ctl_exit ctl_session_close(struct ctl *c);
enum ctl_exit ctl_session_list(struct ctl *c);
enum ctl_exit ctl_health(struct ctl *c);
enum ctl_exit ctl_posting(struct ctl *c);
enum ctl_exit ctl_deadletter_list(struct ctl *c);
enum ctl_exit ctl_deadletter_show(struct ctl *c);
enum ctl_exit ctl_deadletter_retry(struct ctl *c);
enum ctl_exit ctl_deadletter_discard(struct ctl *c);
enum ctl_exit ctl_batch_list(struct ctl *c);
enum ctl_exit ctl_batch_show(struct ctl *c);
enum ctl_exit ctl_odoo_reconcile(struct ctl *c);
enum ctl_exit ctl_close_day(struct ctl *c);
enum ctl_exit ctl_short(struct ctl *c);
enum ctl_exit ctl_odoo_import(struct ctl *c);
enum ctl_exit ctl_odoo_tell_again(struct ctl *c);
enum ctl_exit ctl_trace(struct ctl *c);
enum ctl_exit ctl_key_make(struct ctl *c);
enum ctl_exit ctl_odoo_check(struct ctl *c);
enum ctl_exit ctl_odoo_install_action(struct ctl *c);
enum ctl_exit ctl_journal_inspect(struct ctl *c);
enum ctl_exit ctl_journal_verify(struct ctl *c);
enum ctl_exit ctl_journal_export(struct ctl *c);

#endif
