// What the options say of Odoo, looked through as the flusher will read it, so that a check of the
// configuration tells what a start would refuse.
#ifndef HOLDFAST_API_ODOO_OPTIONS_H
#define HOLDFAST_API_ODOO_OPTIONS_H

#include "daemon/config.h"

// Reads files, asks nobody. What is wrong is added to errors, each with its option's name; http://
// outside loopback is a warning. Nothing without odoo_url. Set-up.
void odoo_options_check(const struct config *c, struct config_errors *errors);

#endif
