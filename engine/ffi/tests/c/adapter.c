#define _GNU_SOURCE
#include "adapter.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

static void poke(struct adapter *adapter) {
    char one = 1;
    ssize_t wrote = write(adapter->wake[1], &one, 1);
    (void)wrote; /* full: it is awake */
}

static struct connection *of_flow(struct adapter *adapter, uint64_t flow) {
    for (int i = 0; i < CONNECTIONS; i++)
        if (adapter->connections[i].phase != FREE && adapter->connections[i].flow == flow)
            return &adapter->connections[i];
    return NULL;
}

static void discard(struct connection *connection, bool reset) {
    if (connection->fd >= 0) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        if (reset && !connection->udp)
            setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(connection->fd);
    }
    free(connection->pending);
    memset(connection, 0, sizeof *connection);
}

/* Callbacks: on the engine's thread. */

static size_t emit_packets(void *context, const BridgePacket *packets, size_t count) {
    struct adapter *adapter = context;
    return adapter->packets(adapter->device, packets, count);
}

static void request_dial(struct adapter *adapter, uint64_t flow, const BridgeAddress *server, bool udp) {
    pthread_mutex_lock(&adapter->mutex);
    adapter->dials++;
    struct connection *connection = NULL;
    for (int i = 0; i < CONNECTIONS && !connection; i++)
        if (adapter->connections[i].phase == FREE) connection = &adapter->connections[i];
    struct sockaddr_in to = adapter->route(server);
    int fd = connection && to.sin_port ? socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK, 0) : -1;
    if (fd < 0) {
        pthread_mutex_unlock(&adapter->mutex);
        /* From within a callback: allowed. */
        CHECK(BridgeEngineOnDialResult(adapter->engine, flow, BRIDGE_DIAL_RESULT_REFUSED) == BRIDGE_STATUS_OK);
        return;
    }
    /* A kernel that takes megabytes would hide what back-pressure does. */
    int small = 16384;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    memset(connection, 0, sizeof *connection);
    connection->phase = DIALING;
    connection->id = ++adapter->last_id;
    connection->flow = flow;
    connection->udp = udp;
    connection->fd = fd;
    connection->pending = malloc(SEND_LIMIT);
    CHECK(connection->pending != NULL);
    int came = connect(fd, (struct sockaddr *)&to, sizeof to);
    CHECK(came == 0 || errno == EINPROGRESS || errno == ECONNREFUSED);
    poke(adapter);
    pthread_mutex_unlock(&adapter->mutex);
}

static void request_tcp_dial(void *context, uint64_t flow, const BridgeAddress *client, const BridgeAddress *server, const char *name) {
    (void)client, (void)name;
    request_dial(context, flow, server, false);
}

static void request_udp_dial(void *context, uint64_t flow, const BridgeAddress *client, const BridgeAddress *server, const char *name) {
    (void)client, (void)name;
    request_dial(context, flow, server, true);
}

static size_t tcp_send(void *context, uint64_t flow, const uint8_t *bytes, size_t length) {
    struct adapter *adapter = context;
    pthread_mutex_lock(&adapter->mutex);
    struct connection *connection = of_flow(adapter, flow);
    CHECK(connection && connection->phase == OPEN && !connection->device_ended);
    size_t room = SEND_LIMIT - connection->pending_length;
    size_t taken = length < room ? length : room;
    memcpy(connection->pending + connection->pending_length, bytes, taken);
    connection->pending_length += taken;
    if (taken < length) {
        connection->blocked = true;
        adapter->blocked++;
        if (adapter->on_blocked) adapter->on_blocked();
    }
    poke(adapter);
    pthread_mutex_unlock(&adapter->mutex);
    return taken;
}

static int32_t udp_send(void *context, uint64_t flow, const BridgeAddress *to, const uint8_t *bytes, size_t length) {
    struct adapter *adapter = context;
    (void)to;
    pthread_mutex_lock(&adapter->mutex);
    struct connection *connection = of_flow(adapter, flow);
    CHECK(connection && connection->udp);
    ssize_t sent = send(connection->fd, bytes, length, 0);
    pthread_mutex_unlock(&adapter->mutex);
    return sent >= 0;
}

static void flow_close(void *context, uint64_t flow, const BridgeClose *close) {
    struct adapter *adapter = context;
    pthread_mutex_lock(&adapter->mutex);
    adapter->closes++;
    adapter->last_close = *close;
    struct connection *connection = of_flow(adapter, flow);
    if (connection) {
        /* In order: what was accepted is still sent. Otherwise at once, and the far side sees a reset. */
        if (close->how == BRIDGE_HOW_FIN && !connection->udp && connection->pending_length > 0)
            connection->phase = CLOSING;
        else
            discard(connection, close->how != BRIDGE_HOW_FIN);
    }
    poke(adapter);
    pthread_mutex_unlock(&adapter->mutex);
}

static void tcp_half_close(void *context, uint64_t flow) {
    struct adapter *adapter = context;
    pthread_mutex_lock(&adapter->mutex);
    adapter->half_closes++;
    struct connection *connection = of_flow(adapter, flow);
    CHECK(connection && !connection->device_ended);
    connection->device_ended = true;
    poke(adapter);
    pthread_mutex_unlock(&adapter->mutex);
}

static void tcp_resume(void *context, uint64_t flow, size_t room) {
    struct adapter *adapter = context;
    CHECK(room > 0);
    pthread_mutex_lock(&adapter->mutex);
    struct connection *connection = of_flow(adapter, flow);
    if (connection) connection->paused = false;
    poke(adapter);
    pthread_mutex_unlock(&adapter->mutex);
}

static void record_dns(void *context, const BridgeDnsRecord *record) {
    struct adapter *adapter = context;
    CHECK(record->name && record->count > 0 && record->addresses[0].family != 0);
    adapter->names++;
}

/* The adapter's thread. */

static void dialed(struct adapter *adapter, struct connection *connection) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    uint32_t result = error == 0 ? BRIDGE_DIAL_RESULT_CONNECTED
                    : error == ECONNREFUSED ? BRIDGE_DIAL_RESULT_REFUSED
                    : error == ENETUNREACH ? BRIDGE_DIAL_RESULT_NETWORK_UNREACHABLE
                    : error == ETIMEDOUT ? BRIDGE_DIAL_RESULT_TIMED_OUT
                                         : BRIDGE_DIAL_RESULT_HOST_UNREACHABLE;
    uint64_t flow = connection->flow;
    if (error == 0)
        connection->phase = OPEN;
    else
        discard(connection, false);
    BridgeStatus told = BridgeEngineOnDialResult(adapter->engine, flow, result);
    CHECK(told == BRIDGE_STATUS_OK || told == BRIDGE_STATUS_STALE_FLOW || told == BRIDGE_STATUS_STOPPED);
}

static void offer(struct adapter *adapter, struct connection *connection) {
    int64_t taken = BridgeEngineOnTcpReceive(adapter->engine, connection->flow, connection->unread, connection->unread_length);
    if (taken < 0) { /* it has ended; its close is on the way */
        connection->unread_length = 0;
        connection->far_ended = true;
        return;
    }
    connection->unread_length -= (size_t)taken;
    memmove(connection->unread, connection->unread + taken, connection->unread_length);
    if (connection->unread_length > 0) {
        connection->paused = true;
        adapter->paused++;
    }
}

static void far_end(struct adapter *adapter, struct connection *connection, uint32_t end) {
    connection->far_ended = true;
    if (connection->udp)
        BridgeEngineOnUdpClose(adapter->engine, connection->flow, end);
    else
        BridgeEngineOnTcpClose(adapter->engine, connection->flow, end);
}

static void readable(struct adapter *adapter, struct connection *connection) {
    ssize_t got = recv(connection->fd, connection->unread, READ_SIZE, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got < 0)
        far_end(adapter, connection, errno == ECONNRESET ? BRIDGE_END_RESET : BRIDGE_END_ERROR);
    else if (connection->udp)
        BridgeEngineOnUdpReceive(adapter->engine, connection->flow, NULL, connection->unread, (size_t)got);
    else if (got == 0)
        far_end(adapter, connection, BRIDGE_END_EOF);
    else {
        connection->unread_length = (size_t)got;
        offer(adapter, connection);
    }
}

static void writable(struct adapter *adapter, struct connection *connection) {
    ssize_t sent = send(connection->fd, connection->pending, connection->pending_length, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (sent < 0) {
        connection->pending_length = 0;
        if (!connection->far_ended) far_end(adapter, connection, errno == ECONNRESET ? BRIDGE_END_RESET : BRIDGE_END_ERROR);
        return;
    }
    connection->pending_length -= (size_t)sent;
    memmove(connection->pending, connection->pending + sent, connection->pending_length);
    if (connection->blocked && connection->phase == OPEN) {
        connection->blocked = false;
        BridgeEngineOnWritable(adapter->engine, connection->flow);
    }
}

/* What is due without any event of the socket. */
static void settle(struct adapter *adapter, struct connection *connection) {
    if (connection->phase == OPEN && connection->unread_length > 0 && !connection->paused) offer(adapter, connection);
    if (connection->pending_length > 0 || connection->udp) return;
    if (connection->phase == CLOSING)
        discard(connection, false);
    else if (connection->phase == OPEN && connection->device_ended && !connection->shut) {
        shutdown(connection->fd, SHUT_WR);
        connection->shut = true;
    }
}

static short wanted(const struct connection *connection) {
    if (connection->phase == DIALING) return POLLOUT;
    short events = connection->pending_length > 0 ? POLLOUT : 0;
    bool reads = connection->phase == OPEN && !connection->far_ended && connection->unread_length == 0;
    return events | (reads ? POLLIN : 0);
}

static void *run(void *context) {
    struct adapter *adapter = context;
    pthread_mutex_lock(&adapter->mutex);
    while (!adapter->stop) {
        struct pollfd polls[CONNECTIONS + 1] = {{.fd = adapter->wake[0], .events = POLLIN}};
        uint64_t ids[CONNECTIONS + 1] = {0};
        nfds_t count = 1;
        for (int i = 0; i < CONNECTIONS; i++) {
            struct connection *connection = &adapter->connections[i];
            if (connection->phase != FREE) settle(adapter, connection);
            if (connection->phase == FREE || wanted(connection) == 0) continue;
            polls[count].fd = connection->fd;
            polls[count].events = wanted(connection);
            ids[count++] = connection->id;
        }
        pthread_mutex_unlock(&adapter->mutex);
        poll(polls, count, -1);
        pthread_mutex_lock(&adapter->mutex);
        char drain[64];
        while (polls[0].revents && read(adapter->wake[0], drain, sizeof drain) == sizeof drain) {}
        for (nfds_t n = 1; n < count; n++)
            for (int i = 0; i < CONNECTIONS; i++) {
                struct connection *connection = &adapter->connections[i];
                /* A callback may have closed it meanwhile, or another may have its place. */
                if (connection->phase == FREE || connection->id != ids[n] || !polls[n].revents) continue;
                if (connection->phase == DIALING) {
                    dialed(adapter, connection);
                    continue;
                }
                if (polls[n].revents & POLLOUT) writable(adapter, connection);
                bool reads = connection->phase == OPEN && !connection->far_ended && connection->unread_length == 0;
                if (reads && polls[n].revents & (POLLIN | POLLHUP | POLLERR)) readable(adapter, connection);
            }
    }
    pthread_mutex_unlock(&adapter->mutex);
    return NULL;
}

void adapter_begin(struct adapter *adapter) {
    pthread_mutex_init(&adapter->mutex, NULL);
    CHECK(pipe2(adapter->wake, O_NONBLOCK) == 0);
    CHECK(pthread_create(&adapter->thread, NULL, run, adapter) == 0);
}

void adapter_callbacks(struct adapter *adapter, BridgeCallbacks *callbacks) {
    *callbacks = (BridgeCallbacks){
        .size = sizeof *callbacks,
        .context = adapter,
        .emit_packets = emit_packets,
        .request_tcp_dial = request_tcp_dial,
        .request_udp_dial = request_udp_dial,
        .tcp_send = tcp_send,
        .udp_send = udp_send,
        .tcp_close = flow_close,
        .udp_close = flow_close,
        .record_dns = record_dns,
        .tcp_half_close = tcp_half_close,
        .tcp_resume = tcp_resume,
    };
}

void adapter_end(struct adapter *adapter) {
    pthread_mutex_lock(&adapter->mutex);
    adapter->stop = true;
    poke(adapter);
    pthread_mutex_unlock(&adapter->mutex);
    pthread_join(adapter->thread, NULL);
    for (int i = 0; i < CONNECTIONS; i++)
        if (adapter->connections[i].phase != FREE) discard(&adapter->connections[i], true);
    close(adapter->wake[0]);
    close(adapter->wake[1]);
    pthread_mutex_destroy(&adapter->mutex);
}
