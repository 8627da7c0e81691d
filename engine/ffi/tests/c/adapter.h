/* A dialer with real sockets behind the callbacks of bridge.h, and a model of what a Swift owner of NWConnection objects keeps for
 * each flow: the number of its connection, bytes accepted and not yet sent, whether the engine was told to wait, bytes read
 * and not yet taken, which directions have ended, whether it is closed.
 *
 *   engine's thread                    adapter's thread
 *   callbacks ──> connection ──(mutex)──> poll, read, write ──> BridgeEngineOn...
 */
#ifndef ADAPTER_H
#define ADAPTER_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>

#include "bridge.h"

/* Bytes accepted from the engine and not yet sent, at the most: what NWConnection would hold between send and its completion. */
#define SEND_LIMIT 65536
#define READ_SIZE 16384
#define CONNECTIONS 64

enum phase { FREE, DIALING, OPEN, CLOSING };

struct connection {
    enum phase phase;
    uint64_t id;   /* of the connection, never used again */
    uint64_t flow; /* of the engine */
    bool udp;
    int fd;
    uint8_t *pending; /* accepted, not yet sent */
    size_t pending_length;
    bool blocked;      /* the engine waits for OnWritable */
    bool device_ended; /* shut the write side down once all is sent */
    bool shut;         /* done */
    uint8_t unread[READ_SIZE]; /* read, not yet taken by the engine */
    size_t unread_length;
    bool paused;    /* nothing is read until tcp_resume */
    bool far_ended; /* the far side's end was told */
};

struct adapter {
    BridgeEngine *engine;
    /* Where a destination really is; port 0: refused without a try. */
    struct sockaddr_in (*route)(const BridgeAddress *server);
    /* Who gets the packets for the device. */
    size_t (*packets)(void *device, const BridgePacket *packets, size_t count);
    void *device;

    pthread_mutex_t mutex;
    pthread_t thread;
    int wake[2];
    bool stop;
    uint64_t last_id;
    struct connection connections[CONNECTIONS];

    /* What was seen, for the tests. */
    unsigned dials, closes, half_closes, names, blocked, paused;
    BridgeClose last_close;
    void (*on_blocked)(void);
};

void adapter_begin(struct adapter *adapter);
void adapter_callbacks(struct adapter *adapter, BridgeCallbacks *callbacks);
/* After BridgeEngineStop: no callback comes any more. */
void adapter_end(struct adapter *adapter);

#endif
