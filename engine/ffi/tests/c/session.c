/* A whole session over the ABI, against servers on this host: uploads with back-pressure, both sides' half-close, a reset, a refused dial,
 * datagrams, a path change, names, a recording, a restart. Takes the path to record to; says nothing if all holds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adapter.h"
#include "check.h"
#include "device.h"

enum { ECHO = 7, SLOW = 8, RESETS = 9, GREETS = 10, REFUSES = 11, SERVERS = 12 };
enum { UPLOAD = 300000 };

static uint16_t ports[SERVERS]; /* in network order, by what the device asks for */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool blocked_seen;
static unsigned logged;

static void log_line(void *context, uint32_t level, const char *message) {
    CHECK(context == &logged && level <= 2 && strlen(message) > 0);
    __atomic_fetch_add(&logged, 1, __ATOMIC_RELAXED);
}

static void on_blocked(void) {
    pthread_mutex_lock(&mutex);
    blocked_seen = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static struct sockaddr_in route(const BridgeAddress *server) {
    CHECK(server->family == 4 && server->octets[0] == 198 && server->octets[3] == 7);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (server->port < SERVERS) to.sin_port = ports[server->port];
    return to;
}

static int bound(int type, uint16_t *port) {
    int fd = socket(AF_INET, type, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof here;
    int small = 16384;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&here, sizeof here) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&here, &length) == 0);
    *port = here.sin_port;
    return fd;
}

static void write_all(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        CHECK(sent > 0);
        bytes += sent, length -= (size_t)sent;
    }
}

/* One server for each kind, each for one connection. */
struct server {
    int kind, listener;
    pthread_t thread;
};

static void *serve(void *context) {
    struct server *server = context;
    int fd = accept(server->listener, NULL, NULL);
    CHECK(fd >= 0);
    char buffer[8192];
    ssize_t got;
    size_t total = 0;
    switch (server->kind) {
    case ECHO:
        while ((got = recv(fd, buffer, sizeof buffer, 0)) > 0) write_all(fd, buffer, (size_t)got);
        CHECK(got == 0);
        break;
    case SLOW:
        /* Reads nothing until the engine was told to wait: then all must still come. */
        pthread_mutex_lock(&mutex);
        while (!blocked_seen) pthread_cond_wait(&changed, &mutex);
        pthread_mutex_unlock(&mutex);
        while ((got = recv(fd, buffer, sizeof buffer, 0)) > 0) total += (size_t)got;
        CHECK(got == 0 && total == UPLOAD);
        write_all(fd, "all of it", 9);
        break;
    case RESETS: {
        CHECK(recv(fd, buffer, 1, 0) == 1);
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        break;
    }
    case GREETS:
        /* Ends its side first, and still reads what comes. */
        write_all(fd, "hello", 5);
        shutdown(fd, SHUT_WR);
        while ((got = recv(fd, buffer, sizeof buffer, 0)) > 0) total += (size_t)got;
        CHECK(got == 0 && total == 6);
        break;
    }
    close(fd);
    return NULL;
}

static void start(struct server *server, int kind) {
    server->kind = kind;
    server->listener = bound(SOCK_STREAM, &ports[kind]);
    CHECK(listen(server->listener, 4) == 0);
    CHECK(pthread_create(&server->thread, NULL, serve, server) == 0);
}

static void finish(struct server *server) {
    pthread_join(server->thread, NULL);
    close(server->listener);
}

static void *echo_datagrams(void *context) {
    int fd = *(int *)context;
    char buffer[2048];
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    for (int n = 0; n < 3; n++) {
        ssize_t got = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &length);
        CHECK(got >= 0);
        CHECK(sendto(fd, buffer, (size_t)got, 0, (struct sockaddr *)&from, length) == got);
    }
    return NULL;
}

/* Waits until the engine has closed so many flows. */
static void await_closes(struct adapter *adapter, unsigned closes) {
    for (int tenth = 0; tenth < 600; tenth++) {
        pthread_mutex_lock(&adapter->mutex);
        bool reached = adapter->closes >= closes;
        pthread_mutex_unlock(&adapter->mutex);
        if (reached) return;
        usleep(100000);
    }
    CHECK(!"the flows were closed");
}

static void streams(struct device *device, struct adapter *adapter) {
    uint8_t *bytes = malloc(UPLOAD);
    CHECK(bytes != NULL);
    for (size_t i = 0; i < UPLOAD; i++) bytes[i] = (uint8_t)(i * 31 >> 3);

    struct tcp echo, slow, reset, greeted, refused;
    tcp_begin(device, &echo, 40001, ECHO);
    tcp_connect(device, &echo);
    tcp_write(device, &echo, bytes, UPLOAD);
    tcp_finish(device, &echo);
    tcp_await_fin(device, &echo);
    CHECK(echo.heard_length == UPLOAD && memcmp(echo.heard, bytes, UPLOAD) == 0);
    await_closes(adapter, 1);
    CHECK(adapter->last_close.how == BRIDGE_HOW_FIN && adapter->last_close.by == BRIDGE_BY_DEVICE);

    tcp_begin(device, &slow, 40002, SLOW);
    tcp_connect(device, &slow);
    tcp_write(device, &slow, bytes, UPLOAD);
    tcp_finish(device, &slow);
    tcp_await_fin(device, &slow);
    CHECK(slow.heard_length == 9 && memcmp(slow.heard, "all of it", 9) == 0);
    await_closes(adapter, 2);
    CHECK(adapter->blocked > 0 && adapter->half_closes == 2);

    tcp_begin(device, &reset, 40003, RESETS);
    tcp_connect(device, &reset);
    tcp_write(device, &reset, bytes, 1);
    tcp_await_reset(device, &reset);
    await_closes(adapter, 3);
    CHECK(adapter->last_close.how == BRIDGE_HOW_RESET && adapter->last_close.by == BRIDGE_BY_REMOTE);

    tcp_begin(device, &greeted, 40004, GREETS);
    tcp_connect(device, &greeted);
    tcp_await_fin(device, &greeted);
    CHECK(greeted.heard_length == 5 && memcmp(greeted.heard, "hello", 5) == 0);
    tcp_write(device, &greeted, (const uint8_t *)"thanks", 6);
    tcp_finish(device, &greeted);
    await_closes(adapter, 4);
    CHECK(adapter->last_close.how == BRIDGE_HOW_FIN && adapter->last_close.by == BRIDGE_BY_REMOTE);

    tcp_begin(device, &refused, 40005, REFUSES);
    tcp_await_reset(device, &refused);
    CHECK(!refused.open);
    await_closes(adapter, 5);
    CHECK(adapter->last_close.how == BRIDGE_HOW_DIAL);

    struct tcp *all[] = {&echo, &slow, &reset, &greeted, &refused};
    for (size_t i = 0; i < 5; i++) tcp_end(all[i]);
    free(bytes);
}

static void datagrams(struct device *device) {
    const uint8_t words[3][6] = {"one", "two", "three"};
    for (unsigned n = 0; n < 3; n++) {
        size_t length = strlen((const char *)words[n]);
        udp_write(device, 5000, ECHO, words[n], length);
        udp_await(device, n + 1);
        CHECK(device->datagram_length == length && memcmp(device->datagram, words[n], length) == 0);
    }
}

int main(int count, char **arguments) {
    CHECK(count == 2);
    CHECK(BridgeVersion() == BRIDGE_ABI_VERSION);
    CHECK(BridgeSetLogSink(log_line, &logged, 2) == BRIDGE_STATUS_OK);
    struct server servers[4];
    for (int i = 0; i < 4; i++) start(&servers[i], ECHO + i);

    struct device device = {0};
    struct adapter adapter = {.route = route, .packets = device_packets, .device = &device, .on_blocked = on_blocked};
    BridgeConfig config = {.size = sizeof config, .per_flow_bytes = 65536};
    BridgeCallbacks callbacks;
    adapter_callbacks(&adapter, &callbacks);
    BridgeStatus status = BRIDGE_STATUS_PANICKED;
    BridgeEngine *engine = BridgeNewEngine(&config, &callbacks, &status);
    CHECK(engine != NULL && status == BRIDGE_STATUS_OK);
    device.engine = adapter.engine = engine;
    device_begin(&device);
    adapter_begin(&adapter);
    CHECK(BridgeEngineRecord(engine, arguments[1], 16 << 20) == BRIDGE_STATUS_OK);
    CHECK(BridgeEngineStart(engine) == BRIDGE_STATUS_OK);

    streams(&device, &adapter);
    int udp = bound(SOCK_DGRAM, &ports[ECHO]);
    pthread_t echo;
    CHECK(pthread_create(&echo, NULL, echo_datagrams, &udp) == 0);
    datagrams(&device);
    pthread_join(echo, NULL);
    close(udp);

    CHECK(BridgeEngineOnPathChange(engine) == BRIDGE_STATUS_OK);
    BridgeResolveResult *names = NULL;
    CHECK(BridgeEngineResolveHost(engine, "127.0.0.1", 60000, &names) == BRIDGE_STATUS_OK);
    CHECK(names->count == 1 && names->addresses[0].family == 4 && names->addresses[0].octets[0] == 127);
    BridgeResolveResultFree(names);

    CHECK(BridgeEngineStop(engine) == BRIDGE_STATUS_OK);
    CHECK(adapter.dials == 6 && adapter.closes == 6);
    BridgeCounters counters = {.size = sizeof counters};
    CHECK(BridgeEngineGetCounters(engine, &counters) == BRIDGE_STATUS_OK);
    CHECK(counters.tcp_flows == 0 && counters.udp_flows == 0 && counters.tcp_dial_fail == 1);
    CHECK(counters.packets_in > 400 && counters.packets_out > 400 && counters.packets_lost == 0);
    CHECK(counters.upstream_bytes == 2 * UPLOAD + 1 + 6 + 11);
    char stats[16384];
    int64_t length = BridgeEngineGetStats(engine, stats, sizeof stats);
    CHECK(length > 0 && (size_t)length == strlen(stats) && strstr(stats, "\"tcp_dials\":5,"));

    /* Once more: a stopped engine can be started again. */
    CHECK(BridgeEngineStart(engine) == BRIDGE_STATUS_OK);
    CHECK(BridgeFreeEngine(engine) == BRIDGE_STATUS_OK);
    CHECK(BridgeEngineStart(engine) == BRIDGE_STATUS_BAD_HANDLE);
    adapter_end(&adapter);
    device_end(&device);
    for (int i = 0; i < 4; i++) finish(&servers[i]);
    CHECK(BridgeSetLogSink(NULL, NULL, 0) == BRIDGE_STATUS_OK);
    CHECK(logged >= 4);
    return 0;
}
