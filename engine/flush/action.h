// The server action that posts a batch in one call and one transaction. An administrator makes it
// once (`holdfastctl odoo install-action`); whoever may write transfers may run it, so the key that
// posts needs no administrator's rights, not even for the database's UUID.
//
// Without a batch it tells its version and the database's UUID. With one it looks the name up, and
// creates and validates what is not there; a document of another content is left alone, and so is
// everything in a database that is not the one meant.
#ifndef HOLDFAST_FLUSH_ACTION_H
#define HOLDFAST_FLUSH_ACTION_H

#define FLUSH_ACTION_VERSION 1
#define FLUSH_ACTION_NAME    "Holdfast: post a batch"

extern const char flush_action_code[]; // Python, as ir.actions.server takes it

#endif
