import Foundation
import Testing
@testable import PacketTunnelEngine

/// What crosses the tunnel, in a file.
@Suite struct RecordingTests {
    /// A recording of one engine that is gone with the test.
    private final class Recording {
        let host = Host()
        let engine: Engine
        let path = NSTemporaryDirectory() + "swift-\(UInt64.random(in: 0 ... .max))"
        private var now: UInt64 = 0

        init() throws { engine = try Engine(configuration: hostDriven(), transport: host, packets: host) }

        deinit { for part in ["", ".1"] { try? FileManager.default.removeItem(atPath: path + part + ".pcapng") } }

        func record(limit: Int? = nil, snapLength: Int? = nil) throws {
            try engine.record(to: path + ".pcapng", limit: limit, snapLength: snapLength)
            try engine.start()
        }

        func poll() throws {
            now += 1_000
            while let next = try engine.poll(now: now), next <= now {}
        }

        func file(_ part: String = "") throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path + part + ".pcapng")) }
    }

    private static let payload = (0..<600).map { UInt8($0 % 251) }

    @Test func a_recording_is_a_file_with_every_packet_whole() async throws {
        let recording = try Recording()
        try recording.record()
        let packet = datagram(Self.payload, to: Endpoint("9.9.9.9:443")!)
        try recording.engine.handle([syn(), packet])
        try recording.poll()
        try await recording.engine.stop()
        let file = try recording.file()
        #expect(file.prefix(4) == Data([0x0a, 0x0d, 0x0d, 0x0a]))
        #expect(file.range(of: Data(syn())) != nil && file.range(of: Data(packet)) != nil)
    }

    @Test func of_a_packet_beyond_the_snap_length_the_rest_is_not_kept() async throws {
        let recording = try Recording()
        try recording.record(snapLength: 64)
        let packet = datagram(Self.payload, to: Endpoint("9.9.9.9:443")!)
        try recording.engine.handle([packet])
        try recording.poll()
        // The way back: the far side's bytes are no packet yet, and only their number is kept.
        let flow = try #require(recording.host.dials.now.first?.flow)
        try recording.host.input.dialed(flow, .connected)
        try Self.payload.withUnsafeBytes { try recording.host.input.received(flow, datagram: $0, from: nil) }
        try recording.poll()
        #expect(recording.host.packets.now.last?.payload == Self.payload)
        try await recording.engine.stop()
        let file = try recording.file()
        #expect(file.range(of: Data(packet.prefix(64))) != nil)
        #expect(file.range(of: Data(packet.prefix(65))) == nil && file.range(of: Data(Self.payload.suffix(32))) == nil)
    }

    @Test func the_limit_bounds_both_files_together() async throws {
        let recording = try Recording()
        let limit = 512 << 10
        try recording.record(limit: limit)
        let packet = datagram(Self.payload, to: Endpoint("9.9.9.9:443")!)
        for _ in 0..<20 {
            try recording.engine.handle(Array(repeating: packet, count: 100))
            try recording.poll()
        }
        try await recording.engine.stop()
        let (newer, older) = (try recording.file(), try recording.file(".1"))
        #expect(newer.count + older.count <= limit && older.count > limit / 4)
    }

    @Test func a_recording_that_cannot_be_is_refused() throws {
        let recording = try Recording()
        #expect(throws: EngineError.io) { try recording.engine.record(to: "/nowhere/at/all.pcapng") }
        #expect(throws: EngineError.badArgument) { try recording.record(limit: 0) }
        #expect(throws: EngineError.badArgument) { try recording.record(snapLength: -1) }
        // Without a file there is nothing to end, which is no error.
        try recording.engine.record(to: nil)
    }
}
