import Foundation
import Testing
@testable import PacketTunnelEngine

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

    @Test func an_intercepted_dns_query_is_the_transport_s_to_resolve() throws {
        let host = Host()
        let engine = try Engine(configuration: hostDriven { $0.interceptsDNS = true }, transport: host, packets: host)
        try engine.start()
        let resolver = Endpoint("9.9.9.9:53")!
        try engine.handle([datagram(dnsQuery("example.com"), to: resolver)])
        _ = try engine.poll(now: 1_000)
        let (query, name, family) = try #require(host.queries.now.first)
        #expect(name == "example.com" && family == .v4 && host.dials.now.isEmpty)
        try host.input.resolved(query, .addresses([server.address], ttl: 60))
        _ = try engine.poll(now: 2_000)
        let answer = try #require(host.packets.now.first)
        #expect(answer.from == resolver && answer.to == client && Array(answer.payload.suffix(4)) == server.address.bytes)
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

    @Test func waking_up_asks_the_host_for_a_poll() throws {
        let host = Host()
        let asked = Watched(0)
        let engine = try Engine(configuration: hostDriven(), transport: host, packets: host) { asked.change { $0 += 1 } }
        try engine.start()
        _ = try engine.poll(now: 1_000)
        let before = asked.now
        engine.wake()
        #expect(asked.now == before + 1)
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
