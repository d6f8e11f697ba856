// How holdfastd ends: the one list of its exit codes. Numbers follow sysexits.h where that has one.
#ifndef HOLDFAST_API_EXIT_CODE_H
#define HOLDFAST_API_EXIT_CODE_H

#include "base/status.h"

// X(number, name, whether starting again may help, what it means)
#define EXIT_CODE_TABLE(X)                                                                         \
    X(0, DONE, "", "ended by SIGTERM or SIGINT after the drain, or a command that did its work")   \
    X(65, DAMAGED, "no", "the data folder is damaged, newer than this program, or another's")      \
    X(69, ADDRESS, "yes", "an address cannot be listened on: in use, or not this machine's")       \
    X(70, STUCK, "yes", "a decision stood still for a second; the watchdog ended the process")     \
    X(71, RESOURCES, "yes", "memory or threads could not be had at the start")                     \
    X(72, DEAF, "yes", "the listener did not answer the daemon's own checks")                      \
    X(73, SPACE, "no", "no space on the disk at the start")                                        \
    X(74, FAILED, "yes",                                                                           \
      "the engine stopped: an input or output error, or a paused machine; "                        \
      "see the log")                                                                               \
    X(75, LOCKED, "yes", "another process has the data folder open")                               \
    X(76, CLOCK, "no", "the wall clock contradicts the journal; see --accept-clock")               \
    X(78, CONFIG, "no",                                                                            \
      "options, key file, TLS files or the data folder are wrong, or it may not be opened; "       \
      "it was told")                                                                               \
    X(79, ELSEWHERE, "no", "the data folder was last used elsewhere; see --moved and --as-new")
enum exit_code {
#define X(number, name, again, help) EXIT_CODE_##name = number,
    EXIT_CODE_TABLE(X)
#undef X
};

// Of a start that failed with a status of node_open.
static inline enum exit_code exit_code_of(enum hf_status s)
{
    switch (s) {
    case HF_OK:
        return EXIT_CODE_DONE;
    case HF_INVALID:
    case HF_NOT_FOUND: // the folder that the data folder is to be made in
    case HF_FULL:      // the options are smaller than what the folder holds
        return EXIT_CODE_CONFIG;
    case HF_LOCKED:
        return EXIT_CODE_LOCKED;
    case HF_DAMAGED:
    case HF_TOO_NEW:
    case HF_FOREIGN:
        return EXIT_CODE_DAMAGED;
    case HF_CLOCK:
        return EXIT_CODE_CLOCK;
    case HF_NO_SPACE:
        return EXIT_CODE_SPACE;
    case HF_NO_MEMORY:
        return EXIT_CODE_RESOURCES;
    default:
        return EXIT_CODE_FAILED;
    }
}

#endif
