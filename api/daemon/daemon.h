// holdfastd's parts, set up in order and taken down in the mirrored one:
//
//   keys -> node (recovers; its threads and watch hub) -> flusher -> packets -> service
//        -> listener -> admin address -> self-check
//
//   daemon_start --> serving --daemon_drain--> draining --> daemon_stop
#ifndef HOLDFAST_API_DAEMON_H
#define HOLDFAST_API_DAEMON_H

#include "daemon/config.h"
#include "daemon/exit_code.h"

struct daemon;

// Reads what the options name, the key file and the TLS files, and tells what is wrong with them.
bool daemon_files_check(const struct config *c, struct config_errors *errors);

// Blocking, as long as recovery takes. Unless EXIT_CODE_DONE, what was wrong has been logged and
// nothing is left. The configuration is borrowed until daemon_stop.
enum exit_code daemon_start(const struct config *c, const char *version, struct daemon **out);
// SIGHUP. Logs what came of it.
void daemon_reload(struct daemon *d);
// Ends the process, without more ado, when the engine has failed. Any thread.
void daemon_end_if_failed(const struct daemon *d);
// Health tells NOT_SERVING, drain_delay passes, then no new calls; waits for those in progress.
void daemon_drain(struct daemon *d);
void daemon_stop(struct daemon *d); // after the drain, where it served

#endif
