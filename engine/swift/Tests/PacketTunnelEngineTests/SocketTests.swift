import Foundation
import Testing
@testable import PacketTunnelEngine

#if canImport(Glibc)
import Glibc
#endif

/// A server on the loopback interface, on threads of its own.
final class Server: Sendable {
    let port: UInt16
    /// Opened: connections are read.
    let gate = Watched(true)
    let received = Watched(0)
    private let socket: Int32

    init(_ kind: FlowProtocol, listens: Bool = true) throws {
        let socket = systemSocket(AF_INET, kind == .tcp ? SocketKind.stream : SocketKind.datagram, 0)
        let bound = SocketAddress(Endpoint("127.0.0.1:0")!).with { bind(socket, $0, $1) }
        try #require(socket >= 0 && bound == 0)
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(socket, $0, &length) }
        }
        port = UInt16(bigEndian: address.sin_port)
        self.socket = socket
        let (gate, received) = (gate, received)
        if kind == .udp {
            Thread.detachNewThread { Self.echoDatagrams(socket) }
            return
        }
        // A kernel that takes megabytes would hide what backpressure does.
        var small: Int32 = 8_192
        setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &small, socklen_t(MemoryLayout<Int32>.size))
        setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &small, socklen_t(MemoryLayout<Int32>.size))
        guard listens else { return }
        try #require(listen(socket, 8) == 0)
        Thread.detachNewThread {
            while true {
                let connection = accept(socket, nil, nil)
                guard connection >= 0 else {
                    _ = systemClose(socket)
                    return
                }
                Thread.detachNewThread { Self.echo(connection, gate, received) }
            }
        }
    }

    // The thread that uses the socket closes it: its number could be another's by then.
    deinit { shutdown(socket, Int32(2)) }

    /// Everything back, then the end, once the other side's end has come.
    private static func echo(_ connection: Int32, _ gate: Watched<Bool>, _ received: Watched<Int>) {
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while true {
            _ = gate.wait { $0 }
            let got = recv(connection, &buffer, buffer.count, 0)
            guard got > 0 else { break }
            received.change { $0 += got }
            var sent = 0
            while sent < got {
                let more = buffer.withUnsafeBytes { systemSend(connection, $0.baseAddress! + sent, got - sent, SocketFlags.noSignal) }
                guard more > 0 else { break }
                sent += more
            }
        }
        _ = systemClose(connection)
    }

    private static func echoDatagrams(_ socket: Int32) {
        var buffer = [UInt8](repeating: 0, count: 65_535)
        while true {
            var from = sockaddr_in()
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let done = withUnsafeMutablePointer(to: &from) { from in
                from.withMemoryRebound(to: sockaddr.self, capacity: 1) { from in
                    let got = recvfrom(socket, &buffer, buffer.count, 0, from, &length)
                    return got < 0 || sendto(socket, buffer, got, 0, from, length) < 0
                }
            }
            guard !done else {
                _ = systemClose(socket)
                return
            }
        }
    }
}

@Suite(.serialized) struct SocketTests {
    private static func engine(to port: UInt16, _ sink: any PacketSink) throws -> (Engine, SocketTransport) {
        var options = SocketTransport.Options()
        options.sendBuffer = 8_192
        options.route = { _ in Endpoint("127.0.0.1:\(port)") }
        var limits = ConnectionTransport.Limits()
        limits.sendBytes = 16 << 10
        let transport = SocketTransport(options, limits: limits)
        let engine = try Engine(transport: transport, packets: sink)
        try engine.start()
        return (engine, transport)
    }

    @Test func an_echo_over_real_sockets_comes_back_whole_through_pauses_of_either_side() async throws {
        let server = try Server(.tcp)
        let device = Device(server: Endpoint("93.184.216.34:7")!)
        let (engine, transport) = try Self.engine(to: server.port, device)
        let sent = (0..<400_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
        // The far side reads nothing: what the device sends piles up to the bounds, and stays in the engine.
        server.gate.change { $0 = false }
        device.connect(engine)
        #expect(device.state.wait { $0.isEstablished })
        device.send(sent, end: true)
        #expect(device.state.wait { $0.engineWindow < 1_200 && !$0.toSend.isEmpty })
        // The device reads nothing: what the far side sends piles up the other way.
        device.setReading(false)
        server.gate.change { $0 = true }
        #expect(device.state.wait { $0.closedWindows > 0 })
        device.setReading(true)
        #expect(device.state.wait { $0.remoteEnded || $0.isReset })
        let state = device.state.now
        #expect(state.received == sent && state.remoteEnded && !state.isReset)
        #expect(server.received.now == sent.count)
        device.disconnect()
        try await engine.stop()
        #expect(try engine.counters.bytesRefused > 0)
        #expect(transport.connections.connectionCount == 0)
    }

    @Test func datagrams_go_there_and_back() async throws {
        let server = try Server(.udp)
        let host = Host()
        let (engine, _) = try Self.engine(to: server.port, host)
        for size in [1, 0, 1_400] {
            var packet = Packet(.udp, from: Endpoint("10.0.0.2:5000")!, to: Endpoint("93.184.216.34:7")!)
            packet.payload = [UInt8](repeating: 7, count: size)
            try engine.handle([packet.bytes])
            #expect(host.packets.wait { $0.last?.payload == packet.payload })
        }
        try await engine.stop()
    }

    @Test func a_port_where_nobody_listens_is_a_refusal_and_a_reset() async throws {
        // Bound, so that nobody else has the port, and not listening.
        let silent = try Server(.tcp, listens: false)
        let device = Device(server: Endpoint("93.184.216.34:7")!)
        let (engine, transport) = try Self.engine(to: silent.port, device)
        device.connect(engine)
        #expect(device.state.wait { $0.isReset })
        device.disconnect()
        try await engine.stop()
        // As of the end of a turn, which the reset comes before.
        #expect(try engine.counters.tcpDialsFailed == 1)
        #expect(transport.connections.connectionCount == 0)
    }

    @Test func the_system_s_resolver_answers_what_it_knows_and_what_it_does_not() {
        #expect(systemResolve("127.0.0.1", .v4) == .addresses([IPAddress("127.0.0.1")!], ttl: 30))
        #expect(systemResolve("::1", .v6) == .addresses([IPAddress("::1")!], ttl: 30))
        #expect(systemResolve("no such name.invalid", .v4) != .addresses([], ttl: 30))
    }
}

/// The device's end in the words of `NEPacketTunnelFlow`.
@Suite struct PacketFlowTests {
    final class Ends: TunnelPackets, @unchecked Sendable {
        var reads: [@Sendable ([Data]) -> Void] = []
        var written: [(Data, Int32)] = []
        var takes = true

        func readPackets(_ completion: @escaping @Sendable ([Data]) -> Void) { reads.append(completion) }

        func writePackets(_ packets: [Data], families: [Int32]) -> Bool {
            if takes { written += zip(packets, families) }
            return takes
        }
    }

    private func engine(_ flow: PacketFlow, _ host: Host) throws -> Engine {
        try Engine(configuration: hostDriven(), transport: host, packets: flow)
    }

    @Test func one_read_is_under_way_at_a_time_until_the_loop_is_stopped() throws {
        let (ends, host) = (Ends(), Host())
        let flow = PacketFlow(ends)
        let engine = try engine(flow, host)
        try engine.start()
        flow.start(engine)
        flow.start(engine)
        #expect(ends.reads.count == 1)
        ends.reads[0]([Data(syn())])
        #expect(ends.reads.count == 2)
        _ = try engine.poll(now: 1_000)
        #expect(host.dials.now.count == 1)
        flow.stop()
        ends.reads[1]([Data(syn(port: 41_000))])
        #expect(ends.reads.count == 2)
    }

    @Test func packets_go_out_with_their_family_in_batches_of_a_bounded_size() throws {
        let (ends, host) = (Ends(), Host())
        let flow = PacketFlow(ends, mostBytes: 50)
        let engine = try engine(flow, host)
        try engine.start()
        host.onDial = { request, input in try? input.dialed(request.flow, .connected) }
        try engine.handle([syn(), syn(port: 41_000)])
        var now: UInt64 = 1_000
        while ends.written.count < 2, now < 100_000 { now = max(now + 1_000, try engine.poll(now: now) ?? now) }
        #expect(ends.written.map(\.1) == [AddressFamily.v4.number, AddressFamily.v4.number])
        let six: [UInt8] = [0x60, 0]
        #expect(six.withUnsafeBytes { PacketFlow.family($0) } == AddressFamily.v6.number)
    }

    @Test func what_the_device_s_end_refuses_stays_in_the_engine() throws {
        let (ends, host) = (Ends(), Host())
        let flow = PacketFlow(ends)
        let engine = try engine(flow, host)
        try engine.start()
        host.onDial = { request, input in try? input.dialed(request.flow, .connected) }
        ends.takes = false
        try engine.handle([syn()])
        _ = try engine.poll(now: 1_000)
        #expect(flow.refusedBatches > 0 && ends.written.isEmpty)
        ends.takes = true
        _ = try engine.poll(now: 7_000)
        #expect(ends.written.count == 1)
    }
}
