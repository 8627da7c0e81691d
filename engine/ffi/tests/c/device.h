/* A device of one address: IPv4, TCP without options, UDP. It hears through device_packets, on whatever thread, and acts on the
 * thread of the test. The tunnel loses nothing, so it repeats nothing. */
#ifndef DEVICE_H
#define DEVICE_H

#include <pthread.h>
#include <stdbool.h>

#include "bridge.h"

struct tcp {
    uint16_t port, server_port;
    uint32_t next, acked, expected; /* SND.NXT, SND.UNA, RCV.NXT */
    uint32_t window;                /* what the engine offers */
    bool open, heard_fin, heard_reset;
    uint8_t *heard;
    size_t heard_length, heard_room;
};

struct device {
    BridgeEngine *engine;
    pthread_mutex_t mutex;
    pthread_cond_t news;
    struct tcp *tcp[16];
    size_t tcp_count;
    uint8_t datagram[2048]; /* the last one heard */
    size_t datagram_length;
    unsigned datagrams;
};

void device_begin(struct device *device);
void device_end(struct device *device);
size_t device_packets(void *device, const BridgePacket *packets, size_t count);

/* Each waits for what it names, and gives up after 60 s: under valgrind all is slow. */
void tcp_begin(struct device *device, struct tcp *tcp, uint16_t port, uint16_t server_port);
void tcp_connect(struct device *device, struct tcp *tcp);
void tcp_write(struct device *device, struct tcp *tcp, const uint8_t *bytes, size_t length);
void tcp_finish(struct device *device, struct tcp *tcp);
void tcp_await_heard(struct device *device, struct tcp *tcp, size_t length);
void tcp_await_fin(struct device *device, struct tcp *tcp);
void tcp_await_reset(struct device *device, struct tcp *tcp);
void tcp_end(struct tcp *tcp);
void udp_write(struct device *device, uint16_t port, uint16_t server_port, const uint8_t *bytes, size_t length);
void udp_await(struct device *device, unsigned datagrams);

#endif
