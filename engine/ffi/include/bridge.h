/*
 * The packet-tunnel engine behind a C ABI. Made from engine/ffi/src by `cargo xtask generate`: do not edit.
 *
 * The way of a flow
 *   The host hands in the device's IP packets (BridgeEngineHandlePacket). For each TCP or UDP flow the engine asks for a
 *   connection (request_tcp_dial, request_udp_dial); the host connects and answers (BridgeEngineOnDialResult). From then on bytes go both ways:
 *   tcp_send and udp_send to the far side, BridgeEngineOnTcpReceive and BridgeEngineOnUdpReceive from it, with back-pressure in both
 *   directions; emit_packets brings packets for the device. Each flow ends with exactly one tcp_close or udp_close.
 *
 * Flows
 *   A flow is a number that the engine chose and never uses again soon. It is good from its dial request until its close; with
 *   any other number, old or invented, a call answers STALE_FLOW and changes nothing. Since the host hears of a close a moment after it happened,
 *   STALE_FLOW is an ordinary answer: drop what was meant for the flow.
 *
 * Threads
 *   Unless host-driven, an engine has one thread of its own, between BridgeEngineStart and BridgeEngineStop; all callbacks come from it. Every call can be
 *   made from any thread at any time, also several at once. From within a callback every call can be made but BridgeEngineStart,
 *   BridgeEngineStop, BridgeFreeEngine, BridgeEnginePoll and BridgeEngineResolveHost, which answer REENTRANT there. No lock is held
 *   during callbacks that any of the others needs, so a host may hold a lock of its own in both directions; but it must not hold one that its
 *   callbacks take while it calls BridgeEngineStop, BridgeFreeEngine or BridgeEnginePoll.
 *
 * Ownership
 *   What a call is given is copied before it returns. What a callback is given is lent until it returns. Only two things are the
 *   host's to free: an engine (BridgeFreeEngine) and an answer of BridgeEngineResolveHost (BridgeResolveResultFree).
 *
 * Misuse
 *   Null pointers, wrong lengths, bad handles, calls before the start or after the stop: each has its status, in the comments named without the prefix
 *   BRIDGE_STATUS_. Any call may answer NULL_POINTER or BAD_HANDLE for its engine, NOT_STARTED, STOPPED, PANICKED. What no library can
 *   tell is a pointer to memory that is not there, or a length beyond it.
 *
 * Versions
 *   Structs that the host fills in begin with their size, so that fields can be added: zero the struct, then set `size` to its sizeof. Structs that a callback is
 *   handed can grow as well; BridgeAddress and BridgePacket, which come in rows, stay as they are.
 */


#ifndef BRIDGE_H
#define BRIDGE_H

#include <stddef.h>
#include <stdint.h>

/*
 * How an enum is declared: with a fixed type, under one name, and open to values that a later library may have. Swift takes it for a
 * type of its own. C before C23 has no such enums but in clang: there the type is the integer.
 */
#if defined(__cplusplus)
#define BRIDGE_ENUM(name, integer) enum name : integer
#elif defined(__clang__)
#define BRIDGE_ENUM(name, integer) enum name : integer; typedef enum name name; enum __attribute__((enum_extensibility(open))) name : integer
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L
#define BRIDGE_ENUM(name, integer) enum name : integer; typedef enum name name; enum name : integer
#else
#define BRIDGE_ENUM(name, integer) typedef integer name; enum
#endif

/*
 * What clang alone knows: which pointers may be null, and names for Swift.
 */
#if defined(__clang__)
#define BRIDGE_NONNULL _Nonnull
#define BRIDGE_NULLABLE _Nullable
#define BRIDGE_SWIFT_NAME(name) __attribute__((swift_name(#name)))
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunknown-warning-option"
#pragma clang diagnostic ignored "-Wnullability-extension"
#pragma clang diagnostic ignored "-Wfixed-enum-extension"
#pragma clang diagnostic ignored "-Wc23-extensions"
#else
#define BRIDGE_NONNULL
#define BRIDGE_NULLABLE
#define BRIDGE_SWIFT_NAME(name)
#endif


/*
 The version of this header. It changes when something in it changes its meaning; what is added does not change it.
 */
#define BRIDGE_ABI_VERSION 2u

/*
 What `BridgeEnginePoll` answers when nothing is due before the next input.
 */
#define BRIDGE_NO_DEADLINE 9223372036854775807LL

/*
 What a call came to. Calls that answer with a count answer with the same numbers below zero.
 */
BRIDGE_ENUM(BridgeStatus, int32_t) {
    /*
     Done.
     */
    BRIDGE_STATUS_OK BRIDGE_SWIFT_NAME(ok) = 0,
    /*
     A pointer that must not be null is.
     */
    BRIDGE_STATUS_NULL_POINTER BRIDGE_SWIFT_NAME(nullPointer) = -1,
    /*
     No engine has this handle: it was freed, or never was one.
     */
    BRIDGE_STATUS_BAD_HANDLE BRIDGE_SWIFT_NAME(badHandle) = -2,
    /*
     A length that cannot be: zero, beyond what any packet has, or a `size` of a struct that is too short.
     */
    BRIDGE_STATUS_BAD_LENGTH BRIDGE_SWIFT_NAME(badLength) = -3,
    /*
     A number or a text outside of what it may be.
     */
    BRIDGE_STATUS_BAD_ARGUMENT BRIDGE_SWIFT_NAME(badArgument) = -4,
    /*
     The engine was not started yet.
     */
    BRIDGE_STATUS_NOT_STARTED BRIDGE_SWIFT_NAME(notStarted) = -5,
    /*
     The engine was started before.
     */
    BRIDGE_STATUS_ALREADY_STARTED BRIDGE_SWIFT_NAME(alreadyStarted) = -6,
    /*
     The engine was stopped.
     */
    BRIDGE_STATUS_STOPPED BRIDGE_SWIFT_NAME(stopped) = -7,
    /*
     The call would wait for the callback it is made from, or drive an engine that has a thread of its own.
     */
    BRIDGE_STATUS_REENTRANT BRIDGE_SWIFT_NAME(reentrant) = -8,
    /*
     Another thread is polling this engine.
     */
    BRIDGE_STATUS_BUSY BRIDGE_SWIFT_NAME(busy) = -9,
    /*
     No flow has this number: it has ended, or never was.
     */
    BRIDGE_STATUS_STALE_FLOW BRIDGE_SWIFT_NAME(staleFlow) = -10,
    /*
     A stream call on a UDP flow, or a datagram call on a TCP flow.
     */
    BRIDGE_STATUS_WRONG_PROTOCOL BRIDGE_SWIFT_NAME(wrongProtocol) = -11,
    /*
     The dial of this flow was answered before.
     */
    BRIDGE_STATUS_DIAL_ANSWERED BRIDGE_SWIFT_NAME(dialAnswered) = -12,
    /*
     The dial of this flow is not answered yet.
     */
    BRIDGE_STATUS_NOT_CONNECTED BRIDGE_SWIFT_NAME(notConnected) = -13,
    /*
     The far side of this flow has ended before.
     */
    BRIDGE_STATUS_AFTER_END BRIDGE_SWIFT_NAME(afterEnd) = -14,
    /*
     No room: the packet or datagram is lost, and counted.
     */
    BRIDGE_STATUS_FULL BRIDGE_SWIFT_NAME(full) = -15,
    /*
     The file or the thread cannot be made.
     */
    BRIDGE_STATUS_IO BRIDGE_SWIFT_NAME(io) = -16,
    /*
     It took longer than it may.
     */
    BRIDGE_STATUS_TIMED_OUT BRIDGE_SWIFT_NAME(timedOut) = -17,
    /*
     There is no such name.
     */
    BRIDGE_STATUS_NOT_FOUND BRIDGE_SWIFT_NAME(notFound) = -18,
    /*
     The engine broke: a bug. It answers nothing but this from then on; stop and free it.
     */
    BRIDGE_STATUS_PANICKED BRIDGE_SWIFT_NAME(panicked) = -19,
};

/*
 Who ended a flow.
 */
BRIDGE_ENUM(BridgeBy, uint32_t) {
    /*
     The device.
     */
    BRIDGE_BY_DEVICE BRIDGE_SWIFT_NAME(device) = 0,
    /*
     The far side.
     */
    BRIDGE_BY_REMOTE BRIDGE_SWIFT_NAME(remote) = 1,
    /*
     The engine: a timer, a limit, `BridgeEngineStop`.
     */
    BRIDGE_BY_ENGINE BRIDGE_SWIFT_NAME(engine) = 2,
};

/*
 The way a flow ended.
 */
BRIDGE_ENUM(BridgeHow, uint32_t) {
    /*
     Both directions closed in order: close the connection.
     */
    BRIDGE_HOW_FIN BRIDGE_SWIFT_NAME(fin) = 0,
    /*
     A reset.
     */
    BRIDGE_HOW_RESET BRIDGE_SWIFT_NAME(reset) = 1,
    /*
     The dial failed.
     */
    BRIDGE_HOW_DIAL BRIDGE_SWIFT_NAME(dial) = 2,
    /*
     The connection failed after it had stood.
     */
    BRIDGE_HOW_ERROR BRIDGE_SWIFT_NAME(error) = 3,
    /*
     The handshake with the device never completed.
     */
    BRIDGE_HOW_HANDSHAKE BRIDGE_SWIFT_NAME(handshake) = 4,
    /*
     Nothing moved for too long.
     */
    BRIDGE_HOW_IDLE BRIDGE_SWIFT_NAME(idle) = 5,
    /*
     Nothing moved for too long after one side had closed.
     */
    BRIDGE_HOW_HALF_CLOSED BRIDGE_SWIFT_NAME(halfClosed) = 6,
    /*
     The device acknowledged nothing for too long.
     */
    BRIDGE_HOW_ABANDONED BRIDGE_SWIFT_NAME(abandoned) = 7,
    /*
     The path changed.
     */
    BRIDGE_HOW_PATH BRIDGE_SWIFT_NAME(path) = 8,
    /*
     A guard inside the engine stepped in.
     */
    BRIDGE_HOW_GUARD BRIDGE_SWIFT_NAME(guard) = 9,
    /*
     The engine was stopped.
     */
    BRIDGE_HOW_STOPPED BRIDGE_SWIFT_NAME(stopped) = 10,
    /*
     Another way, which this version of the header has no name for.
     */
    BRIDGE_HOW_OTHER BRIDGE_SWIFT_NAME(other) = 11,
    /*
     It had to make room for others, or there was none for its buffers.
     */
    BRIDGE_HOW_ADMISSION BRIDGE_SWIFT_NAME(admission) = 12,
};

/*
 What the engine waits for.
 */
BRIDGE_ENUM(BridgeTimer, uint32_t) {
    /*
     Nothing but the next input.
     */
    BRIDGE_TIMER_NONE BRIDGE_SWIFT_NAME(nothing) = 0,
    /*
     The answer to a dial.
     */
    BRIDGE_TIMER_DIAL BRIDGE_SWIFT_NAME(dial) = 1,
    /*
     The device's part of a handshake.
     */
    BRIDGE_TIMER_HANDSHAKE BRIDGE_SWIFT_NAME(handshake) = 2,
    /*
     Something to send: a retransmission, a probe of a closed window, a delayed acknowledgement.
     */
    BRIDGE_TIMER_TRANSMIT BRIDGE_SWIFT_NAME(transmit) = 3,
    /*
     An acknowledgement of the device, before the flow is given up.
     */
    BRIDGE_TIMER_RETRANSMISSION_LIMIT BRIDGE_SWIFT_NAME(retransmissionLimit) = 4,
    /*
     The end of a flow on its way out.
     */
    BRIDGE_TIMER_LINGER BRIDGE_SWIFT_NAME(linger) = 5,
    /*
     The other fragments of a packet.
     */
    BRIDGE_TIMER_REASSEMBLY BRIDGE_SWIFT_NAME(reassembly) = 6,
    /*
     The addresses of a name.
     */
    BRIDGE_TIMER_RESOLVE BRIDGE_SWIFT_NAME(resolve) = 7,
    /*
     A keep-alive probe, or the answer to one.
     */
    BRIDGE_TIMER_KEEP_ALIVE BRIDGE_SWIFT_NAME(keepAlive) = 8,
    /*
     Idle time: nothing is owed to anybody.
     */
    BRIDGE_TIMER_IDLE BRIDGE_SWIFT_NAME(idle) = 9,
    /*
     Idle time with one side closed.
     */
    BRIDGE_TIMER_HALF_CLOSED BRIDGE_SWIFT_NAME(halfClosed) = 10,
    /*
     Idle time after the far side has ended, as the device knows.
     */
    BRIDGE_TIMER_FIN_WAIT BRIDGE_SWIFT_NAME(finWait) = 11,
    /*
     Something else, which this version of the header has no name for.
     */
    BRIDGE_TIMER_OTHER BRIDGE_SWIFT_NAME(other) = 12,
};

/*
 What became of a dial.
 */
BRIDGE_ENUM(BridgeDialResult, uint32_t) {
    /*
     The connection is established.
     */
    BRIDGE_DIAL_RESULT_CONNECTED BRIDGE_SWIFT_NAME(connected) = 0,
    /*
     The far host refused it.
     */
    BRIDGE_DIAL_RESULT_REFUSED BRIDGE_SWIFT_NAME(refused) = 1,
    /*
     The far host cannot be reached.
     */
    BRIDGE_DIAL_RESULT_HOST_UNREACHABLE BRIDGE_SWIFT_NAME(hostUnreachable) = 2,
    /*
     No route to the far network.
     */
    BRIDGE_DIAL_RESULT_NETWORK_UNREACHABLE BRIDGE_SWIFT_NAME(networkUnreachable) = 3,
    /*
     A policy forbids it.
     */
    BRIDGE_DIAL_RESULT_DENIED BRIDGE_SWIFT_NAME(denied) = 4,
    /*
     The far host did not answer in time.
     */
    BRIDGE_DIAL_RESULT_TIMED_OUT BRIDGE_SWIFT_NAME(timedOut) = 5,
};

/*
 How a far side ended.
 */
BRIDGE_ENUM(BridgeEnd, uint32_t) {
    /*
     End of file: the device gets a FIN, and may go on sending.
     */
    BRIDGE_END_EOF BRIDGE_SWIFT_NAME(eof) = 0,
    /*
     The far side reset the connection: so does the engine, after what came before.
     */
    BRIDGE_END_RESET BRIDGE_SWIFT_NAME(reset) = 1,
    /*
     The connection failed otherwise: like a reset to the device.
     */
    BRIDGE_END_ERROR BRIDGE_SWIFT_NAME(error) = 2,
};

/*
 The weight of a line of the log.
 */
BRIDGE_ENUM(BridgeLogLevel, uint32_t) {
    /*
     Something broke.
     */
    BRIDGE_LOG_LEVEL_ERROR BRIDGE_SWIFT_NAME(error) = 0,
    /*
     Something was lost or refused.
     */
    BRIDGE_LOG_LEVEL_WARN BRIDGE_SWIFT_NAME(warn) = 1,
    /*
     What happens once: starts, stops, counters.
     */
    BRIDGE_LOG_LEVEL_INFO BRIDGE_SWIFT_NAME(info) = 2,
    /*
     Each flow.
     */
    BRIDGE_LOG_LEVEL_DEBUG BRIDGE_SWIFT_NAME(debug) = 3,
    /*
     Each packet.
     */
    BRIDGE_LOG_LEVEL_TRACE BRIDGE_SWIFT_NAME(trace) = 4,
};

/*
 Settings to begin with, for a purpose; those that are not zero in `BridgeConfig` take the place of the preset's.
 */
BRIDGE_ENUM(BridgePreset, uint32_t) {
    /*
     The defaults that the fields name.
     */
    BRIDGE_PRESET_DEFAULT BRIDGE_SWIFT_NAME(default) = 0,
    /*
     A tunnel on a phone, which is to fit 15 MB: an MTU of 4,064, 256 TCP and 256 UDP flows, buffers of up to 64 KiB each way, and
     11 MiB for all flows.
     */
    BRIDGE_PRESET_PHONE BRIDGE_SWIFT_NAME(phone) = 1,
    /*
     Thousands of flows: buffers of 4 KiB each way, 2,048 TCP and 2,048 UDP flows, 32 MiB for all flows.
     */
    BRIDGE_PRESET_MANY_FLOWS BRIDGE_SWIFT_NAME(manyFlows) = 2,
    /*
     A desktop or a router, which is to fit 500 MB: 4,096 TCP and 4,096 UDP flows, buffers of up to 1 MiB each way, and 384 MiB for
     all flows.
     */
    BRIDGE_PRESET_DESKTOP BRIDGE_SWIFT_NAME(desktop) = 3,
};

/*
 An engine. A number in the shape of a pointer: it is never followed, so that an old, a freed or an invented one
 is answered with `BRIDGE_STATUS_BAD_HANDLE`.
 */
typedef struct BridgeEngine BridgeEngine;

/*
 One IP packet.
 */
typedef struct BridgePacket {
    /*
     Its first byte.
     */
    const uint8_t *BRIDGE_NONNULL bytes;
    /*
     Its length in bytes.
     */
    size_t length;
} BridgePacket;

/*
 An IP address and a port.
 */
typedef struct BridgeAddress {
    /*
     4 or 6.
     */
    uint8_t family;
    /*
     Zero.
     */
    uint8_t reserved;
    /*
     In the host's byte order.
     */
    uint16_t port;
    /*
     In network byte order; of IPv4 the first four.
     */
    uint8_t octets[16];
} BridgeAddress;

/*
 Settings. Zero means the default in every field, so a zeroed struct with `size` set is a sound one; what is to be zero
 indeed, a limit say, is set with `BridgeEngineSet`.
 */
typedef struct BridgeConfig {
    /*
     `sizeof(BridgeConfig)` of the header the caller was compiled with. Fields beyond it keep their defaults; fields
     beyond what the library knows are ignored.
     */
    uint32_t size;
    /*
     Largest IP packet toward the device, bytes; 576 to 65,535. Zero: 1,500.
     */
    uint32_t mtu;
    /*
     Bytes of the device's packets that may wait for the engine. Zero: 1 MiB.
     */
    uint64_t packet_pool_bytes;
    /*
     Bytes of the buffers of one TCP flow, half for each direction, each half of a fixed size of 1 byte to 16 MiB. Zero: they
     open with use, up to the settings `rx_limit` and `tx_limit`.
     */
    uint64_t per_flow_bytes;
    /*
     Most TCP flows at a time. Zero: 128.
     */
    uint32_t tcp_limit;
    /*
     Most UDP flows at a time. Zero: 128.
     */
    uint32_t udp_limit;
    /*
     Seed of initial sequence numbers and hashes. Zero: drawn from the system at each start. Fix it in tests only.
     */
    uint64_t seed;
    /*
     Not zero: the host drives the engine with `BridgeEnginePoll`, and it has no thread. Zero: it has one.
     */
    uint32_t host_driven;
    /*
     Not zero: a change of the path closes every flow, so that apps reconnect at once. Zero: flows stay.
     */
    uint32_t close_on_path_change;
    /*
     How long a dial may take before it counts as timed out, milliseconds. Zero: 75,000.
     */
    uint32_t dial_timeout_ms;
    /*
     Not zero: loopback and reserved addresses are ordinary ones. Zero: their packets are dropped.
     */
    uint32_t admit_martians;
    /*
     Not zero: the device's DNS queries for addresses are answered by the engine, which asks the host or the system: see
     `resolve`. Zero: they are datagrams and streams like all others.
     */
    uint32_t dns_interception;
    /*
     Settings to begin with; zero: the defaults.
     */
    BridgePreset preset;
    /*
     How often the counters are written to the log, at `BRIDGE_LOG_LEVEL_INFO`, milliseconds; an idle engine is not woken for it.
     Default: never.
     */
    uint32_t metrics_interval_ms;
    /*
     Zero.
     */
    uint32_t reserved;
} BridgeConfig;

/*
 How a flow ended: of anything but `BRIDGE_HOW_FIN` the far side should see a reset. Later versions may have more fields behind these.
 */
typedef struct BridgeClose {
    /*
     Whose doing it was.
     */
    BridgeBy by;
    /*
     The way it ended.
     */
    BridgeHow how;
} BridgeClose;

/*
 A DNS answer that passed on its way to the device.
 */
typedef struct BridgeDnsRecord {
    /*
     The name that was asked for, UTF-8.
     */
    const char *BRIDGE_NONNULL name;
    /*
     Its addresses; ports are zero.
     */
    const struct BridgeAddress *BRIDGE_NONNULL addresses;
    /*
     How many.
     */
    size_t count;
    /*
     The shortest time to live among them, seconds.
     */
    uint32_t ttl;
} BridgeDnsRecord;

/*
 What the engine calls. All calls come from one thread at a time: the engine's own, or the one in
 `BridgeEnginePoll` or `BridgeEngineStop`. Pointers are lent for the call. A callback must not block for long, must not
 let an exception out, and may make every call of this header but those that say otherwise.
 */
typedef struct BridgeCallbacks {
    /*
     `sizeof(BridgeCallbacks)` of the header the caller was compiled with; callbacks beyond it count as null.
     */
    uint32_t size;
    /*
     Zero.
     */
    uint32_t reserved;
    /*
     Handed to every callback. It must stay sound until `BridgeEngineStop` or `BridgeFreeEngine` has returned.
     */
    void *BRIDGE_NULLABLE context;
    /*
     Packets for the device, 64 at most. Answers how many were taken, from the front; the others are offered again
     within 5 ms, and nothing else comes before them. Required.
     */
    size_t (*BRIDGE_NULLABLE emit_packets)(void *BRIDGE_NULLABLE context, const struct BridgePacket *BRIDGE_NONNULL packets, size_t count);
    /*
     Connect to `server`, and answer with `BridgeEngineOnDialResult`. `name` is the host name that the device had
     looked up for the address, or null. Required.
     */
    void (*BRIDGE_NULLABLE request_tcp_dial)(void *BRIDGE_NULLABLE context,
                             uint64_t flow,
                             const struct BridgeAddress *BRIDGE_NONNULL client,
                             const struct BridgeAddress *BRIDGE_NONNULL server,
                             const char *BRIDGE_NULLABLE name);
    /*
     As `request_tcp_dial`, for datagrams. Required.
     */
    void (*BRIDGE_NULLABLE request_udp_dial)(void *BRIDGE_NULLABLE context,
                             uint64_t flow,
                             const struct BridgeAddress *BRIDGE_NONNULL client,
                             const struct BridgeAddress *BRIDGE_NONNULL server,
                             const char *BRIDGE_NULLABLE name);
    /*
     The next bytes of the device's stream. Answers how many were taken, from the front; if not all, the flow gives
     no more until `BridgeEngineOnWritable`, and then begins with those that were not taken. Required.
     */
    size_t (*BRIDGE_NULLABLE tcp_send)(void *BRIDGE_NULLABLE context, uint64_t flow, const uint8_t *BRIDGE_NONNULL bytes, size_t length);
    /*
     One datagram of the device for `to`. Answers 1 if it was taken; 0 or less: it is lost and counted
     (`datagrams_refused`), and the flow gives no more until `BridgeEngineOnWritable`, then those that came meanwhile, up to a bound.
     Required.
     */
    int32_t (*BRIDGE_NULLABLE udp_send)(void *BRIDGE_NULLABLE context,
                        uint64_t flow,
                        const struct BridgeAddress *BRIDGE_NONNULL to,
                        const uint8_t *BRIDGE_NONNULL bytes,
                        size_t length);
    /*
     The flow has ended; its number is dead. Exactly one for each `request_tcp_dial`. Required.
     */
    void (*BRIDGE_NULLABLE tcp_close)(void *BRIDGE_NULLABLE context, uint64_t flow, const struct BridgeClose *BRIDGE_NONNULL close);
    /*
     As `tcp_close`, for `request_udp_dial`. Required.
     */
    void (*BRIDGE_NULLABLE udp_close)(void *BRIDGE_NULLABLE context, uint64_t flow, const struct BridgeClose *BRIDGE_NONNULL close);
    /*
     A DNS answer passed. May be null.
     */
    void (*BRIDGE_NULLABLE record_dns)(void *BRIDGE_NULLABLE context, const struct BridgeDnsRecord *BRIDGE_NONNULL record);
    /*
     The device has sent its last byte, all before it was handed over: shut the write side down. What the far side
     sends still reaches the device. Null: half-closed connections stay open toward the far side until they end.
     */
    void (*BRIDGE_NULLABLE tcp_half_close)(void *BRIDGE_NULLABLE context, uint64_t flow);
    /*
     A `BridgeEngineOnTcpReceive` that was taken short may go on: `room` bytes would be taken now. Null only if the host asks
     `BridgeEngineTcpRoom`.
     */
    void (*BRIDGE_NULLABLE tcp_resume)(void *BRIDGE_NULLABLE context, uint64_t flow, size_t room);
    /*
     Host-driven only: something came in and nothing had been waiting, so `BridgeEnginePoll` should be called soon. Comes
     from whatever thread made the call, and cannot itself poll, stop or free (`REENTRANT`). May be null.
     */
    void (*BRIDGE_NULLABLE wake)(void *BRIDGE_NULLABLE context);
    /*
     With `dns_interception` only: find out the addresses of `name` of a `family`, 4 or 6, and answer with
     `BridgeEngineOnResolved`. Without an answer in time the device gets a failure. Null: the system's resolver is asked,
     on threads of the library's own, one of which may call `wake`.
     */
    void (*BRIDGE_NULLABLE resolve)(void *BRIDGE_NULLABLE context, uint64_t query, const char *BRIDGE_NONNULL name, uint32_t family);
} BridgeCallbacks;

/*
 What a recording keeps. Zero means the default in every field.
 */
typedef struct BridgeRecording {
    /*
     `sizeof(BridgeRecording)` of the header the caller was compiled with.
     */
    uint32_t size;
    /*
     The most bytes of each packet; of what far sides sent then only the length is kept. Zero: packets and payloads are
     whole.
     */
    uint32_t snap_length;
    /*
     The most bytes of both files together, at least 512 KiB. Zero: no bound.
     */
    uint64_t max_bytes;
} BridgeRecording;

/*
 Receives a line of the log: its level and a text in UTF-8,
 lent for the call. It may come from any thread, and must not call `BridgeSetLogSink`. Calls that start,
 stop, change or free an engine may wait for the thread that writes the line; all others can be made from within it.
 */
typedef void (*BRIDGE_NULLABLE BridgeLogSink)(void *BRIDGE_NULLABLE context, BridgeLogLevel level, const char *BRIDGE_NONNULL message);

/*
 The counters a host shows; `BridgeEngineGetStats` has all of them. They only grow, but for the number of flows.
 */
typedef struct BridgeCounters {
    /*
     `sizeof(BridgeCounters)` of the header the caller was compiled with, set before the call.
     */
    uint32_t size;
    /*
     Zero.
     */
    uint32_t reserved;
    /*
     Packets the device handed in, as far as the engine has looked at them.
     */
    uint64_t packets_in;
    /*
     Their bytes.
     */
    uint64_t bytes_in;
    /*
     Packets for the device.
     */
    uint64_t packets_out;
    /*
     Their bytes.
     */
    uint64_t bytes_out;
    /*
     Packets the device handed in that found no room.
     */
    uint64_t packets_lost;
    /*
     Packets the engine dropped, for whatever reason.
     */
    uint64_t packets_dropped;
    /*
     Bytes and payloads handed to the dialer.
     */
    uint64_t upstream_bytes;
    /*
     Bytes and payloads taken from the dialer.
     */
    uint64_t downstream_bytes;
    /*
     TCP flows open.
     */
    uint64_t tcp_flows;
    /*
     UDP flows open.
     */
    uint64_t udp_flows;
    /*
     TCP flows refused for want of room.
     */
    uint64_t tcp_admission_fail;
    /*
     UDP flows refused for want of room.
     */
    uint64_t udp_admission_fail;
    /*
     TCP dials that did not connect.
     */
    uint64_t tcp_dial_fail;
    /*
     Datagrams dropped because a queue was full.
     */
    uint64_t udp_backpressure_drops;
    /*
     Turns taken.
     */
    uint64_t turns;
    /*
     The longest turn, microseconds.
     */
    uint64_t longest_turn_us;
    /*
     Datagrams lost because `udp_send` refused them, or had refused one before and too many waited behind that.
     */
    uint64_t datagrams_refused;
    /*
     UDP dials that did not connect.
     */
    uint64_t udp_dial_fail;
    /*
     TCP flows closed because nothing moved for too long.
     */
    uint64_t tcp_idle_timeout;
    /*
     UDP flows closed because nothing moved for too long.
     */
    uint64_t udp_idle_timeout;
    /*
     Batches of packets that `emit_packets` did not take whole at once.
     */
    uint64_t host_refused_batches;
    /*
     Bytes that `tcp_send` did not take at once.
     */
    uint64_t host_refused_bytes;
} BridgeCounters;

/*
 What the engine waits for, and until when.
 */
typedef struct BridgeDeadline {
    /*
     `sizeof(BridgeDeadline)` of the header the caller was compiled with, set before the call.
     */
    uint32_t size;
    /*
     What for.
     */
    BridgeTimer timer;
    /*
     Microseconds on the host's clock; zero if it waits for nothing.
     */
    uint64_t at_us;
    /*
     The flow that waits, or zero, which is no flow.
     */
    uint64_t flow;
} BridgeDeadline;

/*
 What a name resolved to. To be freed with `BridgeResolveResultFree`.
 */
typedef struct BridgeResolveResult {
    /*
     The addresses, in the resolver's order; ports are zero.
     */
    const struct BridgeAddress *BRIDGE_NONNULL addresses;
    /*
     How many; at least one.
     */
    size_t count;
} BridgeResolveResult;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 One IP packet of the device. `FULL`: too much waits already; it is lost and counted, as on a network. `BAD_LENGTH`: empty, or
 longer than any packet. `NOT_STARTED`, `STOPPED`.

 The caller promises:
 `bytes` points to `length` bytes.
 */
BridgeStatus BridgeEngineHandlePacket(struct BridgeEngine *BRIDGE_NONNULL engine,
                                      const uint8_t *BRIDGE_NONNULL bytes,
                                      size_t length);

/*
 Several IP packets of the device, in order, cheaper than one by one. Answers how many found room; those that did not, those
 that are no packet by their length (0, or beyond 65,535), and those without bytes (null) are lost and counted (`packets_lost`). Or a
 status below zero: `NULL_POINTER` without `packets`, `BAD_LENGTH` for a `count` that no memory holds.

 The caller promises:
 `packets` points to `count` structs, each of which points to its `length` bytes.
 */
int64_t BridgeEngineHandlePackets(struct BridgeEngine *BRIDGE_NONNULL engine,
                                  const struct BridgePacket *BRIDGE_NONNULL packets,
                                  size_t count);

/*
 What became of a dial: a `BridgeDialResult`; anything else is `BAD_ARGUMENT`. `STALE_FLOW`: the flow has ended meanwhile (the device
 gave up, the engine's own limit passed): close what was connected. `DIAL_ANSWERED`: the first answer counts.
 */
BridgeStatus BridgeEngineOnDialResult(struct BridgeEngine *BRIDGE_NONNULL engine,
                                      uint64_t flow,
                                      BridgeDialResult result);

/*
 The next bytes of the far side's stream. Answers how many were taken, from the front: keep the rest, stop reading, and go on
 after `tcp_resume`. No bytes are none taken, whatever `bytes` is. Or a status below zero: `NOT_CONNECTED`, `AFTER_END`, `STALE_FLOW`,
 `WRONG_PROTOCOL`; `BAD_LENGTH`: a length that no memory has.

 The caller promises:
 `bytes` points to `length` bytes.
 */
int64_t BridgeEngineOnTcpReceive(struct BridgeEngine *BRIDGE_NONNULL engine,
                                 uint64_t flow,
                                 const uint8_t *BRIDGE_NULLABLE bytes,
                                 size_t length);

/*
 Bytes that `BridgeEngineOnTcpReceive` would take of this flow now, or the status below zero that it would answer.
 */
int64_t BridgeEngineTcpRoom(struct BridgeEngine *BRIDGE_NONNULL engine,
                            uint64_t flow);

/*
 One datagram of the far side, which may be empty. `from`: who sent it, or null for the destination that was dialed. `FULL`: too much waits; it is lost and
 counted. `BAD_LENGTH`: longer than any datagram (65,527). `BAD_ARGUMENT`: an address of no family.

 The caller promises:
 `from` is null or points to an address; `bytes` points to `length` bytes.
 */
BridgeStatus BridgeEngineOnUdpReceive(struct BridgeEngine *BRIDGE_NONNULL engine,
                                      uint64_t flow,
                                      const struct BridgeAddress *BRIDGE_NULLABLE from,
                                      const uint8_t *BRIDGE_NULLABLE bytes,
                                      size_t length);

/*
 The far side of a TCP flow has ended: a `BridgeEnd`. After `EOF` the device may still send; after the others the flow's
 `tcp_close` follows. After an `EOF` a connection can still break; after that it is `AFTER_END`.
 */
BridgeStatus BridgeEngineOnTcpClose(struct BridgeEngine *BRIDGE_NONNULL engine,
                                    uint64_t flow,
                                    BridgeEnd end);

/*
 The far side of a UDP flow has ended: a `BridgeEnd`. Its `udp_close` follows.
 */
BridgeStatus BridgeEngineOnUdpClose(struct BridgeEngine *BRIDGE_NONNULL engine, uint64_t flow, BridgeEnd end);

/*
 The dialer takes nothing more of this flow until `BridgeEngineOnWritable`: no `tcp_send` or `udp_send` after the next turn. A short
 `tcp_send` says so by itself.
 */
BridgeStatus BridgeEngineOnBlocked(struct BridgeEngine *BRIDGE_NONNULL engine,
                                   uint64_t flow);

/*
 The dialer takes bytes or datagrams of this flow again.
 */
BridgeStatus BridgeEngineOnWritable(struct BridgeEngine *BRIDGE_NONNULL engine, uint64_t flow);

/*
 What the host found out for `resolve`: `count` addresses that the device may keep for `ttl` seconds, those of the other family left out;
 with `status` `OK` and none of them: the name exists, without such an address; with `NOT_FOUND`: there is no such name; with anything
 else: it could not be found out, and the device may ask another resolver. An answer to a query that is not open is passed over.

 `FULL`: more answers wait than the engine has queries. `BAD_LENGTH`: more than 64 addresses; `BAD_ARGUMENT`: one of no family.

 The caller promises:
 `addresses` points to `count` addresses.
 */
BridgeStatus BridgeEngineOnResolved(struct BridgeEngine *BRIDGE_NONNULL engine,
                                    uint64_t query,
                                    const struct BridgeAddress *BRIDGE_NULLABLE addresses,
                                    size_t count,
                                    uint32_t ttl,
                                    BridgeStatus status);

/*
 The network path has changed (Wi-Fi to cellular, another address): see `close_on_path_change`.
 */
BridgeStatus BridgeEngineOnPathChange(struct BridgeEngine *BRIDGE_NONNULL engine);

/*
 The device's end of the tunnel has lost this address (its port is passed over): flows of it are closed, without a packet, because none could
 reach the device. `BAD_ARGUMENT`: of no family. `FULL`: more addresses wait than a device has.

 The caller promises:
 `address` points to an address.
 */
BridgeStatus BridgeEngineOnAddressLost(struct BridgeEngine *BRIDGE_NONNULL engine,
                                       const struct BridgeAddress *BRIDGE_NONNULL address);

/*
 The version of the library's ABI: `BRIDGE_ABI_VERSION` of its own header.
 */
uint32_t BridgeVersion(void);

/*
 Makes an engine; both structs are copied. Null: it could not be made, and `status`, unless null, says why:
 `NULL_POINTER` (a struct or a required callback), `BAD_LENGTH` (a `size`), `BAD_ARGUMENT` (a setting out of its bounds).

 The handle is the host's to free with `BridgeFreeEngine`.

 The caller promises:
 Both structs have the size they say; the callbacks are functions of their types.
 */
struct BridgeEngine *BRIDGE_NULLABLE BridgeNewEngine(const struct BridgeConfig *BRIDGE_NONNULL config,
                                     const struct BridgeCallbacks *BRIDGE_NONNULL callbacks,
                                     BridgeStatus *BRIDGE_NULLABLE status);

/*
 Changes a setting for the next start, those that `BridgeConfig` has no field for among them: any field of the engine's `Config` but
 the log's level and mask, by its name in snake case (`tcp_idle`, `udp_mapping`), and `inbox_bytes`, the bytes of far sides that may wait
 per flow. `value` is a text: durations in microseconds, sizes and counts in decimal, `true` or `false`, words with underscores
 (`endpoint_independent`), `none` for what may be absent. A `seed` set so is kept, zero as well;
 `none` has it drawn at each start.

 A zero is a value like any other here, not the default: where it would let nothing through or never end (`inbox_bytes`, `metrics_interval`) it is
 out of its bounds. `BAD_ARGUMENT`: no such setting, no such value, or out of its bounds; nothing changes then. `BAD_LENGTH`: a text beyond 63 bytes.
 `ALREADY_STARTED`: stop it before. `REENTRANT` from within a callback of this engine.

 The caller promises:
 `name` and `value` end with a zero.
 */
BridgeStatus BridgeEngineSet(struct BridgeEngine *BRIDGE_NONNULL engine,
                             const char *BRIDGE_NONNULL name,
                             const char *BRIDGE_NONNULL value);

/*
 Stops the engine if it runs, as `BridgeEngineStop` does, and forgets it: the handle is bad from then on. When it
 returns, no callback runs and none comes any more.

 From within a callback of this engine: `REENTRANT`, and nothing happens. A null or bad handle: `NULL_POINTER`, `BAD_HANDLE`.
 */
BridgeStatus BridgeFreeEngine(struct BridgeEngine *BRIDGE_NONNULL engine);

/*
 Starts the engine, with a thread of its own unless it is host-driven. Once it was stopped it can be started again, with
 no flow and new counters.

 `ALREADY_STARTED`; `IO`: no thread could be made; `REENTRANT` from within a callback of this engine.
 */
BridgeStatus BridgeEngineStart(struct BridgeEngine *BRIDGE_NONNULL engine);

/*
 Closes every flow (TCP toward the device with a reset, each with its `tcp_close` or `udp_close`), then ends the thread. Waits
 for callbacks that run; when it returns, none runs and none comes any more. Packets the host does not take then are lost.

 `NOT_STARTED`, `STOPPED`; `REENTRANT` from within a callback of this engine. A callback that waits for the thread that
 calls this waits for ever.
 */
BridgeStatus BridgeEngineStop(struct BridgeEngine *BRIDGE_NONNULL engine);

/*
 Host-driven: lets the engine work at `now_us`, microseconds since an origin of the host's choice, above zero and never
 running back (a smaller one counts as the last). Callbacks come from within the call. Answers when to call again unless something comes in before
 that: a time on the same clock, not above `now_us` while work is left, or `BRIDGE_NO_DEADLINE`; or a status below zero.

 The same calls with the same times give the same callbacks, if the seed is fixed.

 `REENTRANT` from within a callback of this engine, and for an engine that has a thread of its own; `BUSY` while another thread polls it;
 `BAD_ARGUMENT` for a time that cannot be.
 */
int64_t BridgeEnginePoll(struct BridgeEngine *BRIDGE_NONNULL engine,
                         uint64_t now_us);

/*
 Begins to record to the file at `path` what crosses the tunnel and what the dialer does, in a pcapng that Wireshark
 opens and `replay import` makes a test of. It is bounded by `max_bytes` (zero: not at all; else at least 512 KiB) as a ring of two files,
 the older one with `.1` before the extension; regular files of these names are replaced, by files of mode 0600. A null `path` ends the recording; so does stopping, and
 a disk that is full. Before the start it waits for it; else it begins with the next turn.

 Flows that are open by then cannot be replayed: begin it before the start to have all of them.

 `IO`: the file cannot be made, or a link or something else that is no regular file is in its place; the log says why. `BAD_ARGUMENT`: a path that is not UTF-8, `BAD_LENGTH`: or beyond 4,095 bytes.

 The caller promises:
 `path` is null or ends with a zero.
 */
BridgeStatus BridgeEngineRecord(struct BridgeEngine *BRIDGE_NONNULL engine,
                                const char *BRIDGE_NULLABLE path,
                                uint64_t max_bytes);

/*
 As `BridgeEngineRecord`, with all options of a recording. Null `options` are those of a zeroed struct.

 `BAD_LENGTH`: a `size` that is too short, too.

 The caller promises:
 `path` is null or ends with a zero; `options` is null or has the size it says.
 */
BridgeStatus BridgeEngineRecordWith(struct BridgeEngine *BRIDGE_NONNULL engine,
                                    const char *BRIDGE_NULLABLE path,
                                    const struct BridgeRecording *BRIDGE_NULLABLE options);

/*
 A status in English, for logs; never null, and never to be freed. An unknown number is "unknown status".
 */
const char *BRIDGE_NONNULL BridgeStatusText(BridgeStatus status);

/*
 Sets who receives the log of all engines, up to `level`; null: no one does. When it returns, the
 former sink is not called any more. `context` must stay sound until then. An engine logs at the level that is set when it
 is started. Lines have no address and no name in clear.

 From within a sink: `BRIDGE_STATUS_REENTRANT`, and nothing changes.

 The caller promises:
 `sink` can be called with `context` from any thread.
 */
BridgeStatus BridgeSetLogSink(BridgeLogSink sink,
                              void *BRIDGE_NULLABLE context,
                              BridgeLogLevel level);

/*
 Fills in the counters, as many as the caller's struct has room for. `BAD_LENGTH`: its `size` is below that of the first version.

 The caller promises:
 `counters` points to a struct of the size it says.
 */
BridgeStatus BridgeEngineGetCounters(struct BridgeEngine *BRIDGE_NONNULL engine,
                                     struct BridgeCounters *BRIDGE_NONNULL counters);

/*
 Host-driven: what the time that `BridgeEnginePoll` answered last is for, if no work was left then. A host that may sleep through idle
 limits learns from it whether anything else is waited for.

 `BAD_LENGTH`: its `size` is below that of this version. `REENTRANT` from within a callback of this engine, and for an engine that has a thread of its
 own; `BUSY` while another thread polls it.

 The caller promises:
 `deadline` points to a struct of the size it says.
 */
BridgeStatus BridgeEngineGetDeadline(struct BridgeEngine *BRIDGE_NONNULL engine,
                                     struct BridgeDeadline *BRIDGE_NONNULL deadline);

/*
 Every counter of the engine and every number of its loop, as one JSON object of flat names, UTF-8, with a zero at the end. Answers the length
 without the zero; if `capacity` is not above it, nothing is written but the zero, if that has room: ask with 0 first, or bring 16 KiB.

 The caller promises:
 `buffer` points to room for `capacity` bytes, or is null and `capacity` is zero.
 */
int64_t BridgeEngineGetStats(struct BridgeEngine *BRIDGE_NONNULL engine,
                             char *BRIDGE_NULLABLE buffer,
                             size_t capacity);

/*
 Every counter of the engine in the text form of OpenMetrics 1.0, UTF-8, with a zero at the end, for whoever collects metrics. The
 answer and the buffer are as those of `BridgeEngineGetStats`: ask with 0 first, or bring 64 KiB.

 The caller promises:
 `buffer` points to room for `capacity` bytes, or is null and `capacity` is zero.
 */
int64_t BridgeEngineOpenMetrics(struct BridgeEngine *BRIDGE_NONNULL engine,
                                char *BRIDGE_NULLABLE buffer,
                                size_t capacity);

/*
 Resolves `name` (or an address in text form) within `timeout_ms`, on the calling thread, which waits: not from within a callback, which would hold
 the engine up (`REENTRANT`). On `OK`, and only then, `result` has an answer that is the host's to free.

 `NOT_FOUND`; `TIMED_OUT`; `BUSY`: too many lookups that were given up are still under way; `BAD_LENGTH`, `BAD_ARGUMENT`: no name.
 Works before the start and after the stop as well.

 The caller promises:
 `name` ends with a zero; `result` points to room for a pointer.
 */
BridgeStatus BridgeEngineResolveHost(struct BridgeEngine *BRIDGE_NONNULL engine,
                                     const char *BRIDGE_NONNULL name,
                                     uint32_t timeout_ms,
                                     struct BridgeResolveResult *BRIDGE_NULLABLE *BRIDGE_NONNULL result);

/*
 Frees an answer of `BridgeEngineResolveHost`; null is nothing to free. Each answer once.

 The caller promises:
 `result` is null or such an answer that was not freed.
 */
void BridgeResolveResultFree(struct BridgeResolveResult *BRIDGE_NULLABLE result);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BRIDGE_H */

#if defined(__clang__)
#pragma clang diagnostic pop
#endif
