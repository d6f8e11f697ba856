#include "redis.h"

#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define GUESS_PER_S 100000 // of the first run; later ones are as long as asked

// Takes one unit of KEYS[1] and notes the hold KEYS[2] with its time to live.
static const char script[] = "local have = tonumber(redis.call('GET', KEYS[1]) or '1000000000') "
                             "local want = tonumber(ARGV[1]) "
                             "if redis.call('EXISTS', KEYS[2]) == 1 then return 2 end "
                             "if have < want then return 0 end "
                             "redis.call('SET', KEYS[1], have - want) "
                             "redis.call('SET', KEYS[2], want, 'PX', ARGV[2]) "
                             "return 1";

static bool tell(const char *command, char *out, size_t bytes)
{
    FILE *p = popen(command, "r");
    if (!p)
        return false;
    size_t n = fread(out, 1, bytes - 1, p);
    out[n] = 0;
    return pclose(p) == 0;
}

static bool up(struct redis *r)
{
    char command[1200], out[128];
    for (int i = 0; i < 100; i++) {
        snprintf(command, sizeof command, "redis-cli -s %s ping 2>/dev/null", r->socket);
        if (tell(command, out, sizeof out) && strncmp(out, "PONG", 4) == 0)
            break;
        rig_sleep_us(50000);
    }
    snprintf(command, sizeof command, "redis-cli -s %s script load \"%s\" 2>/dev/null", r->socket,
             script);
    if (!tell(command, r->script, sizeof r->script))
        return false;
    r->script[strcspn(r->script, "\r\n")] = 0;
    return strlen(r->script) == 40;
}

enum hf_status redis_start(struct redis *r, const char *parent)
{
    char out[256];
    if (!tell("command -v redis-server redis-benchmark redis-cli", out, sizeof out)) {
        fputs("SKIPPED: redis-server is not installed\n", stderr);
        return HF_NOT_FOUND;
    }
    char *base = realpath(parent, NULL);
    int bytes = base ? snprintf(r->folder, sizeof r->folder, "%s/redis.XXXXXX", base) : -1;
    free(base);
    if (bytes < 0 || bytes >= (int)sizeof r->folder || !mkdtemp(r->folder)) {
        r->folder[0] = 0; // nothing to remove
        return HF_IO;
    }
    snprintf(r->socket, sizeof r->socket, "%s/s", r->folder);
    r->pid = fork();
    if (r->pid == 0) {
        if (!freopen("/dev/null", "w", stdout))
            _exit(1);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", r->socket,
               "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", r->folder,
               "--auto-aof-rewrite-percentage", "0", (char *)NULL);
        _exit(127);
    }
    return up(r) ? HF_OK : HF_IO;
}

enum hf_status redis_reserve(struct redis *r, double seconds, double *rate)
{
    char command[1200], out[4096];
    snprintf(command, sizeof command,
             "redis-benchmark -s %s --csv -c 50 -P 16 -r 100000000 -n %.0f evalsha %s 2 "
             "stock:__rand_int__ hold:__rand_int__ 1 1000 2>/dev/null",
             r->socket, seconds * GUESS_PER_S, r->script);
    if (!tell(command, out, sizeof out))
        return HF_IO;
    // The last line: the command in quotes, then requests a second in quotes.
    char *at = strrchr(out, '\n');
    if (at)
        *at = 0;
    at = strrchr(out, '\n');
    at = strstr(at ? at : out, "\",\"");
    *rate = at ? strtod(at + 3, NULL) / 1e3 : 0;
    return *rate > 0 ? HF_OK : HF_IO;
}

static void wipe(const char *folder)
{
    char command[400];
    snprintf(command, sizeof command, "rm -rf -- '%s'", folder);
    if (system(command) != 0)
        fprintf(stderr, "%s is left\n", folder);
}

void redis_stop(struct redis *r)
{
    if (r->pid > 0) {
        kill(r->pid, SIGTERM);
        waitpid(r->pid, NULL, 0);
    }
    if (r->folder[0])
        wipe(r->folder);
    *r = (struct redis){0};
}
