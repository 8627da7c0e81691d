import Foundation
import Testing
@testable import PacketTunnelEngine

/// What outlives what.
@Suite struct LifetimeTests {
    @Test func transport_and_sink_live_as_long_as_callbacks_can_come_and_no_longer() async throws {
        let isGone: Watched<Bool>
        do {
            let host = Host()
            isGone = host.isGone
            let engine = try Engine(transport: host, packets: host)
            try engine.start()
            try engine.handle([syn()])
            // With a flow open there is something to call back for while it stops.
            #expect(host.dials.wait { !$0.isEmpty })
        }
        // It is let go of on another thread, once the engine's own has ended.
        #expect(isGone.wait { $0 })
    }

    @Test func an_engine_whose_settings_are_refused_lets_go_of_everything() async throws {
        let isGone: Watched<Bool>
        do {
            let host = Host()
            isGone = host.isGone
            var configuration = Configuration()
            configuration.set("mtu", "1")
            #expect(throws: EngineError.badArgument) { try Engine(configuration: configuration, transport: host, packets: host) }
        }
        #expect(isGone.wait { $0 })
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
            // On a thread of its own: this test's waits below.
            let isFlooded = Watched(false)
            Thread.detachNewThread {
                for port in 0..<2_000 { _ = try? engine.handle([syn(port: 10_000 + UInt16(port))]) }
                isFlooded.change { $0 = true }
            }
            #expect(host.dials.wait { $0.count > 10 })
            try await engine.stop()
            let calls = host.calls.now
            #expect(isFlooded.wait { $0 })
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
