/*
 * The packet-tunnel engine behind a C ABI. Made from engine/ffi/src by `cargo xtask generate`: do not edit.
 *
 * The way of a flow
 *   The host hands in the device's IP packets (BridgeEngineHandlePacket). For each TCP or UDP flow the engine asks for a
 *   connection (request_tcp_dial, request_udp_dial); the host connects and answers (BridgeEngineOnDialResult). From then on octets go both ways:
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
 *   Structs that the host fills in begin with their size, so that fields can be added: zero the struct, then set `size` to its sizeof.
 */


#ifndef BRIDGE_H
#define BRIDGE_H

#include <stddef.h>
#include <stdint.h>

/*
 The version of this header. It changes when something in it changes its meaning; what is added does not change it.
 */
#define BRIDGE_ABI_VERSION 1

/*
 What `BridgeEnginePoll` answers when nothing is due before the next input.
 */
#define BRIDGE_NO_DEADLINE INT64_MAX

/*
 What a call came to. Calls that answer with a count answer with the same numbers below zero.
 */
enum BridgeStatus
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     Done.
     */
    BRIDGE_STATUS_OK = 0,
    /*
     A pointer that must not be null is.
     */
    BRIDGE_STATUS_NULL_POINTER = -1,
    /*
     No engine has this handle: it was freed, or never was one.
     */
    BRIDGE_STATUS_BAD_HANDLE = -2,
    /*
     A length that cannot be: zero, beyond what any packet has, or a `size` of a struct that is too short.
     */
    BRIDGE_STATUS_BAD_LENGTH = -3,
    /*
     A number or a text outside of what it may be.
     */
    BRIDGE_STATUS_BAD_ARGUMENT = -4,
    /*
     The engine was not started yet.
     */
    BRIDGE_STATUS_NOT_STARTED = -5,
    /*
     The engine was started before.
     */
    BRIDGE_STATUS_ALREADY_STARTED = -6,
    /*
     The engine was stopped.
     */
    BRIDGE_STATUS_STOPPED = -7,
    /*
     The call would wait for the callback it is made from, or drive an engine that has a thread of its own.
     */
    BRIDGE_STATUS_REENTRANT = -8,
    /*
     Another thread is polling this engine.
     */
    BRIDGE_STATUS_BUSY = -9,
    /*
     No flow has this number: it has ended, or never was.
     */
    BRIDGE_STATUS_STALE_FLOW = -10,
    /*
     A stream call on a UDP flow, or a datagram call on a TCP flow.
     */
    BRIDGE_STATUS_WRONG_PROTOCOL = -11,
    /*
     The dial of this flow was answered before.
     */
    BRIDGE_STATUS_DIAL_ANSWERED = -12,
    /*
     The dial of this flow is not answered yet.
     */
    BRIDGE_STATUS_NOT_CONNECTED = -13,
    /*
     The far side of this flow has ended before.
     */
    BRIDGE_STATUS_AFTER_END = -14,
    /*
     No room: the packet or datagram is lost, and counted.
     */
    BRIDGE_STATUS_FULL = -15,
    /*
     The file or the thread cannot be made.
     */
    BRIDGE_STATUS_IO = -16,
    /*
     It took longer than it may.
     */
    BRIDGE_STATUS_TIMED_OUT = -17,
    /*
     There is no such name.
     */
    BRIDGE_STATUS_NOT_FOUND = -18,
    /*
     The engine broke: a bug. It answers nothing but this from then on; stop and free it.
     */
    BRIDGE_STATUS_PANICKED = -19,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum BridgeStatus BridgeStatus;
#else
typedef int32_t BridgeStatus;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 Who ended a flow.
 */
enum BridgeBy
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     The device.
     */
    BRIDGE_BY_DEVICE = 0,
    /*
     The far side.
     */
    BRIDGE_BY_REMOTE = 1,
    /*
     The engine: a timer, a limit, `BridgeEngineStop`.
     */
    BRIDGE_BY_ENGINE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum BridgeBy BridgeBy;
#else
typedef uint32_t BridgeBy;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 The way a flow ended.
 */
enum BridgeHow
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     Both directions closed in order: close the connection.
     */
    BRIDGE_HOW_FIN = 0,
    /*
     A reset.
     */
    BRIDGE_HOW_RESET = 1,
    /*
     The dial failed.
     */
    BRIDGE_HOW_DIAL = 2,
    /*
     The connection failed after it had stood.
     */
    BRIDGE_HOW_ERROR = 3,
    /*
     The handshake with the device never completed.
     */
    BRIDGE_HOW_HANDSHAKE = 4,
    /*
     Nothing moved for too long.
     */
    BRIDGE_HOW_IDLE = 5,
    /*
     Nothing moved for too long after one side had closed.
     */
    BRIDGE_HOW_HALF_CLOSED = 6,
    /*
     The device acknowledged nothing for too long.
     */
    BRIDGE_HOW_ABANDONED = 7,
    /*
     The path changed.
     */
    BRIDGE_HOW_PATH = 8,
    /*
     A guard inside the engine stepped in.
     */
    BRIDGE_HOW_GUARD = 9,
    /*
     The engine was stopped.
     */
    BRIDGE_HOW_STOPPED = 10,
    /*
     Another way, which this version of the header has no word for.
     */
    BRIDGE_HOW_OTHER = 11,
    /*
     It had to make room for others, or there was none for its buffers.
     */
    BRIDGE_HOW_ADMISSION = 12,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum BridgeHow BridgeHow;
#else
typedef uint32_t BridgeHow;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 What the engine waits for.
 */
enum BridgeTimer
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     Nothing but the next input.
     */
    BRIDGE_TIMER_NONE = 0,
    /*
     The answer to a dial.
     */
    BRIDGE_TIMER_DIAL = 1,
    /*
     The device's part of a handshake.
     */
    BRIDGE_TIMER_HANDSHAKE = 2,
    /*
     Something to send: a retransmission, a probe of a closed window, a delayed acknowledgement.
     */
    BRIDGE_TIMER_TRANSMIT = 3,
    /*
     An acknowledgement of the device, before the flow is given up.
     */
    BRIDGE_TIMER_RETRANSMISSION_LIMIT = 4,
    /*
     The end of a flow on its way out.
     */
    BRIDGE_TIMER_LINGER = 5,
    /*
     The other fragments of a packet.
     */
    BRIDGE_TIMER_REASSEMBLY = 6,
    /*
     The addresses of a name.
     */
    BRIDGE_TIMER_RESOLVE = 7,
    /*
     A keep-alive probe, or the answer to one.
     */
    BRIDGE_TIMER_KEEP_ALIVE = 8,
    /*
     Idle time: nothing is owed to anybody.
     */
    BRIDGE_TIMER_IDLE = 9,
    /*
     Idle time with one side closed.
     */
    BRIDGE_TIMER_HALF_CLOSED = 10,
    /*
     Idle time after the far side has ended, as the device knows.
     */
    BRIDGE_TIMER_FIN_WAIT = 11,
    /*
     Something else, which this version of the header has no word for.
     */
    BRIDGE_TIMER_OTHER = 12,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum BridgeTimer BridgeTimer;
#else
typedef uint32_t BridgeTimer;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 What became of a dial.
 */
enum BridgeDialResult
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     The connection stands.
     */
    BRIDGE_DIAL_RESULT_CONNECTED = 0,
    /*
     The far host refused it.
     */
    BRIDGE_DIAL_RESULT_REFUSED = 1,
    /*
     The far host cannot be reached.
     */
    BRIDGE_DIAL_RESULT_HOST_UNREACHABLE = 2,
    /*
     No route to the far network.
     */
    BRIDGE_DIAL_RESULT_NETWORK_UNREACHABLE = 3,
    /*
     A policy forbids it.
     */
    BRIDGE_DIAL_RESULT_DENIED = 4,
    /*
     The far host did not answer in time.
     */
    BRIDGE_DIAL_RESULT_TIMED_OUT = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum BridgeDialResult BridgeDialResult;
#else
typedef uint32_t BridgeDialResult;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 How a far side ended.
 */
enum BridgeEnd
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     End of file: the device gets a FIN, and may go on sending.
     */
    BRIDGE_END_EOF = 0,
    /*
     The far side reset the connection: so does the engine, after what came before.
     */
    BRIDGE_END_RESET = 1,
    /*
     The connection failed otherwise: like a reset to the device.
     */
    BRIDGE_END_ERROR = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum BridgeEnd BridgeEnd;
#else
typedef uint32_t BridgeEnd;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

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
     Its first octet.
     */
    const uint8_t *bytes;
    /*
     Its length in octets.
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
     Largest IP packet toward the device, octets; 576 to 65,535. Zero: 1,500.
     */
    uint32_t mtu;
    /*
     Octets of the device's packets that may wait for the engine. Zero: 1 MiB.
     */
    uint64_t packet_pool_bytes;
    /*
     Octets of the buffers of one TCP flow, half for each direction; each half 1 to 65,535. Zero: 32 KiB, or
     eight segments at a large MTU.
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
     Zero.
     */
    uint32_t reserved;
} BridgeConfig;

/*
 How a flow ended: of anything but `BRIDGE_HOW_FIN` the far side should see a reset.
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
    const char *name;
    /*
     Its addresses; ports are zero.
     */
    const struct BridgeAddress *addresses;
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
    void *context;
    /*
     Packets for the device, 64 at most. Answers how many were taken, from the front; the others are offered again
     within 5 ms, and nothing else comes before them. Required.
     */
    size_t (*emit_packets)(void *context, const struct BridgePacket *packets, size_t count);
    /*
     Connect to `server`, and answer with `BridgeEngineOnDialResult`. `name` is the host name that the device had
     looked up for the address, or null. Required.
     */
    void (*request_tcp_dial)(void *context,
                             uint64_t flow,
                             const struct BridgeAddress *client,
                             const struct BridgeAddress *server,
                             const char *name);
    /*
     As `request_tcp_dial`, for datagrams. Required.
     */
    void (*request_udp_dial)(void *context,
                             uint64_t flow,
                             const struct BridgeAddress *client,
                             const struct BridgeAddress *server,
                             const char *name);
    /*
     The next octets of the device's stream. Answers how many were taken, from the front; if not all, the flow gives
     no more until `BridgeEngineOnWritable`, and then begins with those that were not taken. Required.
     */
    size_t (*tcp_send)(void *context, uint64_t flow, const uint8_t *bytes, size_t length);
    /*
     One datagram of the device for `to`. Answers 1 if it was taken; 0 or less: it is lost and counted
     (`datagrams_refused`), and the flow gives no more until `BridgeEngineOnWritable`, then those that came meanwhile, up to a bound.
     Required.
     */
    int32_t (*udp_send)(void *context,
                        uint64_t flow,
                        const struct BridgeAddress *to,
                        const uint8_t *bytes,
                        size_t length);
    /*
     The flow has ended; its number is dead. Exactly one for each `request_tcp_dial`. Required.
     */
    void (*tcp_close)(void *context, uint64_t flow, struct BridgeClose close);
    /*
     As `tcp_close`, for `request_udp_dial`. Required.
     */
    void (*udp_close)(void *context, uint64_t flow, struct BridgeClose close);
    /*
     A DNS answer passed. May be null.
     */
    void (*record_dns)(void *context, const struct BridgeDnsRecord *record);
    /*
     The device has sent its last octet, all before it was handed over: shut the write side down. What the far side
     sends still reaches the device. Null: half-closed connections stay open toward the far side until they end.
     */
    void (*tcp_half_close)(void *context, uint64_t flow);
    /*
     A `BridgeEngineOnTcpReceive` that was taken short may go on: `room` octets would be taken now. Null only if the host asks
     `BridgeEngineTcpRoom`.
     */
    void (*tcp_resume)(void *context, uint64_t flow, size_t room);
    /*
     Host-driven only: something came in and nothing had been waiting, so `BridgeEnginePoll` should be called soon. Comes
     from whatever thread made the call, and cannot itself poll, stop or free (`REENTRANT`). May be null.
     */
    void (*wake)(void *context);
    /*
     With `dns_interception` only: find out the addresses of `name` of a `family`, 4 or 6, and answer with
     `BridgeEngineOnResolved`. Without an answer in time the device hears of a failure. Null: the system's resolver is asked,
     on threads of the library's own, one of which may call `wake`.
     */
    void (*resolve)(void *context, uint64_t query, const char *name, uint32_t family);
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
     The most octets of each packet; of what far sides sent then only the length is kept. Zero: packets and payloads are
     whole.
     */
    uint32_t snap_length;
    /*
     The most octets of both files together, at least 512 KiB. Zero: no bound.
     */
    uint64_t max_bytes;
} BridgeRecording;

/*
 Receives a line of the log: a level (0 error, 1 warning, 2 information, 3 debugging, 4 tracing) and a text in UTF-8,
 lent for the call. It may come from any thread, and must not call `BridgeSetLogSink`. Calls that start,
 stop, change or free an engine may wait for whoever says the line; all others can be made from within it.
 */
typedef void (*BridgeLogSink)(void *context, uint32_t level, const char *message);

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
     Their octets.
     */
    uint64_t bytes_in;
    /*
     Packets for the device.
     */
    uint64_t packets_out;
    /*
     Their octets.
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
     Octets and payloads handed to the dialer.
     */
    uint64_t upstream_bytes;
    /*
     Octets and payloads taken from the dialer.
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
    const struct BridgeAddress *addresses;
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
 `bytes` points to `length` octets.
 */
BridgeStatus BridgeEngineHandlePacket(struct BridgeEngine *engine,
                                      const uint8_t *bytes,
                                      size_t length);

/*
 Several IP packets of the device, in order, cheaper than one by one. Answers how many found room; those that did not, those
 that are no packet by their length (0, or beyond 65,535), and those without octets (null) are lost and counted (`packets_lost`). Or a
 status below zero: `NULL_POINTER` without `packets`, `BAD_LENGTH` for a `count` that no memory holds.

 The caller promises:
 `packets` points to `count` structs, each of which points to its `length` octets.
 */
int64_t BridgeEngineHandlePackets(struct BridgeEngine *engine,
                                  const struct BridgePacket *packets,
                                  size_t count);

/*
 What became of a dial: a `BridgeDialResult`; anything else is `BAD_ARGUMENT`. `STALE_FLOW`: the flow has ended meanwhile (the device
 gave up, the engine's own limit passed): close what was connected. `DIAL_ANSWERED`: the first answer counts.
 */
BridgeStatus BridgeEngineOnDialResult(struct BridgeEngine *engine,
                                      uint64_t flow,
                                      uint32_t result);

/*
 The next octets of the far side's stream. Answers how many were taken, from the front: keep the rest, stop reading, and go on
 after `tcp_resume`. No octets are none taken, whatever `bytes` is. Or a status below zero: `NOT_CONNECTED`, `AFTER_END`, `STALE_FLOW`,
 `WRONG_PROTOCOL`; `BAD_LENGTH`: a length that no memory has.

 The caller promises:
 `bytes` points to `length` octets.
 */
int64_t BridgeEngineOnTcpReceive(struct BridgeEngine *engine,
                                 uint64_t flow,
                                 const uint8_t *bytes,
                                 size_t length);

/*
 Octets that `BridgeEngineOnTcpReceive` would take of this flow now, or the status below zero that it would answer.
 */
int64_t BridgeEngineTcpRoom(struct BridgeEngine *engine,
                            uint64_t flow);

/*
 One datagram of the far side, which may be empty. `from`: who sent it, or null for the destination that was dialed. `FULL`: too much waits; it is lost and
 counted. `BAD_LENGTH`: longer than any datagram (65,527). `BAD_ARGUMENT`: an address of no family.

 The caller promises:
 `from` is null or points to an address; `bytes` points to `length` octets.
 */
BridgeStatus BridgeEngineOnUdpReceive(struct BridgeEngine *engine,
                                      uint64_t flow,
                                      const struct BridgeAddress *from,
                                      const uint8_t *bytes,
                                      size_t length);

/*
 The far side of a TCP flow has ended: a `BridgeEnd`. After `EOF` the device may still send; after the others the flow's
 `tcp_close` follows. After an `EOF` a connection can still break; after that it is `AFTER_END`.
 */
BridgeStatus BridgeEngineOnTcpClose(struct BridgeEngine *engine,
                                    uint64_t flow,
                                    uint32_t end);

/*
 The far side of a UDP flow has ended: a `BridgeEnd`. Its `udp_close` follows.
 */
BridgeStatus BridgeEngineOnUdpClose(struct BridgeEngine *engine, uint64_t flow, uint32_t end);

/*
 The dialer takes nothing more of this flow until `BridgeEngineOnWritable`: no `tcp_send` or `udp_send` after the next turn. A short
 `tcp_send` says so by itself.
 */
BridgeStatus BridgeEngineOnBlocked(struct BridgeEngine *engine,
                                   uint64_t flow);

/*
 The dialer takes octets or datagrams of this flow again.
 */
BridgeStatus BridgeEngineOnWritable(struct BridgeEngine *engine, uint64_t flow);

/*
 What the host found out for `resolve`: `count` addresses that the device may keep for `ttl` seconds, those of the other family left out;
 with `status` `OK` and none of them: the name exists, without such an address; with `NOT_FOUND`: there is no such name; with anything
 else: it could not be found out, and the device may ask another resolver. An answer to a query that is not open is passed over.

 `FULL`: more answers wait than the engine has queries. `BAD_LENGTH`: more than 64 addresses; `BAD_ARGUMENT`: one of no family.

 The caller promises:
 `addresses` points to `count` addresses.
 */
BridgeStatus BridgeEngineOnResolved(struct BridgeEngine *engine,
                                    uint64_t query,
                                    const struct BridgeAddress *addresses,
                                    size_t count,
                                    uint32_t ttl,
                                    int32_t status);

/*
 The network path has changed (Wi-Fi to cellular, another address): see `close_on_path_change`.
 */
BridgeStatus BridgeEngineOnPathChange(struct BridgeEngine *engine);

/*
 The device's end of the tunnel has lost this address (its port is passed over): flows of it are closed, without a packet, because none could
 reach the device. `BAD_ARGUMENT`: of no family. `FULL`: more addresses wait than a device has.

 The caller promises:
 `address` points to an address.
 */
BridgeStatus BridgeEngineOnAddressLost(struct BridgeEngine *engine,
                                       const struct BridgeAddress *address);

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
struct BridgeEngine *BridgeNewEngine(const struct BridgeConfig *config,
                                     const struct BridgeCallbacks *callbacks,
                                     BridgeStatus *status);

/*
 Changes a setting for the next start, those that `BridgeConfig` has no field for among them: any field of the engine's `Config` but
 the log's level and mask, by its name in snake case (`tcp_idle`, `udp_mapping`), and `inbox_bytes`, the octets of far sides that may wait
 per flow. `value` is a text: durations in microseconds, sizes and counts in decimal, `true` or `false`, words with underscores
 (`endpoint_independent`), `none` for what may be absent. A `seed` set so is kept, zero as well.

 A zero is a value like any other here, not the default: where it would let nothing through or never end (`inbox_bytes`, `metrics_interval`) it is
 out of its bounds. `BAD_ARGUMENT`: no such setting, no such value, or out of its bounds; nothing changes then. `BAD_LENGTH`: a text beyond 63 octets.
 `ALREADY_STARTED`: stop it before. `REENTRANT` from within a callback of this engine.

 The caller promises:
 `name` and `value` end with a zero.
 */
BridgeStatus BridgeEngineSet(struct BridgeEngine *engine,
                             const char *name,
                             const char *value);

/*
 Stops the engine if it runs, as `BridgeEngineStop` does, and forgets it: the handle is bad from then on. When it
 returns, no callback runs and none comes any more.

 From within a callback of this engine: `REENTRANT`, and nothing happens. A null or bad handle: `NULL_POINTER`, `BAD_HANDLE`.
 */
BridgeStatus BridgeFreeEngine(struct BridgeEngine *engine);

/*
 Starts the engine, with a thread of its own unless it is host-driven. Once it was stopped it can be started again, with
 no flow and new counters.

 `ALREADY_STARTED`; `IO`: no thread could be made; `REENTRANT` from within a callback of this engine.
 */
BridgeStatus BridgeEngineStart(struct BridgeEngine *engine);

/*
 Closes every flow (TCP toward the device with a reset, each with its `tcp_close` or `udp_close`), then ends the thread. Waits
 for callbacks that run; when it returns, none runs and none comes any more. Packets the host does not take then are lost.

 `NOT_STARTED`, `STOPPED`; `REENTRANT` from within a callback of this engine. A callback that waits for the thread that
 calls this waits for ever.
 */
BridgeStatus BridgeEngineStop(struct BridgeEngine *engine);

/*
 Host-driven: lets the engine work at `now_us`, microseconds since an origin of the host's choice, above zero and never
 running back (a smaller one counts as the last). Callbacks come from within the call. Answers when to call again unless something comes in before
 that: a time on the same clock, not above `now_us` while work is left, or `BRIDGE_NO_DEADLINE`; or a status below zero.

 The same calls with the same times give the same callbacks, if the seed is fixed.

 `REENTRANT` from within a callback of this engine, and for an engine that has a thread of its own; `BUSY` while another thread polls it;
 `BAD_ARGUMENT` for a time that cannot be.
 */
int64_t BridgeEnginePoll(struct BridgeEngine *engine,
                         uint64_t now_us);

/*
 Begins to record to the file at `path` what crosses the tunnel and what the dialer does, in a pcapng that Wireshark
 opens and `replay import` makes a test of. It is bounded by `max_bytes` (zero: not at all; else at least 512 KiB) as a ring of two files,
 the older one with `.1` before the extension; regular files of these names are replaced, by files of mode 0600. A null `path` ends the recording; so does stopping, and
 a disk that is full. Before the start it waits for it; else it begins with the next turn.

 Flows that are open by then cannot be replayed: begin it before the start to have all of them.

 `IO`: the file cannot be made, or a link or something else that is no regular file is in its place; the log says why. `BAD_ARGUMENT`: a path that is not UTF-8, `BAD_LENGTH`: or beyond 4,095 octets.

 The caller promises:
 `path` is null or ends with a zero.
 */
BridgeStatus BridgeEngineRecord(struct BridgeEngine *engine,
                                const char *path,
                                uint64_t max_bytes);

/*
 As `BridgeEngineRecord`, with all that can be said of a recording. Null `options` are those of a zeroed struct.

 `BAD_LENGTH`: a `size` that is too short, too.

 The caller promises:
 `path` is null or ends with a zero; `options` is null or has the size it says.
 */
BridgeStatus BridgeEngineRecordWith(struct BridgeEngine *engine,
                                    const char *path,
                                    const struct BridgeRecording *options);

/*
 A status in English words, for logs; never null, and never to be freed. An unknown number is "unknown status".
 */
const char *BridgeStatusText(int64_t status);

/*
 Sets who receives the log of all engines, up to `level` (0 errors only, 4 everything), or nobody. When it returns, the
 former sink is not called any more. `context` must stay sound until then. An engine speaks at the level that holds when it
 is started. Lines have no address and no name in clear.

 From within a sink: `BRIDGE_STATUS_REENTRANT`, and nothing changes.

 The caller promises:
 `sink` can be called with `context` from any thread.
 */
BridgeStatus BridgeSetLogSink(BridgeLogSink sink,
                              void *context,
                              uint32_t level);

/*
 Fills in the counters, as many as the caller's struct has room for. `BAD_LENGTH`: its `size` is below that of the first version.

 The caller promises:
 `counters` points to a struct of the size it says.
 */
BridgeStatus BridgeEngineGetCounters(struct BridgeEngine *engine,
                                     struct BridgeCounters *counters);

/*
 Host-driven: what the time that `BridgeEnginePoll` answered last is for, if no work was left then. A host that may sleep through idle
 limits learns from it whether anything else is waited for.

 `BAD_LENGTH`: its `size` is below that of this version. `REENTRANT` from within a callback of this engine, and for an engine that has a thread of its
 own; `BUSY` while another thread polls it.

 The caller promises:
 `deadline` points to a struct of the size it says.
 */
BridgeStatus BridgeEngineGetDeadline(struct BridgeEngine *engine,
                                     struct BridgeDeadline *deadline);

/*
 Every counter of the engine and every number of its loop, as one JSON object of flat names, UTF-8, with a zero at the end. Answers the length
 without the zero; if `capacity` is not above it, nothing is written but the zero, if that has room: ask with 0 first, or bring 16 KiB.

 The caller promises:
 `buffer` points to room for `capacity` octets, or is null and `capacity` is zero.
 */
int64_t BridgeEngineGetStats(struct BridgeEngine *engine,
                             char *buffer,
                             size_t capacity);

/*
 Resolves `name` (or an address in text form) within `timeout_ms`, on the calling thread, which waits: not from within a callback, which would hold
 the engine up (`REENTRANT`). On `OK`, and only then, `result` has an answer that is the host's to free.

 `NOT_FOUND`; `TIMED_OUT`; `BUSY`: too many lookups that were given up are still under way; `BAD_LENGTH`, `BAD_ARGUMENT`: no name.
 Works before the start and after the stop as well.

 The caller promises:
 `name` ends with a zero; `result` points to room for a pointer.
 */
BridgeStatus BridgeEngineResolveHost(struct BridgeEngine *engine,
                                     const char *name,
                                     uint32_t timeout_ms,
                                     struct BridgeResolveResult **result);

/*
 Frees an answer of `BridgeEngineResolveHost`; null is nothing to free. Each answer once.

 The caller promises:
 `result` is null or such an answer that was not freed.
 */
void BridgeResolveResultFree(struct BridgeResolveResult *result);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BRIDGE_H */
