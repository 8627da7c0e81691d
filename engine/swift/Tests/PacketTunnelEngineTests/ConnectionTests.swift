import Dispatch
import Foundation
import Testing
@testable import PacketTunnelEngine

/// The adapter between the engine and connections, on scripted ones.
@Suite struct ConnectionTests {
    // MARK: Dials

    @Test func ready_answers_the_dial_and_asks_for_the_first_bytes() {
        let stage = Stage()
        let connection = stage.dial()
        connection.update(.preparing)
        #expect(stage.engine.calls.isEmpty && !connection.isReceiving)
        connection.update(.ready)
        #expect(stage.engine.calls == [.dialed(1, .connected)])
        #expect(connection.isReceiving)
    }

    @Test(arguments: [
        (ConnectionFailure.posix(POSIXErrorNumber.refused), DialResult.refused),
        (.posix(POSIXErrorNumber.reset), .refused),
        (.posix(POSIXErrorNumber.hostUnreachable), .hostUnreachable),
        (.posix(POSIXErrorNumber.hostDown), .hostUnreachable),
        (.posix(POSIXErrorNumber.networkUnreachable), .networkUnreachable),
        (.posix(POSIXErrorNumber.networkDown), .networkUnreachable),
        (.posix(POSIXErrorNumber.noAddress), .networkUnreachable),
        (.posix(POSIXErrorNumber.denied), .denied),
        (.posix(POSIXErrorNumber.notPermitted), .denied),
        (.posix(POSIXErrorNumber.timedOut), .timedOut),
        (.posix(9999), .hostUnreachable),
        (.dns(-65538), .hostUnreachable),
        (.dns(-65568), .timedOut),
        (.dns(-65570), .denied),
        (.tls(-9806), .hostUnreachable),
    ])
    func what_a_connection_waits_for_or_failed_with_is_the_dial_s_result(failure: ConnectionFailure, result: DialResult) {
        for update in [ConnectionUpdate.waiting(failure), .failed(failure)] {
            let stage = Stage()
            let connection = stage.dial()
            connection.update(update)
            #expect(stage.engine.calls == [.dialed(1, result)])
            #expect(stage.engine.notices == [.failed(1, failure)])
            #expect(connection.isCut && stage.transport.connectionCount == 0)
        }
    }

    @Test func a_dial_that_no_connection_can_be_made_for_is_denied() {
        let transport = ConnectionTransport { _ in nil }
        let engine = ScriptedInput()
        transport.attach(engine)
        transport.dial(.to("192.0.2.1:0", 1, .tcp))
        #expect(engine.calls == [.dialed(1, .denied)])
    }

    @Test func a_connection_that_stands_after_the_device_gave_up_is_cut() {
        let stage = Stage()
        stage.engine.refusal = .staleFlow
        let connection = stage.open()
        #expect(connection.isCut && !connection.isReceiving && stage.transport.connectionCount == 0)
    }

    /// Four updates in every order and with every repetition: one answer to the dial, one end at the most, nothing after the close.
    @Test func every_order_of_states_answers_the_dial_once_and_ends_once() {
        let updates: [ConnectionUpdate] = [
            .preparing, .waiting(.posix(POSIXErrorNumber.networkDown)), .ready, .failed(.posix(POSIXErrorNumber.reset)), .cancelled,
            .viable(false),
        ]
        let count = updates.count
        for order in 0..<count * count * count * count {
            let stage = Stage()
            let connection = stage.dial()
            for step in [order, order / count, order / count / count, order / count / count / count] {
                connection.update(updates[step % count])
            }
            let dialed = stage.engine.calls.filter { if case .dialed = $0 { true } else { false } }
            let ended = stage.engine.calls.filter { if case .ended = $0 { true } else { false } }
            #expect(dialed.count <= 1 && ended.count <= 1, "order \(order)")
            if case .ended? = stage.engine.calls.last { #expect(dialed == [.dialed(1, .connected)]) }
            let before = stage.engine.calls
            stage.transport.close(1, .byReset)
            for update in updates { connection.update(update) }
            connection.receive("late")
            #expect(stage.engine.calls == before, "order \(order)")
            #expect(stage.transport.connectionCount == 0)
        }
    }

    // MARK: From the far side

    @Test func every_byte_that_a_connection_reads_goes_through_the_engine() {
        let stage = Stage()
        let connection = stage.open()
        for text in ["one", "two", "three"] { connection.receive(text) }
        let expected: [ScriptedInput.Call] = [.received(1, "one"), .received(1, "two"), .received(1, "three")]
        #expect(Array(stage.engine.calls.dropFirst()) == expected)
        #expect(connection.isReceiving)
    }

    @Test func no_receive_is_outstanding_while_the_engine_holds_bytes() {
        let stage = Stage()
        let connection = stage.open()
        stage.engine.room = 2
        connection.receive("abcdef")
        #expect(stage.engine.calls.last == .received(1, "ab"))
        #expect(!connection.isReceiving)
        // Room for a part of the rest: still none.
        stage.engine.room = 3
        stage.transport.resume(1, room: 3)
        #expect(stage.engine.calls.last == .received(1, "cde"))
        #expect(!connection.isReceiving)
        stage.engine.room = 10
        stage.transport.resume(1, room: 10)
        #expect(stage.engine.calls.last == .received(1, "f"))
        #expect(connection.isReceiving && connection.receives == 2)
    }

    @Test func the_end_of_file_waits_for_the_bytes_that_the_engine_had_no_room_for() {
        let stage = Stage()
        let connection = stage.open()
        stage.engine.room = 1
        connection.receive("ab", final: true)
        #expect(stage.engine.calls.last == .received(1, "a"))
        stage.engine.room = 10
        stage.transport.resume(1, room: 10)
        #expect(stage.engine.calls.suffix(2) == [.received(1, "b"), .ended(1, .eof)])
        #expect(!connection.isReceiving)
    }

    @Test(arguments: [(POSIXErrorNumber.reset, RemoteEnd.reset), (POSIXErrorNumber.timedOut, .error), (POSIXErrorNumber.networkDown, .error)])
    func a_connection_that_breaks_ends_the_flow_after_what_it_brought(number: Int32, end: RemoteEnd) {
        let stage = Stage()
        let connection = stage.open()
        connection.receive("last", failure: .posix(number))
        #expect(stage.engine.calls.suffix(2) == [.received(1, "last"), .ended(1, end)])
        // The state comes behind it, and says the same.
        connection.update(.failed(.posix(number)))
        #expect(stage.engine.calls.last == .ended(1, end))
        #expect(stage.engine.calls.filter { $0 == .ended(1, end) }.count == 1)
    }

    @Test func a_reset_after_the_end_of_file_is_still_told() {
        let stage = Stage()
        let connection = stage.open()
        connection.receive(final: true)
        connection.update(.failed(.posix(POSIXErrorNumber.reset)))
        #expect(stage.engine.calls.suffix(2) == [.ended(1, .eof), .ended(1, .reset)])
    }

    @Test func the_far_side_s_half_close_leaves_the_device_sending() {
        let stage = Stage()
        let connection = stage.open()
        connection.receive(final: true)
        #expect(stage.engine.calls.last == .ended(1, .eof))
        #expect(stage.send("more") == 4)
        #expect(connection.sent == [.init(content: Data("more".utf8), final: false)])
    }

    // MARK: To the far side

    @Test func the_device_s_half_close_is_a_final_message_after_its_last_byte() {
        let stage = Stage()
        let connection = stage.open()
        stage.send("first")
        stage.send("second")
        stage.transport.halfClose(1)
        #expect(connection.sent == [.init(content: Data("first".utf8), final: false)])
        connection.completeSend()
        #expect(connection.sent.last == .init(content: Data("second".utf8), final: false))
        connection.completeSend()
        #expect(connection.sent.last == .init(content: nil, final: true))
        connection.completeSend()
        #expect(connection.sent.count == 3)
        // The other direction goes on.
        connection.receive("answer")
        #expect(stage.engine.calls.last == .received(1, "answer"))
    }

    @Test func an_end_of_file_before_the_last_send_completes_loses_nothing() {
        let stage = Stage()
        let connection = stage.open()
        stage.send("one")
        stage.send("two")
        connection.receive("bye", final: true)
        stage.transport.halfClose(1)
        stage.transport.close(1, .inOrder)
        #expect(!connection.isCancelled && !connection.isCut)
        connection.completeSend()
        connection.completeSend()
        #expect(connection.sent.map(\.content) == [Data("one".utf8), Data("two".utf8), nil])
        #expect(!connection.isCancelled)
        connection.completeSend()
        #expect(connection.isCancelled && !connection.isCut && stage.transport.connectionCount == 0)
    }

    @Test func what_waits_to_be_sent_is_bounded_and_the_engine_hears_when_it_may_go_on() {
        var limits = ConnectionTransport.Limits()
        limits.sendBytes = 10
        let stage = Stage(limits: limits)
        let connection = stage.open()
        #expect(stage.send("12345678") == 8)
        #expect(stage.send("abcdef") == 2)
        #expect(stage.send("cdef") == 0)
        #expect(stage.engine.calls == [.dialed(1, .connected)])
        connection.completeSend()
        #expect(stage.engine.calls.last == .writable(1))
        #expect(connection.sent.last?.content == Data("ab".utf8))
    }

    @Test func a_send_that_fails_ends_the_flow_and_the_rest_is_dropped() {
        let stage = Stage()
        let connection = stage.open()
        stage.send("one")
        stage.send("two")
        connection.completeSend(.posix(POSIXErrorNumber.reset))
        #expect(stage.engine.calls.last == .ended(1, .reset))
        #expect(connection.sent.count == 1)
        #expect(stage.send("three") == 5)
        #expect(connection.sent.count == 1)
    }

    @Test func a_flow_that_was_reset_cuts_its_connection() {
        let stage = Stage()
        let connection = stage.open()
        stage.send("never mind")
        stage.transport.close(1, .byReset)
        #expect(connection.isCut && stage.transport.connectionCount == 0)
    }

    @Test func a_connection_that_cannot_send_what_is_left_is_cut_after_a_while() {
        var limits = ConnectionTransport.Limits()
        limits.lingerMilliseconds = 0
        let stage = Stage(limits: limits)
        let connection = stage.open()
        stage.send("stuck")
        stage.transport.close(1, .inOrder)
        // The timer stands in the queue before this.
        while stage.transport.connectionCount > 0 { stage.queue.sync {} }
        #expect(connection.isCut)
    }

    // MARK: Late callbacks

    @Test func a_receive_that_completes_after_the_close_never_reaches_the_engine() {
        let stage = Stage()
        let connection = stage.open()
        stage.send("still to be sent")
        let receive = connection.takeReceive()
        stage.transport.close(1, .inOrder)
        let before = stage.engine.calls
        receive?(Data("late".utf8), true, nil)
        #expect(stage.engine.calls == before)
        connection.completeSend()
        #expect(connection.sent.last == .init(content: nil, final: true))
    }

    @Test func what_a_connection_reports_while_it_sends_what_is_left_is_ignored() {
        let stage = Stage()
        let connection = stage.open()
        stage.send("still to be sent")
        stage.transport.close(1, .inOrder)
        let before = stage.engine.calls
        for update in [ConnectionUpdate.viable(false), .betterPath(true), .waiting(.posix(POSIXErrorNumber.networkDown))] {
            connection.update(update)
        }
        #expect(stage.transport.connectionCount == 1)
        // Nothing more can be sent.
        connection.update(.failed(.posix(POSIXErrorNumber.reset)))
        #expect(connection.isCut && stage.transport.connectionCount == 0)
        #expect(stage.engine.calls == before && stage.engine.notices.isEmpty)
    }

    @Test func what_an_old_connection_says_never_reaches_the_flow_that_has_its_number_now() {
        let stage = Stage()
        let old = stage.open()
        let (receive, send) = (old.takeReceive(), stage.send("old"))
        stage.transport.close(1, .byReset)
        let new = stage.open()
        let before = stage.engine.calls
        receive?(Data("late".utf8), false, nil)
        old.completeSend(.posix(POSIXErrorNumber.reset))
        old.update(.failed(.posix(POSIXErrorNumber.reset)))
        old.update(.cancelled)
        #expect(send == 3 && stage.engine.calls == before)
        #expect(new.isReceiving && !new.isCut)
    }

    // MARK: Datagrams

    @Test func datagrams_keep_their_bounds_both_ways() {
        let stage = Stage()
        let connection = stage.open(1, .udp)
        #expect(stage.sendDatagram("a") && stage.sendDatagram("") && stage.sendDatagram("bc"))
        #expect(connection.sent.map(\.content) == [Data("a".utf8), Data(), Data("bc".utf8)])
        connection.receive("x")
        connection.receive("")
        #expect(stage.engine.calls.suffix(2) == [.datagram(1, "x"), .datagram(1, "")])
        #expect(connection.isReceiving)
    }

    @Test func datagrams_without_room_block_the_flow_until_one_is_sent() {
        var limits = ConnectionTransport.Limits()
        limits.sendBytes = 4
        let stage = Stage(limits: limits)
        let connection = stage.open(1, .udp)
        #expect(stage.sendDatagram("1234"))
        #expect(!stage.sendDatagram("5"))
        connection.completeSend()
        #expect(stage.engine.calls.last == .writable(1))
    }

    @Test func short_of_memory_waiting_datagram_flows_end_and_streams_stay() {
        let stage = Stage()
        _ = stage.open(1, .udp)
        _ = stage.open(2, .tcp)
        stage.transport.reduceMemory()
        #expect(stage.engine.calls.suffix(1) == [.ended(1, .eof)])
    }

    // MARK: Errors and path changes

    @Test func viability_better_paths_and_waiting_surface_as_notices() {
        let stage = Stage()
        let connection = stage.open()
        connection.update(.viable(false))
        connection.update(.betterPath(true))
        connection.update(.waiting(.posix(POSIXErrorNumber.networkDown)))
        let down = ConnectionFailure.posix(POSIXErrorNumber.networkDown)
        #expect(stage.engine.notices == [.viable(1, false), .betterPath(1, true), .waiting(1, down)])
        #expect(stage.engine.calls == [.dialed(1, .connected)])
    }

    @Test func a_change_of_path_while_dialing_reaches_the_engine_and_the_dial_goes_on() {
        let stage = Stage()
        let connection = stage.dial()
        let path = NetworkPath(isSatisfied: true, interfaces: [.init(name: "pdp_ip0", index: 3)])
        stage.transport.pathChanged(path)
        #expect(stage.engine.calls == [.pathChanged(.network)] && stage.engine.notices == [.path(path)])
        connection.update(.ready)
        #expect(stage.engine.calls.last == .dialed(1, .connected))
    }

    // MARK: Memory

    @Test func ten_thousand_flows_leave_nothing_behind() {
        struct Weak { weak var connection: ScriptedConnection? }
        let stage = Stage()
        var connections: [Weak] = []
        for number in 1...10_000 {
            let flow = FlowID(rawValue: UInt64(number))
            let connection = stage.dial(flow, number % 3 == 0 ? .udp : .tcp)
            connections.append(Weak(connection: connection))
            switch number % 5 {
            case 0: connection.update(.failed(.posix(POSIXErrorNumber.refused)))
            case 1: break
            default:
                connection.update(.ready)
                stage.send("request", flow)
                stage.engine.room = number % 2 == 0 ? 1 : .max
                connection.receive("answer", final: true)
                if number % 7 == 0 { connection.completeSend() }
            }
            stage.transport.close(flow, number % 2 == 0 ? .inOrder : .byReset)
            while !connection.isCancelled && !connection.isCut { connection.completeSend() }
            connection.update(.cancelled)
            connection.forget()
            stage.engine.calls = []
        }
        stage.forgetConnections()
        #expect(stage.transport.connectionCount == 0)
        // The timers of those that lingered hold the transport, not them.
        #expect(connections.filter { $0.connection != nil }.isEmpty)
    }

    @Test func a_transport_that_is_let_go_of_cuts_what_is_left() {
        let stage = Stage()
        let (open, dialing) = (stage.open(1), stage.dial(2))
        stage.transport.detach()
        #expect(open.isCut && dialing.isCut && stage.transport.connectionCount == 0)
    }
}
