/* Four threads make random calls on engines that they make, stop and free under each other's hands. Arguments: seconds, seed. What is
 * checked: no crash, no call that never returns, no answer outside of the list; a race detector watches. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "bridge.h"
#include "check.h"

enum { THREADS = 4, ENGINES = 3, FLOWS = 64 };

static BridgeEngine *engines[ENGINES];
static uint64_t flows[FLOWS];
static unsigned next_flow;
static time_t until;

static void remember(uint64_t flow) {
    unsigned at = __atomic_fetch_add(&next_flow, 1, __ATOMIC_RELAXED) % FLOWS;
    __atomic_store_n(&flows[at], flow, __ATOMIC_RELAXED);
}

static size_t emit_packets(void *context, const BridgePacket *packets, size_t count) {
    (void)context;
    size_t bytes = 0;
    for (size_t n = 0; n < count; n++) bytes += packets[n].length + packets[n].bytes[0];
    return bytes % 7 ? count : count / 2;
}

static void request_dial(void *context, uint64_t flow, const BridgeAddress *client, const BridgeAddress *server, const char *name) {
    (void)context, (void)client, (void)server, (void)name;
    remember(flow);
}

static size_t tcp_send(void *context, uint64_t flow, const uint8_t *bytes, size_t length) {
    (void)context, (void)bytes;
    return flow % 3 ? length : length / 2;
}

static int32_t udp_send(void *context, uint64_t flow, const BridgeAddress *to, const uint8_t *bytes, size_t length) {
    (void)context, (void)to, (void)bytes;
    return (flow + length) % 5 != 0;
}

static void log_line(void *context, BridgeLogLevel level, const char *message) {
    CHECK(context == &engines && level <= 4 && message);
    /* A sink may look, and bring something in. */
    BridgeEngine *engine = __atomic_load_n(&engines[level % ENGINES], __ATOMIC_RELAXED);
    BridgeCounters counters = {.size = sizeof counters};
    CHECK(BridgeEngineGetCounters(engine, &counters) <= 0);
    CHECK(BridgeEngineTcpRoom(engine, level) < 0 && BridgeEngineOnPathChange(engine) <= 0);
}

static void flow_close(void *context, uint64_t flow, const BridgeClose *close) {
    (void)context, (void)flow, (void)close;
}

static uint16_t sum(uint32_t start, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i += 2) start += (uint32_t)bytes[i] << 8 | (i + 1 < length ? bytes[i + 1] : 0u);
    while (start >> 16) start = (start & 0xffff) + (start >> 16);
    return (uint16_t)~start;
}

static size_t make_packet(uint8_t *bytes, uint32_t dice) {
    bool udp = dice & 1;
    size_t head = udp ? 8 : 20, length = 20 + head + (dice >> 8 & 63);
    memset(bytes, 0, length);
    const uint8_t ip[20] = {0x45, 0, 0, (uint8_t)length, 0, 0, 0, 0, 64, udp ? 17 : 6, 0, 0, 10, 0, 0, 2, 192, 0, 2, 1};
    memcpy(bytes, ip, 20);
    bytes[20] = 0x90, bytes[21] = dice >> 16 & 15, bytes[23] = udp ? 53 : 80;
    if (udp)
        bytes[25] = (uint8_t)(length - 20);
    else
        bytes[27] = dice >> 4 & 3, bytes[32] = 5 << 4, bytes[33] = dice & 2 ? 2 : dice >> 20 & 0x17, bytes[34] = 0xff;
    uint16_t check = sum(0, bytes, 20);
    bytes[10] = check >> 8, bytes[11] = (uint8_t)check;
    uint32_t pseudo = (udp ? 17u : 6u) + (uint32_t)length - 20;
    for (int i = 12; i < 20; i += 2) pseudo += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    check = sum(pseudo, bytes + 20, length - 20);
    size_t at = 20 + (udp ? 6 : 16);
    bytes[at] = check >> 8, bytes[at + 1] = (uint8_t)check;
    return length;
}

static BridgeEngine *make(uint32_t dice) {
    BridgeConfig config = {.size = sizeof config, .host_driven = dice & 1, .tcp_limit = 16, .close_on_path_change = dice & 2,
                           .dns_interception = dice >> 2 & 1};
    BridgeCallbacks callbacks = {
        .size = sizeof callbacks, .emit_packets = emit_packets, .request_tcp_dial = request_dial, .request_udp_dial = request_dial,
        .tcp_send = tcp_send, .udp_send = udp_send, .tcp_close = flow_close, .udp_close = flow_close,
    };
    BridgeEngine *engine = BridgeNewEngine(&config, &callbacks, NULL);
    CHECK(engine);
    return engine;
}

static void *hammer(void *context) {
    uint64_t state = *(uint64_t *)context;
    uint8_t bytes[4096] = {0};
    for (uint64_t calls = 0; calls % 64 || time(NULL) < until; calls++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint32_t dice = (uint32_t)(state >> 33);
        BridgeEngine **slot = &engines[dice % ENGINES];
        BridgeEngine *engine = __atomic_load_n(slot, __ATOMIC_RELAXED);
        uint64_t flow = __atomic_load_n(&flows[dice >> 4 & (FLOWS - 1)], __ATOMIC_RELAXED);
        int64_t answer = 0;
        switch (dice >> 10 & 63) {
        case 0:
            if (calls % 32 == 0) {
                /* Somebody else may be using the old one: its handle is then bad, no more. */
                BridgeEngine *old = __atomic_exchange_n(slot, make(dice >> 3), __ATOMIC_RELAXED);
                answer = BridgeFreeEngine(old);
            }
            break;
        case 1: answer = calls % 8 ? 0 : BridgeEngineStop(engine); break;
        case 2: case 3: answer = BridgeEngineStart(engine); break;
        case 4: answer = BridgeEngineOnTcpClose(engine, flow, dice >> 16 & 3); break;
        case 5: answer = BridgeEngineOnUdpClose(engine, flow, dice >> 16 & 3); break;
        case 6: answer = BridgeEngineOnBlocked(engine, flow); break;
        case 7: case 8: answer = BridgeEngineOnWritable(engine, flow); break;
        case 9: answer = BridgeEngineOnPathChange(engine); break;
        case 10: answer = BridgeEngineTcpRoom(engine, flow); break;
        case 11: {
            BridgeCounters counters = {.size = sizeof counters};
            answer = BridgeEngineGetCounters(engine, &counters);
            break;
        }
        case 12: answer = BridgeEngineGetStats(engine, (char *)bytes, sizeof bytes); break;
        case 13: answer = BridgeEngineRecord(engine, NULL, 0); break;
        case 14: case 15: answer = BridgeEngineOnUdpReceive(engine, flow, NULL, bytes, dice >> 16 & 1023); break;
        case 16: case 17: case 18: answer = BridgeEngineOnTcpReceive(engine, flow, bytes, dice >> 16 & 4095); break;
        case 19: case 20: case 21: answer = BridgeEngineOnDialResult(engine, flow, dice >> 16 & 1 ? 0 : dice >> 17 & 7); break;
        case 22: case 23: case 24: case 25: answer = BridgeEnginePoll(engine, 1000000 + calls * 1000); break;
        case 32: {
            /* Settings of any name and value, zeros among them, while it runs or not. */
            static const char *const names[] = {"metrics_interval", "inbox_bytes", "mtu", "udp_queue", "tcp_limit", "dial_timeout", "tcp_idle", "no_such"};
            static const char *const values[] = {"0", "1", "none", "1500", "18446744073709551615", "-1", "", "many"};
            answer = BridgeEngineSet(engine, names[dice >> 16 & 7], values[dice >> 20 & 7]);
            break;
        }
        case 33: case 34: {
            /* Packets of lengths that cannot be, without bytes, and sound ones between them. */
            BridgePacket packets[8];
            const size_t lengths[] = {0, 1, 20, 65535 + 1, SIZE_MAX, make_packet(bytes, dice)};
            size_t count = dice >> 16 & 7;
            for (size_t i = 0; i < count; i++) {
                size_t length = lengths[(dice >> i) % 6];
                packets[i] = (BridgePacket){dice >> (i + 9) & 1 ? bytes : NULL, length};
            }
            answer = BridgeEngineHandlePackets(engine, count ? packets : NULL, count);
            CHECK(answer <= (int64_t)count);
            break;
        }
        case 35: answer = BridgeEngineHandlePackets(engine, (const BridgePacket *)bytes, SIZE_MAX - (dice >> 16 & 3)); break;
        case 36: {
            BridgeAddress found[3] = {{.family = 4}, {.family = 6}, {.family = dice >> 16 & 7}};
            static const size_t counts[] = {0, 1, 3, SIZE_MAX};
            answer = BridgeEngineOnResolved(engine, dice, found, counts[dice >> 20 & 3], dice, dice >> 22 & 1 ? 0 : -18);
            break;
        }
        case 37: {
            BridgeRecording recording = {.size = dice >> 16 & 1 ? sizeof recording : dice >> 17 & 31, .snap_length = 1};
            answer = BridgeEngineRecordWith(engine, dice >> 18 & 1 ? NULL : "/dev/null", &recording);
            break;
        }
        case 38: {
            struct { uint32_t size; uint8_t room[508]; } room = {.size = dice >> 16 & 511};
            answer = dice >> 15 & 1 ? BridgeEngineGetCounters(engine, (BridgeCounters *)&room)
                                    : BridgeEngineGetDeadline(engine, (BridgeDeadline *)&room);
            break;
        }
        case 39: {
            BridgeAddress lost = {.family = 4, .octets = {10, 0, 0, 2}};
            answer = BridgeEngineOnAddressLost(engine, dice >> 16 & 1 ? &lost : NULL);
            break;
        }
        case 40: answer = calls % 16 ? 0 : BridgeSetLogSink(dice >> 16 & 1 ? log_line : NULL, &engines, dice >> 17 & 7); break;
        case 41: answer = BridgeEngineOnUdpReceive(engine, flow, NULL, bytes, SIZE_MAX >> (dice >> 16 & 3)); break;
        case 42: answer = BridgeEngineGetStats(engine, NULL, dice >> 16 & 1); break;
        default: answer = BridgeEngineHandlePacket(engine, bytes, make_packet(bytes, dice)); break;
        }
        CHECK(answer > BRIDGE_STATUS_PANICKED);
    }
    return NULL;
}

int main(int count, char **arguments) {
    CHECK(count == 3);
    until = time(NULL) + atoi(arguments[1]);
    for (int i = 0; i < ENGINES; i++) engines[i] = make((uint32_t)i);
    pthread_t threads[THREADS];
    uint64_t seeds[THREADS];
    for (int i = 0; i < THREADS; i++) {
        seeds[i] = strtoull(arguments[2], NULL, 10) * THREADS + (uint64_t)i;
        CHECK(pthread_create(&threads[i], NULL, hammer, &seeds[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    CHECK(BridgeSetLogSink(NULL, NULL, 0) == BRIDGE_STATUS_OK);
    for (int i = 0; i < ENGINES; i++) CHECK(BridgeFreeEngine(engines[i]) == BRIDGE_STATUS_OK);
    return 0;
}
