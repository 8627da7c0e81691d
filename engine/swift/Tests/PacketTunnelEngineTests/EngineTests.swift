import Foundation
import Testing
@testable import PacketTunnelEngine

/// A host that keeps what the engine says, and takes what a test lets it.
final class Host: Transport, PacketSink, @unchecked Sendable {
    let packets = Watched([Packet]())
    let dials = Watched([DialRequest]())
    let closes = Watched([(FlowID, CloseReason)]())
    let sent = Watched([UInt8]())
    let calls = Watched(0)
    var takesPackets = true, takesDatagrams = true
    var onDial: (@Sendable (DialRequest, any EngineInput) -> Void)?
    private(set) var input: (any EngineInput)!
    private(set) var isDetached = false, memoryWarnings = 0

    func attach(_ engine: any EngineInput) { input = engine }

    func dial(_ request: DialRequest) {
        calls.change { $0 += 1 }
        dials.change { $0.append(request) }
        onDial?(request, input)
    }

    func send(_ flow: FlowID, _ bytes: UnsafeRawBufferPointer) -> Int {
        sent.change { $0 += Array(bytes) }
        return bytes.count
    }

    func send(_ flow: FlowID, datagram: UnsafeRawBufferPointer, to: Endpoint) -> Bool {
        if takesDatagrams { sent.change { $0 += Array(datagram) } }
        return takesDatagrams
    }

    func halfClose(_ flow: FlowID) {}
    func resume(_ flow: FlowID, room: Int) {}

    func close(_ flow: FlowID, _ reason: CloseReason) {
        calls.change { $0 += 1 }
        closes.change { $0.append((flow, reason)) }
    }

    func detach() { isDetached = true }
    func reduceMemory() { memoryWarnings += 1 }

    func write(_ batch: PacketBatch) -> Int {
        calls.change { $0 += 1 }
        guard takesPackets else { return 0 }
        packets.change { $0 += batch.compactMap { Packet($0) } }
        return batch.count
    }
}

private let client = Endpoint("10.0.0.2:40000")!
private let server = Endpoint("93.184.216.34:80")!

func hostDriven(_ change: (inout Configuration) -> Void = { _ in }) -> Configuration {
    var configuration = Configuration()
    configuration.isHostDriven = true
    configuration.seed = 7
    change(&configuration)
    return configuration
}

func syn(port: UInt16 = 40_000) -> [UInt8] {
    var packet = Packet(from: Endpoint(address: client.address, port: port), to: server)
    (packet.sequence, packet.flags) = (1_000, .syn)
    return packet.bytes
}

private func datagram(_ payload: [UInt8], to: Endpoint) -> [UInt8] {
    var packet = Packet(.udp, from: client, to: to)
    packet.payload = payload
    return packet.bytes
}

@Suite struct EngineTests {
    @Test func a_syn_becomes_a_dial_and_its_answer_a_syn_ack() throws {
        let host = Host()
        let engine = try Engine(configuration: hostDriven(), transport: host, packets: host)
        try engine.start()
        try engine.handle([syn()])
        _ = try engine.poll(now: 1_000)
        let dial = try #require(host.dials.now.first)
        #expect(dial.transport == .tcp && dial.client == client && dial.server == server && dial.name == nil)
        #expect(host.packets.now.isEmpty && engine.flows == [dial])
        try host.input.dialed(dial.flow, .connected)
        _ = try engine.poll(now: 2_000)
        let answer = try #require(host.packets.now.first)
        #expect(answer.flags == [.syn, .ack] && answer.acknowledgement == 1_001 && answer.to == client && answer.from == server)
    }

    @Test func a_refused_dial_is_a_reset_and_one_close() throws {
        let host = Host()
        let engine = try Engine(configuration: hostDriven(), transport: host, packets: host)
        try engine.start()
        try engine.handle([syn()])
        _ = try engine.poll(now: 1_000)
        try host.input.dialed(host.dials.now[0].flow, .refused)
        _ = try engine.poll(now: 2_000)
        #expect(host.packets.now.map(\.flags) == [[.rst, .ack]])
        #expect(host.closes.now.map(\.1) == [CloseReason(by: .remote, how: .dial)] && engine.flows.isEmpty)
    }

    @Test func more_packets_than_one_call_takes_go_in_in_order() throws {
        let host = Host()
        let engine = try Engine(configuration: hostDriven { $0.tcpLimit = 500; $0.udpLimit = 500 }, transport: host, packets: host)
        try engine.start()
        let packets = (0..<200).map { syn(port: 10_000 + UInt16($0)) }
        #expect(try engine.handle(packets.map { Data($0) }) == 200)
        while let next = try engine.poll(now: 1_000), next <= 1_000 {}
        #expect(host.dials.now.map(\.client.port) == Array(10_000..<10_200))
    }

    @Test func dns_answers_on_their_way_to_the_device_are_told_and_name_later_dials() async throws {
        let host = Host()
        let engine = try Engine(configuration: hostDriven(), transport: host, packets: host)
        let records = engine.dnsRecords
        try engine.start()
        try engine.handle([datagram(dnsQuery("example.com"), to: Endpoint("9.9.9.9:53")!)])
        _ = try engine.poll(now: 1_000)
        let dial = try #require(host.dials.now.first)
        #expect(dial.transport == .udp)
        try host.input.dialed(dial.flow, .connected)
        _ = try engine.poll(now: 2_000)
        #expect(host.sent.now == dnsQuery("example.com"))
        try dnsAnswer("example.com", server.address.bytes, ttl: 60).withUnsafeBytes { bytes in
            try host.input.received(dial.flow, datagram: bytes, from: nil)
        }
        _ = try engine.poll(now: 3_000)
        #expect(host.packets.now.map(\.kind) == [.udp])
        let record = await records.first { _ in true }
        #expect(record == DNSRecord(name: "example.com", addresses: [server.address], ttl: 60))
        try engine.handle([syn()])
        _ = try engine.poll(now: 4_000)
        #expect(host.dials.now.last?.name == "example.com")
    }

    @Test func packets_that_the_sink_refuses_are_offered_again_and_counted() throws {
        let host = Host()
        let engine = try Engine(configuration: hostDriven(), transport: host, packets: host)
        try engine.start()
        host.onDial = { request, input in try? input.dialed(request.flow, .connected) }
        host.takesPackets = false
        try engine.handle([syn()])
        let next = try #require(try engine.poll(now: 1_000))
        #expect(host.packets.now.isEmpty && next <= 6_000)
        host.takesPackets = true
        _ = try engine.poll(now: 6_000)
        #expect(host.packets.now.map(\.flags) == [[.syn, .ack]])
        #expect(try engine.counters.batchesRefused > 0)
    }

    @Test func datagrams_that_the_transport_refuses_are_lost_and_counted() throws {
        let host = Host()
        let engine = try Engine(configuration: hostDriven(), transport: host, packets: host)
        try engine.start()
        host.takesDatagrams = false
        host.onDial = { request, input in try? input.dialed(request.flow, .connected) }
        try engine.handle([datagram([1, 2, 3], to: Endpoint("9.9.9.9:443")!)])
        while let next = try engine.poll(now: 1_000), next <= 1_000 {}
        #expect(try engine.counters.datagramsRefused == 1)
    }

    @Test func misuse_is_an_error_that_names_it() async throws {
        let host = Host()
        let engine = try Engine(configuration: hostDriven(), transport: host, packets: host)
        #expect(throws: EngineError.notStarted) { try engine.handle([syn()]) }
        #expect(throws: EngineError.notStarted) { try engine.poll(now: 1) }
        #expect(throws: EngineError.notStarted) { try engine.counters }
        await #expect(throws: EngineError.notStarted) { try await engine.stop() }
        try engine.start()
        #expect(throws: EngineError.alreadyStarted) { try engine.start() }
        #expect(throws: EngineError.badArgument) { try engine.poll(now: 0) }
        #expect(throws: EngineError.staleFlow) { try host.input.dialed(99, .connected) }
        try await engine.stop()
        #expect(throws: EngineError.stopped) { try engine.poll(now: 1) }
        await #expect(throws: EngineError.stopped) { try await engine.stop() }
        #expect("\(EngineError.staleFlow)" == "no flow has this number")
    }

    @Test(arguments: [["mtu": "0"], ["no_such_setting": "1"], ["tcp_idle": "soon"]])
    func a_setting_that_cannot_be_is_refused(settings: [String: String]) {
        let host = Host()
        #expect(throws: EngineError.badArgument) {
            try Engine(configuration: hostDriven { $0.settings = settings }, transport: host, packets: host)
        }
    }

    @Test func a_zero_that_was_asked_for_is_no_default() {
        let host = Host()
        #expect(throws: EngineError.badArgument) { try Engine(configuration: hostDriven { $0.mtu = 0 }, transport: host, packets: host) }
        #expect(throws: EngineError.badArgument) { try Engine(configuration: hostDriven { $0.tcpLimit = -1 }, transport: host, packets: host) }
    }

    @Test func an_engine_with_a_thread_is_not_polled() async throws {
        let host = Host()
        let engine = try Engine(transport: host, packets: host)
        try engine.start()
        #expect(throws: EngineError.reentrant) { try engine.poll(now: 1) }
        try await engine.stop()
    }

    @Test func an_engine_can_be_started_again_and_says_what_happens() async throws {
        let host = Host()
        let engine = try Engine(configuration: hostDriven(), transport: host, packets: host)
        let events = engine.events
        try engine.start()
        try await engine.stop()
        try engine.start()
        engine.sleep()
        engine.wake()
        try engine.pathChanged(.network)
        let seen = await events.prefix(6).reduce(into: []) { $0.append($1) }
        #expect(seen == [.started, .stopped, .started, .sleeping, .woke, .pathChanged(.network)])
        // One as the transport, one as the sink.
        #expect(host.isDetached && host.memoryWarnings == 2)
    }

    @Test func errors_and_path_changes_of_the_transport_reach_the_engine_and_its_events() async throws {
        let transport = ConnectionTransport { _ in ScriptedConnection() }
        let engine = try Engine(configuration: hostDriven { $0.closesOnPathChange = true }, transport: transport, packets: Host())
        let events = engine.events
        try engine.start()
        try engine.handle([syn()])
        _ = try engine.poll(now: 1_000)
        transport.pathChanged(nil)
        _ = try engine.poll(now: 2_000)
        let seen = await events.prefix(5).reduce(into: []) { $0.append($1) }
        #expect(seen.contains(.transport(.path(nil))) && seen.contains(.pathChanged(.network)))
        let closed = seen.contains { if case .closed(_, CloseReason(by: .engine, how: .path)) = $0 { true } else { false } }
        #expect(closed && engine.flows.isEmpty && transport.connectionCount == 0)
    }

    @Test func counters_statistics_and_metrics_tell_the_same() throws {
        let host = Host()
        let engine = try Engine(configuration: hostDriven(), transport: host, packets: host)
        try engine.start()
        try engine.handle([syn()])
        _ = try engine.poll(now: 1_000)
        let (counters, statistics, metrics) = (try engine.counters, try engine.statistics, try engine.openMetrics)
        #expect(counters.packetsIn == 1 && counters.tcpFlows == 1)
        #expect(statistics["frames_in"] == 1 && statistics["tcp_flows"] == 1 && statistics.count > 100)
        #expect(metrics.contains("engine_frames_in_total 1\n") && metrics.hasSuffix("# EOF\n"))
    }

    @Test func a_preset_sets_what_fields_leave_open() throws {
        let host = Host()
        var configuration = Configuration(preset: .phone)
        configuration.isHostDriven = true
        let engine = try Engine(configuration: configuration, transport: host, packets: host)
        try engine.start()
        try engine.handle((0..<300).map { syn(port: 10_000 + UInt16($0)) })
        while let next = try engine.poll(now: 1_000), next <= 1_000 {}
        #expect(host.dials.now.count == 256)
    }

    @Test func a_recording_is_a_file() async throws {
        let path = NSTemporaryDirectory() + "swift-\(UInt64.random(in: 0 ... .max)).pcapng"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let host = Host()
        let engine = try Engine(configuration: hostDriven(), transport: host, packets: host)
        try engine.record(to: path, limit: 1 << 20)
        try engine.start()
        try engine.handle([syn()])
        _ = try engine.poll(now: 1_000)
        try await engine.stop()
        let file = try Data(contentsOf: URL(fileURLWithPath: path))
        #expect(file.prefix(4) == Data([0x0a, 0x0d, 0x0d, 0x0a]) && file.range(of: Data(syn())) != nil)
        #expect(throws: EngineError.io) { try engine.record(to: "/nowhere/at/all.pcapng") }
    }

    @Test func short_of_memory_datagram_flows_that_wait_are_closed() throws {
        let made = Lock([ScriptedConnection]())
        let transport = ConnectionTransport { _ in
            let connection = ScriptedConnection()
            made.withLock { $0.append(connection) }
            return connection
        }
        let engine = try Engine(configuration: hostDriven(), transport: transport, packets: Host())
        try engine.start()
        try engine.handle([syn(), datagram([1], to: Endpoint("9.9.9.9:443")!)])
        _ = try engine.poll(now: 1_000)
        #expect(engine.flows.count == 2)
        let connections = made.withLock { $0 }
        for connection in connections { connection.update(.ready) }
        _ = try engine.poll(now: 2_000)
        for connection in connections { connection.completeSend() }
        engine.reduceMemory()
        _ = try engine.poll(now: 3_000)
        #expect(engine.flows.map(\.transport) == [.tcp])
    }
}

/// What outlives what.
@Suite struct LifetimeTests {
    @Test func transport_and_sink_live_as_long_as_callbacks_can_come_and_no_longer() async throws {
        weak var gone: Host?
        let freed = Watched(false)
        do {
            let host = Host()
            gone = host
            let engine = try Engine(transport: host, packets: host)
            try engine.start()
            _ = engine
        }
        // It is let go of on another thread, once the engine's own has ended.
        for _ in 0..<30_000 where gone != nil {
            await Task.yield()
            usleep(1_000)
        }
        freed.change { $0 = gone == nil }
        #expect(freed.now)
    }

    @Test func an_engine_whose_settings_are_refused_lets_go_of_everything() async throws {
        weak var gone: Host?
        do {
            let host = Host()
            gone = host
            var configuration = Configuration()
            configuration.settings = ["mtu": "1"]
            #expect(throws: EngineError.self) { try Engine(configuration: configuration, transport: host, packets: host) }
        }
        for _ in 0..<30_000 where gone != nil { usleep(1_000) }
        #expect(gone == nil)
    }

    @Test func the_last_reference_may_go_within_a_callback() async throws {
        let held = Lock(Engine?.none)
        let released = Watched(false)
        let host = Host()
        host.onDial = { _, _ in
            held.withLock { $0 = nil }
            released.change { $0 = true }
        }
        try held.withLock { held in
            held = try Engine(transport: host, packets: host)
            try held?.start()
            try held?.handle([syn()])
        }
        #expect(released.wait { $0 })
        // The engine stops by itself and closes what it has.
        #expect(host.closes.wait { $0.count == 1 })
    }

    @Test func nothing_calls_back_after_a_stop_while_callbacks_run() async throws {
        for round in 0..<20 {
            let host = Host()
            let engine = try Engine(configuration: Configuration(preset: .manyFlows), transport: host, packets: host)
            host.onDial = { request, input in try? input.dialed(request.flow, round % 2 == 0 ? .connected : .refused) }
            try engine.start()
            let flood = Task.detached {
                for port in 0..<2_000 { _ = try? engine.handle([syn(port: 10_000 + UInt16(port))]) }
            }
            #expect(host.dials.wait { $0.count > 10 })
            try await engine.stop()
            let calls = host.calls.now
            await flood.value
            #expect(host.calls.now == calls)
            #expect(host.dials.now.count == host.closes.now.count)
        }
    }

    @Test func a_callback_may_wait_for_the_thread_that_stops() async throws {
        let host = Host()
        let (entered, left) = (Watched(false), Watched(false))
        host.onDial = { _, _ in
            entered.change { $0 = true }
            _ = left.wait { $0 }
        }
        let engine = try Engine(transport: host, packets: host)
        try engine.start()
        try engine.handle([syn()])
        #expect(entered.wait { $0 })
        async let stopped: Void = engine.stop()
        left.change { $0 = true }
        try await stopped
        #expect(host.closes.now.count == 1)
    }
}

@Suite(.serialized) struct LogTests {
    @Test func lines_come_up_to_the_level_and_stop_when_nobody_wants_them() async throws {
        let lines = Watched([(LogLevel, String)]())
        try EngineLog.send(upTo: .info) { level, line in
            // From within a sink nothing can be set.
            #expect(throws: EngineError.reentrant) { try EngineLog.send(to: nil) }
            lines.change { $0.append((level, line)) }
        }
        let host = Host()
        let engine = try Engine(configuration: hostDriven(), transport: host, packets: host)
        try engine.start()
        try await engine.stop()
        try EngineLog.send(to: nil)
        let seen = lines.now
        #expect(seen.contains { $0.0 == .info && $0.1 == "engine started" })
        try engine.start()
        #expect(lines.now.count == seen.count)
    }
}
