import EngineBridge

/// The counters a host shows; ``Engine/statistics`` has all of them. They only grow, but for the numbers of flows.
public struct EngineCounters: Sendable, Equatable {
    /// Packets of the device that the engine has looked at, and their bytes.
    public let packetsIn, bytesIn: UInt64
    /// Packets for the device, and their bytes.
    public let packetsOut, bytesOut: UInt64
    /// Packets of the device that found no room, and those that the engine dropped, for whatever reason.
    public let packetsLost, packetsDropped: UInt64
    /// Payload handed to the transport, and taken from it.
    public let upstreamBytes, downstreamBytes: UInt64
    /// Open flows.
    public let tcpFlows, udpFlows: UInt64
    /// Flows refused for want of room.
    public let tcpRefused, udpRefused: UInt64
    /// Dials that did not connect.
    public let tcpDialsFailed, udpDialsFailed: UInt64
    /// Flows closed because nothing moved for too long.
    public let tcpIdleTimeouts, udpIdleTimeouts: UInt64
    /// Datagrams dropped because a queue was full.
    public let datagramsDropped: UInt64
    /// What the host did not take at once: batches of packets, bytes of streams, and datagrams, which are lost.
    public let batchesRefused, bytesRefused, datagramsRefused: UInt64
    /// Turns of the engine, and the longest, microseconds.
    public let turns, longestTurnMicroseconds: UInt64

    init(_ counters: BridgeCounters) {
        packetsIn = counters.packets_in
        bytesIn = counters.bytes_in
        packetsOut = counters.packets_out
        bytesOut = counters.bytes_out
        packetsLost = counters.packets_lost
        packetsDropped = counters.packets_dropped
        upstreamBytes = counters.upstream_bytes
        downstreamBytes = counters.downstream_bytes
        tcpFlows = counters.tcp_flows
        udpFlows = counters.udp_flows
        tcpRefused = counters.tcp_admission_fail
        udpRefused = counters.udp_admission_fail
        tcpDialsFailed = counters.tcp_dial_fail
        udpDialsFailed = counters.udp_dial_fail
        tcpIdleTimeouts = counters.tcp_idle_timeout
        udpIdleTimeouts = counters.udp_idle_timeout
        datagramsDropped = counters.udp_backpressure_drops
        batchesRefused = counters.host_refused_batches
        bytesRefused = counters.host_refused_bytes
        datagramsRefused = counters.datagrams_refused
        turns = counters.turns
        longestTurnMicroseconds = counters.longest_turn_us
    }
}

enum Statistics {
    /// One flat JSON object of names and whole numbers, as `BridgeEngineGetStats` writes it.
    static func parse(_ text: String) -> [String: UInt64] {
        var numbers: [String: UInt64] = [:]
        for pair in text.dropFirst().dropLast().split(separator: ",") {
            let parts = pair.split(separator: ":")
            guard parts.count == 2, let number = UInt64(parts[1]) else { continue }
            numbers[String(parts[0].dropFirst().dropLast())] = number
        }
        return numbers
    }
}
