import Foundation
import Testing
@testable import PacketTunnelEngine

/// What an engine begins with, and what is refused.
@Suite struct ConfigurationTests {
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

    @Test(arguments: [(Configuration.Preset.standard, 128), (.phone, 256), (.manyFlows, 2_048), (.desktop, 4_096)])
    func a_preset_sets_what_fields_leave_open(preset: Configuration.Preset, flows: Int) throws {
        let host = Host()
        let engine = try Engine(configuration: hostDriven { $0.preset = preset }, transport: host, packets: host)
        try engine.start()
        for first in stride(from: 10_000, through: 10_000 + flows, by: 100) {
            try engine.handle((first..<first + 100).map { syn(port: UInt16($0)) })
            while let next = try engine.poll(now: 1_000), next <= 1_000 {}
        }
        #expect(host.dials.now.count == flows)
    }

    /// What no field here is for.
    @Test(arguments: [
        ("min_rto", "5000", "0"), ("loss_probe", "false", "no"), ("ack_delay", "none", "0"), ("ack_delay", "40000", "soon"),
        ("rx_limit", "1048576", "0"), ("tx_limit", "1048576", "16777217"), ("congestion_control", "false", "reno"),
        ("path_policy", "redial", "Redial"), ("inbox_bytes", "8192", "0"),
    ])
    func every_setting_of_the_engine_is_set_by_its_name(name: String, value: String, wrong: String) throws {
        let host = Host()
        let engine = try Engine(configuration: hostDriven { $0.set(name, value) }, transport: host, packets: host)
        #expect(throws: EngineError.badArgument) { try engine.set(name, wrong) }
        #expect(throws: EngineError.badArgument) { try engine.set(name + "s", value) }
        try engine.start()
    }

    @Test func a_setting_by_its_name_holds_from_the_next_start_on() async throws {
        let host = Host()
        host.onDial = { request, input in try? input.dialed(request.flow, .connected) }
        let engine = try Engine(configuration: hostDriven { $0.set("rx_buffer", "5000") }, transport: host, packets: host)
        try engine.start()
        try engine.handle([syn()])
        while let next = try engine.poll(now: 1_000), next <= 1_000 {}
        #expect(host.packets.now.last?.window == 5_000)
        #expect(throws: EngineError.alreadyStarted) { try engine.set("rx_buffer", "6000") }
        try await engine.stop()
        try engine.set("rx_buffer", "6000")
        try engine.start()
        try engine.handle([syn()])
        while let next = try engine.poll(now: 2_000), next <= 2_000 {}
        #expect(host.packets.now.last?.flags == [.syn, .ack] && host.packets.now.last?.window == 6_000)
    }
}
