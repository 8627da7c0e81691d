import Foundation
@testable import PacketTunnelEngine

/// A value that threads change and a test waits for.
final class Watched<Value>: @unchecked Sendable {
    private let condition = NSCondition()
    private var value: Value

    init(_ value: Value) { self.value = value }

    @discardableResult
    func change<Result>(_ body: (inout Value) -> Result) -> Result {
        condition.lock()
        defer {
            condition.broadcast()
            condition.unlock()
        }
        return body(&value)
    }

    var now: Value { change { $0 } }

    /// Waits until it is so; `false` if it took longer than any sound machine.
    func wait(_ isSo: (Value) -> Bool) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        let end = Date().addingTimeInterval(30)
        while !isSo(value) {
            if !condition.wait(until: end) { return isSo(value) }
        }
        return true
    }
}

/// A device of one TCP connection over a path that loses nothing: it respects the engine's window and has one of its own.
final class Device: PacketSink {
    struct State {
        var sequence: UInt32 = 1_000
        var acknowledged: UInt32 = 1_000
        var expected: UInt32 = 0
        var engineWindow = 0
        var toSend: [UInt8] = []
        var wantsEnd = false, endSent = false
        var received: [UInt8] = []
        var isEstablished = false, remoteEnded = false, isReset = false
        /// Closed: what comes stays with the engine.
        var isReading = true
        var closedWindows = 0
    }

    let client = Endpoint("10.0.0.2:40000")!
    let server: Endpoint
    let state = Watched(State())
    private let outbox = Lock([[UInt8]]())
    private let queue = DispatchQueue(label: "device")
    private let engine = Lock(Engine?.none)

    init(server: Endpoint) { self.server = server }

    func connect(_ engine: Engine) {
        self.engine.withLock { $0 = engine }
        var syn = Packet(from: client, to: server)
        (syn.sequence, syn.flags) = (1_000, .syn)
        transmit(syn)
        state.change { $0.sequence += 1 }
    }

    func disconnect() { engine.withLock { $0 = nil } }

    func send(_ bytes: [UInt8], end: Bool = false) {
        state.change { state in
            state.toSend += bytes
            state.wantsEnd = end
        }
        push()
    }

    func setReading(_ reading: Bool) {
        state.change { $0.isReading = reading }
        if reading { acknowledge() }
    }

    func write(_ packets: PacketBatch) -> Int {
        for bytes in packets {
            guard let packet = Packet(bytes), packet.kind == .tcp else { continue }
            receive(packet)
        }
        return packets.count
    }

    private func receive(_ packet: Packet) {
        let answers = state.change { state -> Bool in
            if packet.flags.contains(.rst) {
                state.isReset = true
                return false
            }
            if packet.flags.contains(.syn) {
                state.expected = packet.sequence &+ 1
                state.isEstablished = true
            }
            state.acknowledged = packet.acknowledgement
            state.engineWindow = Int(packet.window)
            var answers = packet.flags.contains(.syn)
            if packet.sequence == state.expected, !packet.payload.isEmpty, state.isReading {
                state.received += packet.payload
                state.expected &+= UInt32(packet.payload.count)
                answers = true
            }
            if packet.flags.contains(.fin), packet.sequence &+ UInt32(packet.payload.count) == state.expected, !state.remoteEnded {
                state.expected &+= 1
                state.remoteEnded = true
                answers = true
            }
            if !state.isReading, !packet.payload.isEmpty { state.closedWindows += 1 }
            // What came before, or does not fit, is answered as well (RFC 9293 section 3.10.7.4).
            if !packet.payload.isEmpty { answers = true }
            return answers
        }
        if answers { acknowledge() }
        push()
    }

    private func acknowledge() {
        let packet = state.change { state in
            var packet = Packet(from: client, to: server)
            (packet.sequence, packet.acknowledgement, packet.flags) = (state.sequence, state.expected, .ack)
            packet.window = state.isReading ? 65_535 : 0
            return packet
        }
        transmit(packet)
    }

    private func push() {
        while true {
            let packet = state.change { state -> Packet? in
                guard state.isEstablished, !state.isReset else { return nil }
                let room = state.engineWindow - Int(state.sequence &- state.acknowledged)
                let count = min(state.toSend.count, 1_200, room)
                let ends = state.wantsEnd && !state.endSent && state.toSend.count == count
                guard count > 0 || (ends && room >= 0) else { return nil }
                var packet = Packet(from: client, to: server)
                (packet.sequence, packet.acknowledgement, packet.flags) = (state.sequence, state.expected, [.ack, .push])
                packet.window = state.isReading ? 65_535 : 0
                packet.payload = Array(state.toSend.prefix(max(count, 0)))
                state.toSend.removeFirst(packet.payload.count)
                state.sequence &+= UInt32(packet.payload.count)
                if ends {
                    packet.flags.insert(.fin)
                    state.sequence &+= 1
                    state.endSent = true
                }
                return packet
            }
            guard let packet else { return }
            transmit(packet)
        }
    }

    /// On a queue of its own: an engine's callback must not wait for the engine.
    private func transmit(_ packet: Packet) {
        let bytes = packet.bytes
        queue.async { [self] in _ = try? engine.withLock { $0 }?.handle([bytes]) }
    }
}
