#define _GNU_SOURCE
#include "device.h"

#include <string.h>
#include <time.h>

#include "check.h"

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };
enum { MSS = 1400, WINDOW = 60000 };

static const uint8_t CLIENT[4] = {10, 0, 0, 2}, SERVER[4] = {198, 51, 100, 7};

static void put16(uint8_t *at, uint16_t value) { at[0] = value >> 8, at[1] = (uint8_t)value; }
static void put32(uint8_t *at, uint32_t value) { put16(at, value >> 16), put16(at + 2, (uint16_t)value); }
static uint16_t get16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }
static uint32_t get32(const uint8_t *at) { return (uint32_t)get16(at) << 16 | get16(at + 2); }

static uint32_t add(uint32_t sum, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i + 1 < length; i += 2) sum += get16(bytes + i);
    return length % 2 ? sum + ((uint32_t)bytes[length - 1] << 8) : sum;
}

static uint16_t checksum(uint32_t sum) {
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void send_packet(struct device *device, uint8_t protocol, const uint8_t *segment, size_t length) {
    uint8_t packet[2048] = {0x45};
    CHECK(length + 20 <= sizeof packet);
    put16(packet + 2, (uint16_t)(length + 20));
    packet[8] = 64, packet[9] = protocol;
    memcpy(packet + 12, CLIENT, 4), memcpy(packet + 16, SERVER, 4);
    put16(packet + 10, checksum(add(0, packet, 20)));
    memcpy(packet + 20, segment, length);
    uint32_t sum = add(protocol + (uint32_t)length, packet + 12, 8);
    put16(packet + 20 + (protocol == 6 ? 16 : 6), checksum(add(sum, segment, length)));
    CHECK(BridgeEngineHandlePacket(device->engine, packet, length + 20) == BRIDGE_STATUS_OK);
}

static void send_segment(struct device *device, struct tcp *tcp, uint8_t flags, const uint8_t *bytes, size_t length) {
    uint8_t segment[20 + MSS] = {0};
    put16(segment, tcp->port), put16(segment + 2, tcp->server_port);
    put32(segment + 4, tcp->next), put32(segment + 8, flags & ACK ? tcp->expected : 0);
    segment[12] = 5 << 4, segment[13] = flags;
    put16(segment + 14, WINDOW);
    if (length) memcpy(segment + 20, bytes, length);
    send_packet(device, 6, segment, 20 + length);
    tcp->next += (uint32_t)length + !!(flags & (SYN | FIN));
}

static void hear_segment(struct device *device, struct tcp *tcp, const uint8_t *segment, size_t length) {
    uint8_t flags = segment[13];
    size_t header = (size_t)(segment[12] >> 4) * 4;
    CHECK(header >= 20 && header <= length);
    size_t payload = length - header;
    tcp->window = get16(segment + 14);
    if (flags & ACK && (int32_t)(get32(segment + 8) - tcp->acked) > 0) tcp->acked = get32(segment + 8);
    if (flags & RST) tcp->heard_reset = true;
    if (flags & RST) return;
    if (flags & SYN) {
        tcp->expected = get32(segment + 4) + 1;
        tcp->open = true;
    } else if (payload == 0 && !(flags & FIN)) {
        return;
    } else if (get32(segment + 4) == tcp->expected) {
        if (tcp->heard_length + payload > tcp->heard_room) {
            tcp->heard_room = 2 * (tcp->heard_length + payload);
            tcp->heard = realloc(tcp->heard, tcp->heard_room);
            CHECK(tcp->heard != NULL);
        }
        if (payload) memcpy(tcp->heard + tcp->heard_length, segment + header, payload);
        tcp->heard_length += payload;
        tcp->expected += (uint32_t)payload + !!(flags & FIN);
        if (flags & FIN) tcp->heard_fin = true;
    }
    /* From within emit_packets: allowed. */
    send_segment(device, tcp, ACK, NULL, 0);
}

size_t device_packets(void *context, const BridgePacket *packets, size_t count) {
    struct device *device = context;
    CHECK(count >= 1 && count <= 64);
    pthread_mutex_lock(&device->mutex);
    for (size_t n = 0; n < count; n++) {
        const uint8_t *packet = packets[n].bytes;
        size_t length = packets[n].length;
        CHECK(length >= 28 && packet[0] == 0x45 && get16(packet + 2) == length);
        CHECK(memcmp(packet + 16, CLIENT, 4) == 0);
        const uint8_t *segment = packet + 20;
        if (packet[9] == 17) {
            device->datagram_length = length - 28;
            CHECK(device->datagram_length <= sizeof device->datagram);
            memcpy(device->datagram, segment + 8, length - 28);
            device->datagrams++;
        }
        for (size_t t = 0; packet[9] == 6 && t < device->tcp_count; t++)
            if (get16(segment + 2) == device->tcp[t]->port) hear_segment(device, device->tcp[t], segment, length - 20);
    }
    pthread_cond_broadcast(&device->news);
    pthread_mutex_unlock(&device->mutex);
    return count;
}

/* With the mutex: waits for news, until the test has taken too long. */
static void wait_news(struct device *device) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    CHECK(pthread_cond_timedwait(&device->news, &device->mutex, &until) == 0);
}

#define AWAIT(fact)                            \
    do {                                       \
        pthread_mutex_lock(&device->mutex);    \
        while (!(fact)) wait_news(device);     \
        pthread_mutex_unlock(&device->mutex);  \
    } while (0)

void device_begin(struct device *device) {
    pthread_mutex_init(&device->mutex, NULL);
    pthread_cond_init(&device->news, NULL);
}

void device_end(struct device *device) {
    pthread_cond_destroy(&device->news);
    pthread_mutex_destroy(&device->mutex);
}

void tcp_begin(struct device *device, struct tcp *tcp, uint16_t port, uint16_t server_port) {
    *tcp = (struct tcp){.port = port, .server_port = server_port, .next = 7000u * port};
    tcp->acked = tcp->next;
    pthread_mutex_lock(&device->mutex);
    CHECK(device->tcp_count < 16);
    device->tcp[device->tcp_count++] = tcp;
    send_segment(device, tcp, SYN, NULL, 0);
    pthread_mutex_unlock(&device->mutex);
}

void tcp_connect(struct device *device, struct tcp *tcp) { AWAIT(tcp->open); }

void tcp_write(struct device *device, struct tcp *tcp, const uint8_t *bytes, size_t length) {
    pthread_mutex_lock(&device->mutex);
    while (length > 0) {
        size_t in_flight = tcp->next - tcp->acked;
        size_t room = tcp->window > in_flight ? tcp->window - in_flight : 0;
        size_t now = length < room ? length : room;
        if (now > MSS) now = MSS;
        if (now == 0) {
            wait_news(device);
            continue;
        }
        send_segment(device, tcp, ACK | PSH, bytes, now);
        bytes += now, length -= now;
    }
    pthread_mutex_unlock(&device->mutex);
}

void tcp_finish(struct device *device, struct tcp *tcp) {
    pthread_mutex_lock(&device->mutex);
    send_segment(device, tcp, FIN | ACK, NULL, 0);
    pthread_mutex_unlock(&device->mutex);
}

void tcp_await_heard(struct device *device, struct tcp *tcp, size_t length) { AWAIT(tcp->heard_length >= length); }
void tcp_await_fin(struct device *device, struct tcp *tcp) { AWAIT(tcp->heard_fin); }
void tcp_await_reset(struct device *device, struct tcp *tcp) { AWAIT(tcp->heard_reset); }
void udp_await(struct device *device, unsigned datagrams) { AWAIT(device->datagrams >= datagrams); }
void tcp_end(struct tcp *tcp) { free(tcp->heard); }

void udp_write(struct device *device, uint16_t port, uint16_t server_port, const uint8_t *bytes, size_t length) {
    uint8_t datagram[2000] = {0};
    put16(datagram, port), put16(datagram + 2, server_port), put16(datagram + 4, (uint16_t)(length + 8));
    memcpy(datagram + 8, bytes, length);
    send_packet(device, 17, datagram, length + 8);
}
