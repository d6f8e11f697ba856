// What options ask of one another, and what the parts of the daemon get.
#include "daemon/config_internal.h"

#include "base/limits.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ------------------------------------------------------------------------------- addresses

bool config_host_port(const char *address, char *host, size_t host_bytes, uint16_t *port)
{
    const char *begin = address, *end, *colon;
    if (address[0] == '[') {
        begin = address + 1;
        end = strchr(begin, ']');
        if (!end || end[1] != ':')
            return false;
        colon = end + 1;
    } else {
        colon = end = strrchr(address, ':');
        // A bare v6 address would leave it open where the port begins.
        if (!colon || memchr(address, ':', (size_t)(colon - address)))
            return false;
    }
    size_t bytes = (size_t)(end - begin), digits = strlen(colon + 1);
    if (bytes == 0 || bytes >= host_bytes || digits == 0 || digits > 5 ||
        strspn(colon + 1, "0123456789") != digits)
        return false;
    unsigned long number = strtoul(colon + 1, NULL, 10);
    if (number > UINT16_MAX)
        return false;
    memcpy(host, begin, bytes);
    host[bytes] = 0;
    *port = (uint16_t)number;
    return true;
}

static bool is_unix(const char *address)
{
    return strncmp(address, "unix:", 5) == 0;
}

bool config_loopback(const char *address)
{
    char host[108];
    uint16_t port;
    struct in_addr v4;
    struct in6_addr v6;
    if (is_unix(address))
        return true;
    if (!config_host_port(address, host, sizeof host, &port))
        return false;
    if (strcmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
    return false;
}

// ------------------------------------------------------------------------------- relations

static bool address_check(const char *key, const char *address, struct config_errors *e)
{
    char host[108];
    uint16_t port;
    if (is_unix(address) || config_host_port(address, host, sizeof host, &port))
        return true;
    config_wrong(e, "%s: '%.80s' is neither host:port nor [v6]:port", key, address);
    return false;
}

// One TCP port can be bound once for an address, and not beside what listens everywhere.
static bool addresses_meet(const char *a, const char *b)
{
    char hosts[2][108];
    uint16_t ports[2];
    if (is_unix(a) || is_unix(b) || !config_host_port(a, hosts[0], sizeof hosts[0], &ports[0]) ||
        !config_host_port(b, hosts[1], sizeof hosts[1], &ports[1]))
        return false;
    bool everywhere = false;
    for (int i = 0; i < 2; i++)
        everywhere |= strcmp(hosts[i], "0.0.0.0") == 0 || strcmp(hosts[i], "::") == 0;
    return ports[0] != 0 && ports[0] == ports[1] && (everywhere || strcmp(hosts[0], hosts[1]) == 0);
}

static void access_check(const struct config *c, struct config_errors *e)
{
    bool tls = c->tls_certificate[0] && c->tls_key[0];
    bool known = c->key_file[0] || (tls && c->tls_client_ca[0]);
    bool readable = address_check("listen", c->listen, e);
    if (!c->tls_certificate[0] != !c->tls_key[0])
        config_wrong(e, "tls_certificate and tls_key go together");
    if (c->tls_client_ca[0] && !tls)
        config_wrong(e, "tls_client_ca needs tls_certificate and tls_key");
    if (readable && !config_loopback(c->listen) && !c->insecure && (!tls || !known))
        config_wrong(e, "listen: %.80s is outside loopback: it needs %s, or insecure", c->listen,
                     tls ? "key_file or tls_client_ca" : "tls_certificate and tls_key");
    if (c->admin_listen[0] == 0)
        return;
    if (!address_check("admin_listen", c->admin_listen, e))
        return;
    if (addresses_meet(c->listen, c->admin_listen))
        config_wrong(e, "admin_listen: %.80s is the port of listen", c->admin_listen);
    if (is_unix(c->admin_listen))
        config_wrong(e, "admin_listen: must be host:port");
    else if (!config_loopback(c->admin_listen) && !c->admin_public)
        config_wrong(e, "admin_listen: %.80s is outside loopback: it needs admin_public",
                     c->admin_listen);
}

static void odoo_check(const struct config *c, struct config_errors *e)
{
    if (c->odoo_url[0] == 0)
        return;
    if (c->odoo_database[0] == 0 || c->odoo_key_file[0] == 0 || c->odoo_locations[0] == 0)
        config_wrong(e, "odoo_url needs odoo_database, odoo_key_file and odoo_locations");
    if (strncmp(c->odoo_url, "https://", 8) != 0 && strncmp(c->odoo_url, "http://", 7) != 0)
        config_wrong(e, "odoo_url: must begin with https:// or http://");
}

static void folder_check(const struct config *c, struct config_errors *e)
{
    if (c->moved && c->as_new)
        config_wrong(e, "moved or as_new: either the folder goes on, or it is a copy");
}

// AF_INET or AF_INET6; 0: no address that a device can have.
static int address_family(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return v4.s_addr ? AF_INET : 0;
    if (inet_pton(AF_INET6, host, &v6) != 1 || IN6_IS_ADDR_UNSPECIFIED(&v6) ||
        IN6_IS_ADDR_MULTICAST(&v6))
        return 0;
    return AF_INET6;
}

static void device_check(const struct config *c, struct config_errors *e)
{
    char host[108];
    uint16_t port;
    if (!c->packet_eal[0]) {
        if (c->packet_also[0] || c->packet_vlan)
            config_wrong(e, "packet_also and packet_vlan: are for packet_eal");
        return;
    }
    if (!config_host_port(c->packet_listen, host, sizeof host, &port))
        return; // said already
    int family = address_family(host), also = address_family(c->packet_also);
    if (!family || port == 0)
        config_wrong(e, "packet_eal: packet_listen must be an address of the device's own, IPv4 or "
                        "[v6], and a port");
    if (c->packet_also[0] && (!also || also == family))
        config_wrong(e, "packet_also: must be an address of the family that packet_listen is not "
                        "of, without a port");
}

// One for each queue, and there.
static void cores_check(const struct config *c, struct config_errors *e)
{
    const char *p = c->packet_cores;
    long there = sysconf(_SC_NPROCESSORS_CONF);
    uint64_t count = 0;
    if (*p == 0)
        return;
    for (; count == 0 || *p == ','; count++) {
        char *end;
        p += count > 0;
        unsigned long core = *p >= '0' && *p <= '9' ? strtoul(p, &end, 10) : ULONG_MAX;
        if (core == ULONG_MAX) {
            config_wrong(e, "packet_cores: must be numbers, such as 2,3");
            return;
        }
        if (there > 0 && core >= (unsigned long)there) {
            config_wrong(e, "packet_cores: no processor %lu here: there are %ld, from 0", core,
                         there);
            return;
        }
        p = end;
    }
    if (*p != 0)
        config_wrong(e, "packet_cores: must be numbers, such as 2,3");
    else if (count < c->packet_queues)
        config_wrong(e, "packet_cores: %llu named for %llu packet_queues",
                     (unsigned long long)count, (unsigned long long)c->packet_queues);
}

// Clients send to what they are told, and look up no names.
static void door_check(const struct config *c, struct config_errors *e)
{
    char host[108];
    uint16_t port;
    struct in_addr v4;
    struct in6_addr v6;
    bool other = c->packet_advertise[0] != 0;
    const char *key = other ? "packet_advertise" : "packet_listen";
    const char *told = other ? c->packet_advertise : c->packet_listen;
    if (!address_check(key, told, e) || !config_host_port(told, host, sizeof host, &port))
        return;
    bool four = inet_pton(AF_INET, host, &v4) == 1;
    if (!four && inet_pton(AF_INET6, host, &v6) != 1)
        config_wrong(e, "%s: '%.80s' must be an IP address in digits: clients look up no names",
                     key, host);
    else if (four ? v4.s_addr == 0 : IN6_IS_ADDR_UNSPECIFIED(&v6))
        config_wrong(e, "%s: %.80s is no address to send to: packet_advertise must name one", key,
                     host);
}

static void packets_check(const struct config *c, struct config_errors *e)
{
    if (c->packet_listen[0] == 0)
        return;
    if (!address_check("packet_listen", c->packet_listen, e))
        return;
    if (is_unix(c->packet_listen) || is_unix(c->packet_advertise)) {
        config_wrong(e, "packet_listen and packet_advertise: must be host:port");
        return;
    }
    door_check(c, e);
    device_check(c, e);
    if (!c->packet_tags && !c->insecure && !config_loopback(c->packet_listen))
        config_wrong(e, "packet_tags: off outside loopback, where anybody could order: turn them "
                        "on, or say insecure for a network that nobody else can reach");
    cores_check(c, e);
}

static void journal_check(const struct config *c, struct config_errors *e)
{
    // As the journal asks for them, in its own words; it has the last one.
    uint64_t group = c->group_bytes_max > c->buffer_bytes ? c->group_bytes_max : c->buffer_bytes;
    if (c->segment_bytes % HF_BLOCK != 0)
        config_wrong(e, "segment_bytes: must be a multiple of 4KiB");
    if (c->group_bytes_max % HF_BLOCK != 0)
        config_wrong(e, "group_bytes_max: must be a multiple of 4KiB");
    if (c->buffer_bytes % HF_CACHE_LINE != 0)
        config_wrong(e, "buffer_bytes: must be a multiple of 64");
    if (c->buffer_bytes > c->group_bytes_max)
        config_wrong(e, "buffer_bytes: must be at most group_bytes_max");
    if (group + 16 * HF_BLOCK > c->segment_bytes)
        config_wrong(e, "segment_bytes: must be 64KiB larger than group_bytes_max");
    if (c->segments_ready >= c->segments_max)
        config_wrong(e, "segments_ready: must be less than segments_max");
    if (c->space_margin_blocks * HF_BLOCK * 2 > c->segment_bytes * c->segments_max)
        config_wrong(e, "space_margin_blocks: must be at most half of what segments_max hold");
}

void config_relations(const struct config *c, struct config_errors *e)
{
    access_check(c, e);
    folder_check(c, e);
    odoo_check(c, e);
    packets_check(c, e);
    journal_check(c, e);
    if (c->window_min_ms > c->window_ms)
        config_wrong(e, "id_window_min: must be at most id_window");
    if (c->admin_timeout_ms % CONFIG_S != 0)
        config_wrong(e, "admin_timeout: must be whole seconds");
}

// ------------------------------------------------------------------------------- for the parts

void config_to_node(const struct config *c, uint32_t workers, struct node_options *o)
{
    node_options_default(o);
    o->folder = c->data_folder;
    struct core_options *core = &o->core;
    struct journal_options *j = &core->journal;
    core->workers_max = workers;
#define TAKE(to, field) (to)->field = (__typeof__((to)->field))c->field
    TAKE(core, cells_max);
    TAKE(core, ids_max);
    TAKE(core, blocks_max);
    TAKE(core, window_ms);
    TAKE(core, window_min_ms);
    TAKE(core, skew_ms);
    TAKE(core, ttl_max_ms);
    TAKE(core, restart_grace_ms);
    TAKE(core, allow_v4);
    TAKE(core, accept_clock);
    TAKE(core, huge_pages);
    TAKE(core, prefault);
    TAKE(core, checkpoint_bytes);
    TAKE(core, checkpoint_ms);
    TAKE(core, lag_max_bytes);
    TAKE(core, archive);
    TAKE(core, retention_ms);
    TAKE(j, segment_bytes);
    TAKE(j, segments_max);
    TAKE(j, segments_ready);
    TAKE(j, group_bytes_max);
    TAKE(j, buffer_bytes);
    TAKE(j, buffers_per_producer);
    TAKE(j, space_margin_blocks);
#undef TAKE
    core->outbox = c->odoo_url[0] != 0;
    j->mode = c->durability.mode;
    if (j->mode == JOURNAL_GROUP)
        j->group_ms = c->durability.group_ms;
}

// A limit without an option of its own does not compile.
void config_to_rpc(const struct config *c, struct rpc_limits *l)
{
#define X(name, value, help) l->name = (uint32_t)c->grpc_##name;
    RPC_LIMIT_TABLE(X)
#undef X
}
