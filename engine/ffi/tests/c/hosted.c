/* The host drives: virtual time, a mock dialer behind the callbacks, every answer to misuse, and two runs that must be equal. */
#define _DEFAULT_SOURCE
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "bridge.h"
#include "check.h"

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };
enum mode { PLAIN, REENTRANT };

struct host {
    BridgeEngine *engine;
    enum mode mode;
    uint64_t flow, udp_flow;
    size_t takes; /* bytes that tcp_send takes */
    bool takes_packets;
    unsigned refuses; /* so many datagrams */
    uint32_t isn; /* the engine's */
    unsigned packets, closes, wakes, names, metrics;
    BridgeClose close;
    char log[1 << 16]; /* everything that was called, in order */
    size_t log_length;
};

static void note(struct host *host, const char *format, ...) {
    va_list values;
    va_start(values, format);
    int length = vsnprintf(host->log + host->log_length, sizeof host->log - host->log_length, format, values);
    va_end(values);
    host->log_length += (size_t)length;
    CHECK(host->log_length < sizeof host->log);
}

/* What must be refused from within a callback, and what must not. */
static void reenter(struct host *host) {
    if (host->mode != REENTRANT) return;
    CHECK(BridgeEnginePoll(host->engine, 99) == BRIDGE_STATUS_REENTRANT);
    CHECK(BridgeEngineStart(host->engine) == BRIDGE_STATUS_REENTRANT);
    CHECK(BridgeEngineStop(host->engine) == BRIDGE_STATUS_REENTRANT);
    CHECK(BridgeFreeEngine(host->engine) == BRIDGE_STATUS_REENTRANT);
    BridgeResolveResult *names = NULL;
    CHECK(BridgeEngineResolveHost(host->engine, "localhost", 1, &names) == BRIDGE_STATUS_REENTRANT);
    BridgeCounters counters = {.size = sizeof counters};
    CHECK(BridgeEngineGetCounters(host->engine, &counters) == BRIDGE_STATUS_OK);
    CHECK(BridgeEngineTcpRoom(host->engine, 12345) < 0);
}

static size_t emit_packets(void *context, const BridgePacket *packets, size_t count) {
    struct host *host = context;
    reenter(host);
    if (!host->takes_packets) return 0;
    for (size_t n = 0; n < count; n++) {
        const uint8_t *tcp = packets[n].bytes + 20;
        note(host, "packet");
        for (size_t i = 0; i < packets[n].length; i++) note(host, "%02x", packets[n].bytes[i]);
        note(host, "\n");
        if (packets[n].bytes[9] == 6 && tcp[13] & SYN)
            host->isn = (uint32_t)tcp[4] << 24 | (uint32_t)tcp[5] << 16 | (uint32_t)tcp[6] << 8 | tcp[7];
    }
    host->packets += (unsigned)count;
    return count;
}

static void request_tcp_dial(void *context, uint64_t flow, const BridgeAddress *client, const BridgeAddress *server, const char *name) {
    struct host *host = context;
    reenter(host);
    CHECK(client->port == 40000 && server->port == 80 && server->octets[0] == 192);
    note(host, "tcp dial %llu %s\n", (unsigned long long)flow, name ? name : "");
    host->flow = flow;
}

static void request_udp_dial(void *context, uint64_t flow, const BridgeAddress *client, const BridgeAddress *server, const char *name) {
    struct host *host = context;
    (void)client, (void)name;
    note(host, "udp dial %llu %u\n", (unsigned long long)flow, server->port);
    host->udp_flow = flow;
}

static size_t tcp_send(void *context, uint64_t flow, const uint8_t *bytes, size_t length) {
    struct host *host = context;
    reenter(host);
    CHECK(flow == host->flow);
    size_t taken = length < host->takes ? length : host->takes;
    note(host, "send %zu of %zu %.*s\n", taken, length, (int)taken, (const char *)bytes);
    host->takes -= taken;
    return taken;
}

static int32_t udp_send(void *context, uint64_t flow, const BridgeAddress *to, const uint8_t *bytes, size_t length) {
    struct host *host = context;
    if (host->refuses > 0) {
        host->refuses--;
        return host->refuses % 2 ? 0 : -1;
    }
    note(host, "datagram %llu %u %.*s\n", (unsigned long long)flow, to->port, (int)length, (const char *)bytes);
    return 1;
}

static void flow_close(void *context, uint64_t flow, const BridgeClose *close) {
    struct host *host = context;
    reenter(host);
    note(host, "close %llu by %u how %u\n", (unsigned long long)flow, close->by, close->how);
    host->close = *close;
    host->closes++;
    CHECK(BridgeEngineOnWritable(host->engine, flow) < 0);
}

static void half_close(void *context, uint64_t flow) { note(context, "half close %llu\n", (unsigned long long)flow); }
static void resume(void *context, uint64_t flow, size_t room) { note(context, "resume %llu %zu\n", (unsigned long long)flow, room); }
static void resolve(void *context, uint64_t query, const char *name, uint32_t family) {
    struct host *host = context;
    note(host, "resolve %llu %s %u\n", (unsigned long long)query, name, family);
    BridgeAddress found = {.family = 4, .octets = {192, 0, 2, 77}};
    CHECK(BridgeEngineOnResolved(host->engine, query, &found, 65, 60, BRIDGE_STATUS_OK) == BRIDGE_STATUS_BAD_LENGTH);
    CHECK(BridgeEngineOnResolved(host->engine, query, NULL, 1, 60, BRIDGE_STATUS_OK) == BRIDGE_STATUS_NULL_POINTER);
    CHECK(BridgeEngineOnResolved(host->engine, query, &found, 1, 60, BRIDGE_STATUS_OK) == BRIDGE_STATUS_OK);
    host->names++;
}

static void wake(void *context) {
    struct host *host = context;
    __atomic_fetch_add(&host->wakes, 1, __ATOMIC_RELAXED);
    CHECK(BridgeEnginePoll(host->engine, 99) == BRIDGE_STATUS_REENTRANT);
    CHECK(BridgeEngineStop(host->engine) == BRIDGE_STATUS_REENTRANT);
}

static BridgeCallbacks callbacks_of(struct host *host) {
    return (BridgeCallbacks){
        .size = sizeof(BridgeCallbacks), .context = host, .emit_packets = emit_packets,
        .request_tcp_dial = request_tcp_dial, .request_udp_dial = request_udp_dial, .tcp_send = tcp_send, .udp_send = udp_send,
        .tcp_close = flow_close, .udp_close = flow_close, .tcp_half_close = half_close, .tcp_resume = resume, .wake = wake, .resolve = resolve,
    };
}

static BridgeEngine *make(struct host *host) {
    BridgeConfig config = {.size = sizeof config, .seed = 7, .host_driven = 1};
    BridgeCallbacks callbacks = callbacks_of(host);
    return host->engine = BridgeNewEngine(&config, &callbacks, NULL);
}

static uint16_t sum(uint32_t start, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i += 2) start += (uint32_t)bytes[i] << 8 | (i + 1 < length ? bytes[i + 1] : 0u);
    while (start >> 16) start = (start & 0xffff) + (start >> 16);
    return (uint16_t)~start;
}

static void packet(struct host *host, uint8_t protocol, const uint8_t *head, size_t head_length, const char *text) {
    uint8_t bytes[256] = {0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 2, 192, 0, 2, 1};
    size_t length = 20 + head_length + strlen(text);
    bytes[3] = (uint8_t)length;
    uint16_t check = sum(0, bytes, 20);
    bytes[10] = check >> 8, bytes[11] = (uint8_t)check;
    memcpy(bytes + 20, head, head_length);
    memcpy(bytes + 20 + head_length, text, strlen(text));
    uint32_t pseudo = protocol + (uint32_t)length - 20;
    for (int i = 12; i < 20; i += 2) pseudo += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    check = sum(pseudo, bytes + 20, length - 20);
    size_t at = 20 + (protocol == 6 ? 16 : 6);
    bytes[at] = check >> 8, bytes[at + 1] = (uint8_t)check;
    CHECK(BridgeEngineHandlePacket(host->engine, bytes, length) == BRIDGE_STATUS_OK);
}

static void segment(struct host *host, uint8_t flags, uint32_t seq, uint32_t ack, const char *text) {
    ack += host->isn;
    uint8_t tcp[20] = {40000 >> 8, 40000 & 255, 0, 80, seq >> 24, seq >> 16 & 255, seq >> 8 & 255, seq & 255,
                       flags & ACK ? ack >> 24 : 0, flags & ACK ? ack >> 16 & 255 : 0, flags & ACK ? ack >> 8 & 255 : 0,
                       flags & ACK ? ack & 255 : 0, 5 << 4, flags, 0xff, 0xff};
    packet(host, 6, tcp, sizeof tcp, text);
}

static void datagram(struct host *host, const char *text) {
    uint8_t udp[8] = {5000 >> 8, 5000 & 255, 0, 99, 0, (uint8_t)(8 + strlen(text))};
    packet(host, 17, udp, sizeof udp, text);
}

/* One flow from SYN to close, with every kind of input on its way. */
static void play(struct host *host) {
    host->takes = 5, host->takes_packets = true;
    CHECK(make(host));
    BridgeEngine *engine = host->engine;
    CHECK(BridgeEnginePoll(engine, 1000000) == BRIDGE_STATUS_NOT_STARTED);
    CHECK(BridgeEngineStart(engine) == BRIDGE_STATUS_OK);
    CHECK(BridgeEngineStart(engine) == BRIDGE_STATUS_ALREADY_STARTED);
    CHECK(BridgeEnginePoll(engine, 0) == BRIDGE_STATUS_BAD_ARGUMENT);
    CHECK(BridgeEnginePoll(engine, 1000000) == BRIDGE_NO_DEADLINE);
    segment(host, SYN, 100, 0, "");
    CHECK(host->wakes == 1);
    int64_t due = BridgeEnginePoll(engine, 1000000);
    CHECK(due == 1000000 + 75000000); /* the limit on dials */
    CHECK(host->flow != 0 && host->packets == 0);
    CHECK(BridgeEngineOnTcpReceive(engine, host->flow, (const uint8_t *)"x", 1) == BRIDGE_STATUS_NOT_CONNECTED);
    CHECK(BridgeEngineOnDialResult(engine, host->flow, 99) == BRIDGE_STATUS_BAD_ARGUMENT);
    CHECK(BridgeEngineOnDialResult(engine, host->flow, BRIDGE_DIAL_RESULT_CONNECTED) == BRIDGE_STATUS_OK);
    CHECK(BridgeEngineOnDialResult(engine, host->flow, BRIDGE_DIAL_RESULT_REFUSED) == BRIDGE_STATUS_DIAL_ANSWERED);
    BridgeEnginePoll(engine, 1020000);
    CHECK(host->packets == 1);
    segment(host, ACK | PSH, 101, 1, "0123456789");
    BridgeEnginePoll(engine, 1030000);
    CHECK(host->takes == 0);
    host->takes = 1000;
    CHECK(BridgeEnginePoll(engine, 1031000) > 1031000);
    CHECK(host->takes == 1000); /* blocked: nothing was offered */
    CHECK(BridgeEngineOnWritable(engine, host->flow) == BRIDGE_STATUS_OK);
    BridgeEnginePoll(engine, 1032000);
    CHECK(host->takes == 995);
    host->takes_packets = false;
    CHECK(BridgeEngineOnTcpReceive(engine, host->flow, (const uint8_t *)"answer", 6) == 6);
    unsigned before = host->packets;
    CHECK(BridgeEnginePoll(engine, 1033000) == 1033000 + 5000); /* offered again within 5 ms */
    host->takes_packets = true;
    BridgeEnginePoll(engine, 1038000);
    CHECK(host->packets > before);
    segment(host, ACK, 111, 7, "");
    CHECK(BridgeEngineOnTcpReceive(engine, host->flow, (const uint8_t *)host->log, 60000) == 60000);
    static uint8_t much[70000];
    int64_t taken = BridgeEngineOnTcpReceive(engine, host->flow, much, sizeof much);
    CHECK(taken >= 0 && taken < (int64_t)sizeof much);
    BridgeEnginePoll(engine, 1039000);
    CHECK(BridgeEngineOnTcpClose(engine, host->flow, 7) == BRIDGE_STATUS_BAD_ARGUMENT);
    CHECK(BridgeEngineOnTcpClose(engine, host->flow, BRIDGE_END_EOF) == BRIDGE_STATUS_OK);
    CHECK(BridgeEngineOnTcpReceive(engine, host->flow, much, 1) == BRIDGE_STATUS_AFTER_END);
    datagram(host, "ping");
    BridgeEnginePoll(engine, 1040000);
    CHECK(BridgeEngineOnTcpReceive(engine, host->udp_flow, much, 1) < 0);
    CHECK(BridgeEngineOnDialResult(engine, host->udp_flow, BRIDGE_DIAL_RESULT_CONNECTED) == BRIDGE_STATUS_OK);
    BridgeAddress nobody = {.family = 5};
    CHECK(BridgeEngineOnUdpReceive(engine, host->udp_flow, &nobody, much, 1) == BRIDGE_STATUS_BAD_ARGUMENT);
    CHECK(BridgeEngineOnUdpReceive(engine, host->udp_flow, NULL, much, 65530) == BRIDGE_STATUS_BAD_LENGTH);
    CHECK(BridgeEngineOnUdpReceive(engine, host->udp_flow, NULL, (const uint8_t *)"pong", 4) == BRIDGE_STATUS_OK);
    CHECK(BridgeEngineOnUdpReceive(engine, host->flow, NULL, much, 1) == BRIDGE_STATUS_WRONG_PROTOCOL);
    BridgeEnginePoll(engine, 1050000);
    segment(host, RST, 111, 0, "");
    BridgeEnginePoll(engine, 1060000);
    CHECK(host->closes == 1 && host->close.by == BRIDGE_BY_DEVICE && host->close.how == BRIDGE_HOW_RESET);
    CHECK(BridgeEngineOnTcpReceive(engine, host->flow, much, 1) == BRIDGE_STATUS_STALE_FLOW);
    CHECK(BridgeEnginePoll(engine, 5) > 0); /* time that runs back stands still */
    CHECK(BridgeEngineStop(engine) == BRIDGE_STATUS_OK);
    CHECK(host->closes == 2 && host->close.how == BRIDGE_HOW_STOPPED);
    CHECK(BridgeEngineStop(engine) == BRIDGE_STATUS_STOPPED);
    CHECK(BridgeEnginePoll(engine, 1070000) == BRIDGE_STATUS_STOPPED);
    CHECK(BridgeEngineHandlePacket(engine, much, 20) == BRIDGE_STATUS_STOPPED);
    CHECK(BridgeFreeEngine(engine) == BRIDGE_STATUS_OK);
}

static void misuse(struct host *host) {
    BridgeStatus status;
    BridgeConfig config = {.size = sizeof config, .host_driven = 1};
    BridgeCallbacks callbacks = callbacks_of(host);
    CHECK(!BridgeNewEngine(NULL, &callbacks, &status) && status == BRIDGE_STATUS_NULL_POINTER);
    CHECK(!BridgeNewEngine(&config, NULL, &status) && status == BRIDGE_STATUS_NULL_POINTER);
    CHECK(!BridgeNewEngine(&config, NULL, NULL));
    config.size = 3;
    CHECK(!BridgeNewEngine(&config, &callbacks, &status) && status == BRIDGE_STATUS_BAD_LENGTH);
    config.size = sizeof config, config.mtu = 60;
    CHECK(!BridgeNewEngine(&config, &callbacks, &status) && status == BRIDGE_STATUS_BAD_ARGUMENT);
    config.mtu = 0, callbacks.tcp_send = NULL;
    CHECK(!BridgeNewEngine(&config, &callbacks, &status) && status == BRIDGE_STATUS_NULL_POINTER);
    callbacks = callbacks_of(host);
    /* An older header, without what was added, and a newer one, with more. */
    struct { BridgeConfig known; uint8_t more[64]; } newer = {.known = {.host_driven = 1}};
    memset(newer.more, 0xff, sizeof newer.more);
    newer.known.size = sizeof newer;
    BridgeEngine *engine = BridgeNewEngine(&newer.known, &callbacks, &status);
    CHECK(engine && BridgeEngineStart(engine) == BRIDGE_STATUS_OK && BridgeEnginePoll(engine, 1) > 0);
    CHECK(BridgeFreeEngine(engine) == BRIDGE_STATUS_OK);
    /* Presets, and what is none. */
    for (uint32_t preset = BRIDGE_PRESET_DEFAULT; preset <= BRIDGE_PRESET_DESKTOP; preset++) {
        config.preset = preset;
        engine = BridgeNewEngine(&config, &callbacks, &status);
        CHECK(engine && BridgeFreeEngine(engine) == BRIDGE_STATUS_OK);
    }
    config.preset = BRIDGE_PRESET_DESKTOP + 1;
    CHECK(!BridgeNewEngine(&config, &callbacks, &status) && status == BRIDGE_STATUS_BAD_ARGUMENT);
    config.preset = BRIDGE_PRESET_DEFAULT;
    config.size = 24;
    engine = BridgeNewEngine(&config, &callbacks, &status);
    CHECK(engine && BridgeEngineStart(engine) == BRIDGE_STATUS_OK);
    CHECK(BridgeEnginePoll(engine, 1) == BRIDGE_STATUS_REENTRANT); /* it has a thread */
    uint8_t byte = 0;
    CHECK(BridgeEngineHandlePacket(engine, NULL, 20) == BRIDGE_STATUS_NULL_POINTER);
    CHECK(BridgeEngineHandlePacket(engine, &byte, 0) == BRIDGE_STATUS_BAD_LENGTH);
    CHECK(BridgeEngineHandlePacket(engine, &byte, 65536) == BRIDGE_STATUS_BAD_LENGTH);
    CHECK(BridgeEngineHandlePacket(engine, &byte, SIZE_MAX) == BRIDGE_STATUS_BAD_LENGTH);
    CHECK(BridgeEngineHandlePackets(engine, NULL, 3) == BRIDGE_STATUS_NULL_POINTER);
    CHECK(BridgeEngineHandlePackets(engine, (const BridgePacket *)&byte, SIZE_MAX / 4) == BRIDGE_STATUS_BAD_LENGTH);
    /* What is no packet finds no room, whatever of it is wrong, and is counted. */
    BridgePacket packets[5] = {{&byte, SIZE_MAX}, {&byte, 0}, {&byte, 1}, {NULL, 20}, {&byte, 65536}};
    CHECK(BridgeEngineHandlePackets(engine, packets, 5) == 1);
    BridgeCounters lost = {.size = sizeof lost};
    CHECK(BridgeEngineGetCounters(engine, &lost) == BRIDGE_STATUS_OK && lost.packets_lost == 4);
    CHECK(BridgeEngineHandlePackets(engine, NULL, 0) == 0);
    CHECK(BridgeEngineOnTcpReceive(engine, 77, NULL, 3) == BRIDGE_STATUS_NULL_POINTER);
    CHECK(BridgeEngineOnTcpReceive(engine, 77, &byte, 1) == BRIDGE_STATUS_STALE_FLOW);
    CHECK(BridgeEngineOnDialResult(engine, UINT64_MAX, 0) == BRIDGE_STATUS_STALE_FLOW);
    CHECK(BridgeEngineGetCounters(engine, NULL) == BRIDGE_STATUS_NULL_POINTER);
    BridgeCounters counters = {.size = 4};
    CHECK(BridgeEngineGetCounters(engine, &counters) == BRIDGE_STATUS_BAD_LENGTH);
    /* A caller of the first version: nothing is written behind what it has. */
    memset(&counters, 0xee, sizeof counters);
    counters.size = offsetof(BridgeCounters, datagrams_refused);
    CHECK(BridgeEngineGetCounters(engine, &counters) == BRIDGE_STATUS_OK);
    CHECK(counters.packets_lost == 4 && counters.datagrams_refused == 0xeeeeeeeeeeeeeeee);
    CHECK(counters.size == offsetof(BridgeCounters, datagrams_refused));
    char small[8] = "full";
    int64_t length = BridgeEngineGetStats(engine, small, sizeof small);
    CHECK(length > 8 && small[0] == 0 && BridgeEngineGetStats(engine, NULL, 0) >= 8);
    CHECK(BridgeEngineGetStats(engine, NULL, 9) == BRIDGE_STATUS_NULL_POINTER);
    BridgeResolveResult *names = (void *)1;
    CHECK(BridgeEngineResolveHost(engine, NULL, 10, &names) == BRIDGE_STATUS_NULL_POINTER && names == NULL);
    CHECK(BridgeEngineResolveHost(engine, "", 10, &names) == BRIDGE_STATUS_BAD_ARGUMENT);
    CHECK(BridgeEngineResolveHost(engine, "localhost", 10, NULL) == BRIDGE_STATUS_NULL_POINTER);
    CHECK(BridgeEngineResolveHost(engine, "\xff", 10, &names) == BRIDGE_STATUS_BAD_ARGUMENT);
    BridgeResolveResultFree(NULL);
    CHECK(BridgeEngineRecord(engine, "/nowhere/to/be/found", 0) == BRIDGE_STATUS_IO);
    CHECK(BridgeEngineRecord(engine, NULL, 0) == BRIDGE_STATUS_OK);
    BridgeRecording recording = {.size = 4};
    CHECK(BridgeEngineRecordWith(engine, NULL, &recording) == BRIDGE_STATUS_BAD_LENGTH);
    recording.size = sizeof recording, recording.snap_length = 64;
    CHECK(BridgeEngineRecordWith(engine, "/nowhere/to/be/found", &recording) == BRIDGE_STATUS_IO);
    CHECK(BridgeEngineRecordWith(engine, "/dev/null", NULL) == BRIDGE_STATUS_IO); /* no regular file */
    CHECK(BridgeEngineRecordWith(engine, NULL, NULL) == BRIDGE_STATUS_OK);
    CHECK(BridgeEngineOnTcpReceive(engine, 77, &byte, SIZE_MAX) == BRIDGE_STATUS_BAD_LENGTH);
    CHECK(BridgeEngineOnUdpReceive(engine, 77, NULL, &byte, SIZE_MAX) == BRIDGE_STATUS_BAD_LENGTH);
    CHECK(BridgeEngineOnUdpReceive(engine, 77, NULL, NULL, 3) == BRIDGE_STATUS_NULL_POINTER);
    CHECK(BridgeFreeEngine(engine) == BRIDGE_STATUS_OK);
    /* Freed, foreign and null handles. */
    BridgeEngine *bad[] = {engine, (BridgeEngine *)&byte, (BridgeEngine *)(uintptr_t)3};
    for (int i = 0; i < 3; i++) {
        CHECK(BridgeFreeEngine(bad[i]) == BRIDGE_STATUS_BAD_HANDLE);
        CHECK(BridgeEngineStop(bad[i]) == BRIDGE_STATUS_BAD_HANDLE);
        CHECK(BridgeEnginePoll(bad[i], 1) == BRIDGE_STATUS_BAD_HANDLE);
        CHECK(BridgeEngineHandlePacket(bad[i], &byte, 1) == BRIDGE_STATUS_BAD_HANDLE);
    }
    CHECK(BridgeFreeEngine(NULL) == BRIDGE_STATUS_NULL_POINTER);
    CHECK(BridgeEngineOnPathChange(NULL) == BRIDGE_STATUS_NULL_POINTER);
    for (int64_t code = -25; code < 3; code++) CHECK(strlen(BridgeStatusText(code)) > 0);
}

/* Settings by name, the deadline and what it is for, an address that is lost. */
static void settings(struct host *host) {
    host->takes_packets = true;
    CHECK(make(host));
    BridgeEngine *engine = host->engine;
    CHECK(BridgeEngineSet(engine, "dial_timeout", "2500000") == BRIDGE_STATUS_OK);
    CHECK(BridgeEngineSet(engine, "inbox_bytes", "100") == BRIDGE_STATUS_OK);
    CHECK(BridgeEngineSet(engine, "path_policy", "close") == BRIDGE_STATUS_OK);
    CHECK(BridgeEngineSet(engine, "path_policy", "shut") == BRIDGE_STATUS_BAD_ARGUMENT);
    CHECK(BridgeEngineSet(engine, "mtu", "60") == BRIDGE_STATUS_BAD_ARGUMENT);
    CHECK(BridgeEngineSet(engine, "inbox_bytes", "0") == BRIDGE_STATUS_BAD_ARGUMENT);
    CHECK(BridgeEngineSet(engine, "metrics_interval", "0") == BRIDGE_STATUS_BAD_ARGUMENT);
    CHECK(BridgeEngineSet(engine, "metrics_interval", "none") == BRIDGE_STATUS_OK);
    CHECK(BridgeEngineSet(engine, "no_such", "1") == BRIDGE_STATUS_BAD_ARGUMENT);
    CHECK(BridgeEngineSet(engine, NULL, "1") == BRIDGE_STATUS_NULL_POINTER);
    CHECK(BridgeEngineSet(engine, "mtu", NULL) == BRIDGE_STATUS_NULL_POINTER);
    CHECK(BridgeEngineSet(engine, "mtu", "0000000000000000000000000000000000000000000000000000000000001500") == BRIDGE_STATUS_BAD_LENGTH);
    CHECK(BridgeEngineSet(NULL, "mtu", "1500") == BRIDGE_STATUS_NULL_POINTER);
    BridgeDeadline deadline = {.size = sizeof deadline};
    CHECK(BridgeEngineGetDeadline(engine, &deadline) == BRIDGE_STATUS_NOT_STARTED);
    CHECK(BridgeEngineStart(engine) == BRIDGE_STATUS_OK);
    CHECK(BridgeEngineSet(engine, "mtu", "1500") == BRIDGE_STATUS_ALREADY_STARTED);
    CHECK(BridgeEngineGetDeadline(engine, &deadline) == BRIDGE_STATUS_OK && deadline.timer == BRIDGE_TIMER_NONE);
    segment(host, SYN, 100, 0, "");
    CHECK(BridgeEnginePoll(engine, 1000000) == 3500000);
    CHECK(BridgeEngineGetDeadline(engine, &deadline) == BRIDGE_STATUS_OK && deadline.timer == BRIDGE_TIMER_DIAL);
    CHECK(deadline.size == sizeof deadline && deadline.at_us == 3500000 && deadline.flow == host->flow);
    deadline.size = 4;
    CHECK(BridgeEngineGetDeadline(engine, &deadline) == BRIDGE_STATUS_BAD_LENGTH);
    CHECK(BridgeEngineGetDeadline(engine, NULL) == BRIDGE_STATUS_NULL_POINTER);
    CHECK(BridgeEngineOnDialResult(engine, host->flow, BRIDGE_DIAL_RESULT_CONNECTED) == BRIDGE_STATUS_OK);
    BridgeEnginePoll(engine, 1001000);
    CHECK(BridgeEngineTcpRoom(engine, host->flow) == 100);
    BridgeAddress lost = {.family = 5, .octets = {10, 0, 0, 2}};
    CHECK(BridgeEngineOnAddressLost(engine, NULL) == BRIDGE_STATUS_NULL_POINTER);
    CHECK(BridgeEngineOnAddressLost(engine, &lost) == BRIDGE_STATUS_BAD_ARGUMENT);
    lost.family = 4;
    CHECK(BridgeEngineOnAddressLost(engine, &lost) == BRIDGE_STATUS_OK);
    BridgeEnginePoll(engine, 1002000);
    CHECK(host->closes == 1 && host->close.how == BRIDGE_HOW_PATH);
    CHECK(BridgeFreeEngine(engine) == BRIDGE_STATUS_OK);
}

/* A query of the device's, answered by the host. */
static void names(struct host *host) {
    host->takes_packets = true;
    BridgeConfig config = {.size = sizeof config, .seed = 7, .host_driven = 1, .dns_interception = 1};
    BridgeCallbacks callbacks = callbacks_of(host);
    BridgeEngine *engine = host->engine = BridgeNewEngine(&config, &callbacks, NULL);
    CHECK(engine && BridgeEngineStart(engine) == BRIDGE_STATUS_OK);
    const uint8_t query[] = {5000 >> 8, 5000 & 255, 0, 53, 0, 8 + 29, 0, 0, /* DNS: */ 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0,
                             7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 3, 'c', 'o', 'm', 0, 0, 1, 0, 1};
    packet(host, 17, query, sizeof query, "");
    BridgeEnginePoll(engine, 1000);
    CHECK(host->names == 1 && strstr(host->log, "example.com 4\n"));
    BridgeEnginePoll(engine, 2000);
    CHECK(host->packets == 1 && strstr(host->log, "c000024d")); /* 192.0.2.77 on its way to the device */
    CHECK(BridgeFreeEngine(engine) == BRIDGE_STATUS_OK);
}

/* Without a `resolve`, the system's resolver; it wakes nobody once the engine is stopped. */
static void system_names(struct host *host) {
    host->takes_packets = true;
    BridgeConfig config = {.size = sizeof config, .seed = 7, .host_driven = 1, .dns_interception = 1};
    BridgeCallbacks callbacks = callbacks_of(host);
    callbacks.resolve = NULL;
    BridgeEngine *engine = host->engine = BridgeNewEngine(&config, &callbacks, NULL);
    CHECK(engine && BridgeEngineStart(engine) == BRIDGE_STATUS_OK);
    const uint8_t query[] = {5000 >> 8, 5000 & 255, 0, 53, 0, 8 + 27, 0, 0, /* DNS: */ 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0,
                             9, 'l', 'o', 'c', 'a', 'l', 'h', 'o', 's', 't', 0, 0, 1, 0, 1};
    packet(host, 17, query, sizeof query, "");
    /* The answer wakes the host, unless it comes while it polls: then it is to poll again at once. */
    for (uint64_t now = 1000; host->packets == 0; now += 1000) {
        BridgeEnginePoll(engine, now);
        usleep(1000);
    }
    CHECK(host->packets == 1 && strstr(host->log, "7f000001")); /* 127.0.0.1 */
    packet(host, 17, query, sizeof query, "");
    BridgeEnginePoll(engine, 70000000); /* forgotten meanwhile: asked anew */
    CHECK(BridgeEngineStop(engine) == BRIDGE_STATUS_OK);
    unsigned wakes = __atomic_load_n(&host->wakes, __ATOMIC_RELAXED);
    usleep(20000);
    CHECK(__atomic_load_n(&host->wakes, __ATOMIC_RELAXED) == wakes);
    CHECK(BridgeFreeEngine(engine) == BRIDGE_STATUS_OK);
}

/* Of three datagrams at once the first is refused: the others wait, and come in order once the flow is writable. */
static void refusals(struct host *host) {
    host->takes_packets = true;
    CHECK(make(host));
    BridgeEngine *engine = host->engine;
    CHECK(BridgeEngineStart(engine) == BRIDGE_STATUS_OK);
    datagram(host, "opens");
    BridgeEnginePoll(engine, 1000000);
    CHECK(BridgeEngineOnDialResult(engine, host->udp_flow, BRIDGE_DIAL_RESULT_CONNECTED) == BRIDGE_STATUS_OK);
    BridgeEnginePoll(engine, 1000000);
    host->refuses = 1;
    datagram(host, "lost"), datagram(host, "one"), datagram(host, "two");
    BridgeEnginePoll(engine, 1001000);
    CHECK(host->refuses == 0 && strstr(host->log, "opens") && !strstr(host->log, "one"));
    BridgeCounters counters = {.size = sizeof counters};
    CHECK(BridgeEngineGetCounters(engine, &counters) == BRIDGE_STATUS_OK && counters.datagrams_refused == 1);
    CHECK(BridgeEngineOnWritable(engine, host->udp_flow) == BRIDGE_STATUS_OK);
    BridgeEnginePoll(engine, 1002000);
    const char *one = strstr(host->log, "one"), *two = strstr(host->log, "two");
    CHECK(one && two && one < two && !strstr(host->log, "lost"));
    host->refuses = 2;
    datagram(host, "never"), datagram(host, "given up");
    BridgeEnginePoll(engine, 1003000);
    CHECK(BridgeEngineStop(engine) == BRIDGE_STATUS_OK);
    CHECK(BridgeEngineGetCounters(engine, &counters) == BRIDGE_STATUS_OK);
    CHECK(counters.datagrams_refused == 3 && counters.udp_flows == 0 && host->closes == 1);
    CHECK(BridgeFreeEngine(engine) == BRIDGE_STATUS_OK);
}

/* A sink for everything, metrics among it, that makes calls of its own; an engine with a thread stops all the same. */
static void talkative(void *context, uint32_t level, const char *message) {
    struct host *host = context;
    (void)level;
    if (!strcmp(message, "engine started") || !strcmp(message, "engine stopped")) {
        BridgeStatus status = BridgeEngineSet(host->engine, "mtu", "1400");
        CHECK(status == (message[9] == 'a' ? BRIDGE_STATUS_ALREADY_STARTED : BRIDGE_STATUS_OK));
        host->names++;
    }
    if (strstr(message, "metrics")) host->metrics++;
    BridgeCounters counters = {.size = sizeof counters};
    CHECK(BridgeEngineGetCounters(host->engine, &counters) == BRIDGE_STATUS_OK);
}

static void stops_while_it_talks(struct host *host) {
    BridgeConfig config = {.size = sizeof config};
    BridgeCallbacks callbacks = callbacks_of(host);
    host->takes_packets = true;
    BridgeEngine *engine = host->engine = BridgeNewEngine(&config, &callbacks, NULL);
    CHECK(engine && BridgeSetLogSink(talkative, host, 4) == BRIDGE_STATUS_OK);
    CHECK(BridgeEngineSet(engine, "metrics_interval", "1000") == BRIDGE_STATUS_OK);
    for (int n = 0; n < 3; n++) {
        host->closes = 0;
        CHECK(BridgeEngineStart(engine) == BRIDGE_STATUS_OK);
        segment(host, SYN, 100, 0, "");
        datagram(host, "ping");
        BridgeCounters counters = {.size = sizeof counters};
        do {
            CHECK(BridgeEngineGetCounters(engine, &counters) == BRIDGE_STATUS_OK);
        } while (counters.tcp_flows + counters.udp_flows < 2);
        CHECK(BridgeEngineStop(engine) == BRIDGE_STATUS_OK);
        CHECK(BridgeEngineGetCounters(engine, &counters) == BRIDGE_STATUS_OK);
        CHECK(counters.tcp_flows == 0 && counters.udp_flows == 0 && host->closes == 2);
        char stats[16384];
        CHECK(BridgeEngineGetStats(engine, stats, sizeof stats) > 0);
        const char *const gauges[] = {"tcp_flows", "udp_flows", "tcp_connected", "ring_bytes", "tcp_dialing", "flow_bytes",
                                      "udp_waiting", "frames_waiting", "dns_pending", "fragment_bytes"};
        for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++) {
            char zero[64];
            snprintf(zero, sizeof zero, "\"%s\":0,", gauges[i]);
            CHECK(strstr(stats, zero));
        }
    }
    CHECK(host->names == 6 && host->metrics > 0);
    CHECK(BridgeSetLogSink(NULL, NULL, 0) == BRIDGE_STATUS_OK);
    CHECK(BridgeFreeEngine(engine) == BRIDGE_STATUS_OK);
}

int main(void) {
    static struct host first, second, inner, none, named, set, system, refused, talks;
    system_names(&system);
    refusals(&refused);
    stops_while_it_talks(&talks);
    names(&named);
    settings(&set);
    play(&first);
    play(&second);
    CHECK(first.log_length == second.log_length && memcmp(first.log, second.log, first.log_length) == 0);
    inner.mode = REENTRANT;
    play(&inner);
    CHECK(inner.log_length == first.log_length && memcmp(inner.log, first.log, first.log_length) == 0);
    misuse(&none);
    return 0;
}
