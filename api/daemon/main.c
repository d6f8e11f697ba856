// holdfastd: reads its options, starts the parts, waits for a signal, takes the parts down.
//
//   SIGTERM, SIGINT  drain, then end with 0
//   SIGHUP           read the key files and the certificates again
//   SIGPIPE          ignored: a peer that is gone shows as an error of the write
#include "daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 100 // how long a failed engine may go unnoticed here; nothing is acknowledged then

extern char **environ;

// ------------------------------------------------------------------------------- service manager

// systemd's protocol: one datagram to the socket that it named. Nothing when there is none.
static void notify(const char *state)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof to.sun_path)
        return;
    size_t bytes = strlen(path);
    memcpy(to.sun_path, path, bytes);
    if (path[0] == '@') // an abstract name
        to.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to,
           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes));
    close(fd);
}

// ------------------------------------------------------------------------------- signals

static void signals_block(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    // Before any thread is made, so that all inherit it and only serve() takes them.
    pthread_sigmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

// Until a signal asks for the end.
static enum exit_code serve(struct daemon *d, const sigset_t *set)
{
    const struct timespec look = {0, LOOK_MS * 1000000};
    for (;;) {
        int signal_number = sigtimedwait(set, NULL, &look);
        daemon_end_if_failed(d);
        if (signal_number == SIGHUP)
            daemon_reload(d);
        else if (signal_number == SIGTERM || signal_number == SIGINT)
            return EXIT_CODE_DONE;
    }
}

// ------------------------------------------------------------------------------- commands

static void print_exit_codes(void)
{
    printf("\nExit codes:\n");
#define X(number, name, again, help)                                                               \
    printf("  %-4d%s%s\n", number, help, again[0] == 'n' ? " (starting again won't help)" : "");
    EXIT_CODE_TABLE(X)
#undef X
    printf("\nSIGTERM, SIGINT: drain and end. SIGHUP: read keys and certificates again.\n");
}

static void errors_print(const struct config_errors *e)
{
    for (uint32_t i = 0; i < e->count; i++)
        fprintf(stderr, "holdfastd: %s%s\n", e->warning[i] ? "warning: " : "", e->texts[i]);
    if (e->left_out > 0)
        fprintf(stderr, "holdfastd: and %u more\n", e->left_out);
}

static enum exit_code run(const struct config *c)
{
    sigset_t set;
    struct daemon *d;
    umask(0027); // the journal holds what customers ordered
    signals_block(&set);
    hf_log_set_level(c->log_level);
    hf_log(HF_LOG_INFO, "starting", "version=%s pid=%d config=\"%.200s\"", HF_VERSION, getpid(),
           c->file ? c->file : "");
    if (c->insecure && !config_loopback(c->listen))
        hf_log(HF_LOG_WARN, "insecure",
               "listen=\"%.107s\" note=\"reachable from outside; callers "
               "or their traffic are not protected\"",
               c->listen);
    enum exit_code code = daemon_start(c, HF_VERSION, &d);
    if (code != EXIT_CODE_DONE)
        return code;
    notify("READY=1");
    code = serve(d, &set);
    notify("STOPPING=1");
    daemon_drain(d);
    daemon_stop(d);
    hf_log(HF_LOG_INFO, "ended", "exit=%d", code);
    return code;
}

static enum exit_code command_run(struct config *c, bool good, struct config_errors *e)
{
    switch (c->command) {
    case CONFIG_HELP:
        config_help(stdout);
        print_exit_codes();
        return EXIT_CODE_DONE;
    case CONFIG_VERSION:
        printf("holdfastd %s\n", HF_VERSION);
        return EXIT_CODE_DONE;
    case CONFIG_DOCUMENT:
        config_document(stdout);
        return EXIT_CODE_DONE;
    case CONFIG_PRINT:
        errors_print(e);
        config_print(c, stdout);
        return good ? EXIT_CODE_DONE : EXIT_CODE_CONFIG;
    case CONFIG_CHECK:
    case CONFIG_RUN:
        break;
    }
    good = daemon_files_check(c, e) && good;
    errors_print(e);
    if (!good)
        return EXIT_CODE_CONFIG;
    if (c->command == CONFIG_RUN)
        return run(c);
    printf("holdfastd: the configuration is good\n");
    return EXIT_CODE_DONE;
}

int main(int argc, char **argv)
{
    static struct config c;
    static struct config_errors e;
    bool good = config_load(&c, argc, argv, environ, &e);
    if (c.no_memory)
        errors_print(&e);
    enum exit_code code = c.no_memory ? EXIT_CODE_RESOURCES : command_run(&c, good, &e);
    config_fini(&c);
    return (int)code;
}
