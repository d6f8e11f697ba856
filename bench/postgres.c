#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOKS      600 // at a server that starts
#define LOOK_NS    100000000
#define WORDS_MAX  40
#define PATH_BYTES 4400

static const char schema[] =
    "create table stock (sku integer primary key, available bigint not null)"
    " with (fillfactor = 50);\n" // room for a row's next version beside it
    "create table hold (id uuid primary key, sku integer not null, quantity bigint not null,"
    " deadline timestamptz not null);\n"
    "insert into stock select n, 1000000000000 from generate_series(1, :skus) n;\n"
    "vacuum analyze;\n"
    "checkpoint;\n";

// One statement: the row stays locked for no round trip.
static const char reserve[] =
    "\\set sku random(1, :skus)\n"
    "with taken as (update stock set available = available - 1"
    " where sku = :sku and available >= 1 returning sku)"
    " insert into hold select gen_random_uuid(), sku, 1, now() + interval '1 second'"
    " from taken;\n";

// ------------------------------------------------------------------------------- parts

bool postgres_find(const char *root, char *programs, size_t bytes, double *version)
{
    static const char *const needed[] = {"initdb", "postgres", "pgbench", "psql", "pg_isready"};
    DIR *d = opendir(root);
    *version = 0;
    if (!d)
        return false;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char *end, path[PATH_BYTES];
        double v = strtod(e->d_name, &end);
        bool good = *end == 0 && v > *version;
        for (size_t i = 0; good && i < sizeof needed / sizeof *needed; i++) {
            snprintf(path, sizeof path, "%s/%s/bin/%s", root, e->d_name, needed[i]);
            good = access(path, X_OK) == 0;
        }
        if (good) {
            snprintf(programs, bytes, "%s/%s/bin", root, e->d_name);
            *version = v;
        }
    }
    closedir(d);
    return *version > 0;
}

bool postgres_parse(const char *printed, struct postgres_run *out)
{
    static const char count[] = "\nnumber of transactions actually processed: ";
    static const char rate[] = "\ntps = ";
    const char *at = strstr(printed, count);
    *out = (struct postgres_run){0};
    if (at)
        out->transactions = strtoull(at + sizeof count - 1, NULL, 10);
    // Before 14 there were two: with the time of connecting, and without.
    for (at = strstr(printed, rate); at; at = strstr(at + 1, rate))
        out->per_s = strtod(at + sizeof rate - 1, NULL);
    return out->transactions > 0 && isfinite(out->per_s) && out->per_s > 0;
}

// ------------------------------------------------------------------------------- programs

static void in_folder(const struct postgres *p, const char *name, char out[PATH_BYTES])
{
    snprintf(out, PATH_BYTES, "%s/%s", p->folder, name);
}

// Starts a program as the user that PostgreSQL runs as, to be interrupted when this process ends.
// Its errors go to the folder's log, what it prints to the folder's file `to`. 0: did not start.
static pid_t begin(const struct postgres *p, const char *to, const char *const *words)
{
    // Nothing of who measures: no other server, options or language.
    static char language[] = "LC_ALL=C", *environment[] = {language, NULL};
    char user[40], group[40], program[PATH_BYTES], log[PATH_BYTES], out[PATH_BYTES];
    const char *all[WORDS_MAX] = {"setpriv", "--pdeathsig", "SIGINT"};
    size_t n = 3;
    snprintf(user, sizeof user, "--reuid=%u", (unsigned)p->uid);
    snprintf(group, sizeof group, "--regid=%u", (unsigned)p->gid);
    snprintf(program, sizeof program, "%s/%s", p->programs, words[0]);
    if (p->uid != geteuid()) {
        all[n++] = user;
        all[n++] = group;
        all[n++] = "--clear-groups";
    }
    all[n++] = program;
    for (size_t i = 1; words[i]; i++) {
        HF_ASSERT(n < WORDS_MAX - 1);
        all[n++] = words[i];
    }
    in_folder(p, "log", log);
    in_folder(p, to, out);
    pid_t pid = 0;
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, out, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_addopen(&files, 2, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    // Not fork: it would copy the page tables of an engine of many GB.
    if (posix_spawnp(&pid, all[0], &files, NULL, (char *const *)all, environment) != 0)
        pid = 0;
    posix_spawn_file_actions_destroy(&files);
    return pid;
}

// To its end. `printed`, when not NULL, gets what it printed, cut to fit.
static bool run(const struct postgres *p, const char *const *words, char *printed, size_t bytes)
{
    char path[PATH_BYTES];
    int status = 1;
    in_folder(p, "out", path);
    unlink(path);
    pid_t pid = begin(p, "out", words);
    if (pid == 0 || waitpid(pid, &status, 0) != pid || status != 0)
        return false;
    FILE *f = printed ? fopen(path, "r") : NULL;
    if (f) {
        printed[fread(printed, 1, bytes - 1, f)] = 0;
        fclose(f);
    }
    return f || !printed;
}

static bool sql(const struct postgres *p, const char *text, char *printed, size_t bytes)
{
    char data[PATH_BYTES];
    in_folder(p, "data", data);
    const char *const words[] = {
        "psql", "-X", "-q", "-A", "-t", "-h", data, "-d", "postgres", "-v", "ON_ERROR_STOP=1",
        "-c",   text, NULL};
    return run(p, words, printed, bytes);
}

// The end of what the last program printed and of the log say why.
static enum hf_status failed(const struct postgres *p, const char *what)
{
    static const char *const names[] = {"out", "log"};
    fprintf(stderr, "PostgreSQL in %s: %s\n", p->folder, what);
    for (int i = 0; i < 2; i++) {
        char path[PATH_BYTES], text[2000];
        in_folder(p, names[i], path);
        FILE *f = fopen(path, "r");
        if (!f)
            continue;
        if (fseek(f, -(long)sizeof text, SEEK_END) != 0)
            rewind(f);
        fwrite(text, 1, fread(text, 1, sizeof text, f), stderr);
        fclose(f);
    }
    return HF_IO;
}

// ------------------------------------------------------------------------------- start, stop

static bool file_make(const struct postgres *p, const char *name, const char *text)
{
    char path[PATH_BYTES];
    in_folder(p, name, path);
    FILE *f = fopen(path, "w");
    if (!f)
        return false;
    bool good = fputs(text, f) >= 0 && fchmod(fileno(f), 0644) == 0;
    return fclose(f) == 0 && good;
}

// The folder is this process's; `data` in it, with the socket, the server's alone.
static bool folder_make(struct postgres *p, const char *parent)
{
    char *base = realpath(parent, NULL), data[PATH_BYTES];
    if (base)
        snprintf(p->folder, sizeof p->folder, "%s/postgres.XXXXXX", base);
    free(base);
    if (!p->folder[0] || !mkdtemp(p->folder)) {
        p->folder[0] = 0; // nothing to remove
        return false;
    }
    in_folder(p, "data", data);
    return chmod(p->folder, 0711) == 0 && mkdir(data, 0700) == 0 &&
           (p->uid == geteuid() || chown(data, p->uid, p->gid) == 0) &&
           file_make(p, "schema", schema) && file_make(p, "reserve", reserve);
}

static bool user_pick(struct postgres *p)
{
    p->uid = geteuid();
    p->gid = getegid();
    if (p->uid != 0)
        return true;
    const struct passwd *user = getpwnam("postgres");
    if (!user)
        user = getpwnam("nobody");
    if (!user)
        return false;
    p->uid = user->pw_uid;
    p->gid = user->pw_gid;
    return true;
}

static bool up(struct postgres *p, const char *data)
{
    static const struct timespec look = {0, LOOK_NS};
    const char *const words[] = {"pg_isready", "-q", "-h", data, "-d", "postgres", NULL};
    for (int i = 0; i < LOOKS; i++) {
        if (waitpid(p->pid, NULL, WNOHANG) != 0) {
            p->pid = 0; // gone: nobody to stop
            return false;
        }
        if (run(p, words, NULL, 0))
            return true;
        nanosleep(&look, NULL);
    }
    return false;
}

enum hf_status postgres_start(struct postgres *p, const char *parent)
{
    char data[PATH_BYTES], sockets[PATH_BYTES + 40], path[PATH_BYTES], skus[40];
    *p = (struct postgres){0};
    if (!postgres_find(POSTGRES_ROOT, p->programs, sizeof p->programs, &p->version)) {
        fputs("SKIPPED: postgresql is not installed\n", stderr);
        return HF_NOT_FOUND;
    }
    if (!user_pick(p) || !folder_make(p, parent))
        return HF_IO;
    in_folder(p, "data", data);
    in_folder(p, "schema", path);
    snprintf(sockets, sizeof sockets, "unix_socket_directories=%s", data);
    snprintf(skus, sizeof skus, "skus=%d", POSTGRES_SKUS);
    const char *const make[] = {"initdb", "-D",   data,          "-A",        "peer",
                                "-E",     "UTF8", "--no-locale", "--no-sync", NULL};
    const char *const serve[] = {"postgres", "-D", data,       "-c", "listen_addresses=",     "-c",
                                 sockets,    "-c", "fsync=on", "-c", "synchronous_commit=on", NULL};
    const char *const fill[] = {
        "psql", "-X", "-q", "-h", data, "-d", "postgres", "-v", "ON_ERROR_STOP=1",
        "-v",   skus, "-f", path, NULL};
    if (!run(p, make, NULL, 0))
        return failed(p, "cannot be made");
    p->pid = begin(p, "log", serve);
    if (p->pid == 0 || !up(p, data))
        return failed(p, "does not start");
    return run(p, fill, NULL, 0) ? HF_OK : failed(p, "cannot be filled");
}

enum hf_status postgres_reserve(struct postgres *p, uint32_t skus, double seconds, double *rate)
{
    char data[PATH_BYTES], path[PATH_BYTES], time[40], among[40], printed[4096], count[64];
    struct postgres_run r;
    in_folder(p, "data", data);
    in_folder(p, "reserve", path);
    snprintf(time, sizeof time, "%.0f", seconds > 1 ? ceil(seconds) : 1);
    snprintf(among, sizeof among, "skus=%u", skus);
    const char *const words[] = {"pgbench", "-n", "-h", data,  "-c", "16", "-M",       "prepared",
                                 "-T",      time, "-D", among, "-f", path, "postgres", NULL};
    if (!sql(p, "truncate hold", NULL, 0) || !run(p, words, printed, sizeof printed) ||
        !postgres_parse(printed, &r) || !sql(p, "select count(*) from hold", count, sizeof count))
        return failed(p, "was not measured");
    if (strtoull(count, NULL, 10) != r.transactions)
        return HF_INVALID;
    *rate = r.per_s / 1e3;
    // Or it would write these pages while something else is measured.
    return sql(p, "checkpoint", NULL, 0) ? HF_OK : failed(p, "has no checkpoint");
}

static void wipe(const char *folder)
{
    const char *const words[] = {"rm", "-rf", "--", folder, NULL};
    pid_t pid;
    int status = 1;
    if (posix_spawnp(&pid, words[0], NULL, NULL, (char *const *)words, environ) != 0 ||
        waitpid(pid, &status, 0) != pid || status != 0)
        fprintf(stderr, "%s is left\n", folder);
}

void postgres_stop(struct postgres *p)
{
    if (p->pid > 0) {
        kill(p->pid, SIGINT); // sends its clients away
        waitpid(p->pid, NULL, 0);
    }
    if (p->folder[0])
        wipe(p->folder);
    *p = (struct postgres){0};
}
