#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// One flow and its connection: what was taken and is not sent, what was read and the engine has not taken, which directions have ended.
///
/// Everything here happens under the lock of its ``ConnectionTransport``.
final class Carried {
    let id: ConnectionID
    private let request: DialRequest
    private let connection: any ConnectionLike
    private let engine: any EngineInput
    private let limits: ConnectionTransport.Limits
    private weak var transport: ConnectionTransport?

    private var phase = Phase.dialing
    /// Bytes of the device that wait for the send under way.
    private var pending = Data()
    /// Bytes of sends under way.
    private var inFlight = 0
    /// The engine was told that not everything was taken.
    private var isBlocked = false
    /// The device has sent its last byte; the connection was told.
    private var deviceEnded = false, finSent = false
    /// A read is under way.
    private var isReceiving = false
    /// What was read and the engine had no room for.
    private var unread = Data()
    /// The far side has ended; the engine was told.
    private var end: RemoteEnd?, endReported = false

    private enum Phase {
        case dialing, open
        /// The flow has ended in order; what is left is being sent.
        case closing
        case over
    }

    /// Nothing is left to do: the transport lets go of it.
    var isOver: Bool { phase == .over }

    private var isTCP: Bool { request.transport == .tcp }

    init(
        _ id: ConnectionID, _ request: DialRequest, _ connection: any ConnectionLike, _ engine: any EngineInput,
        _ limits: ConnectionTransport.Limits, hear transport: ConnectionTransport
    ) {
        self.id = id
        self.request = request
        self.connection = connection
        self.engine = engine
        self.limits = limits
        self.transport = transport
    }

    // MARK: What the connection says

    func updated(_ update: ConnectionUpdate) {
        guard phase != .closing else {
            // The flow is not there any more; only what is left to send matters.
            if case .failed = update { abort() }
            return
        }
        switch update {
        case .preparing: break
        case .ready where phase == .dialing: established()
        case .ready: break
        case .waiting(let failure) where phase == .dialing: failedToConnect(failure)
        case .waiting(let failure): engine.report(.waiting(request.flow, failure))
        case .failed(let failure) where phase == .dialing: failedToConnect(failure)
        case .failed(let failure): broke(failure)
        // Nobody here did it.
        case .cancelled where phase == .dialing: failedToConnect(.other(0))
        case .cancelled: broke(.other(0))
        case .viable(let viable): engine.report(.viable(request.flow, viable))
        case .betterPath(let better): engine.report(.betterPath(request.flow, better))
        }
    }

    private func established() {
        do {
            try engine.dialed(request.flow, .connected)
            phase = .open
            receive()
        } catch {
            // The device gave up meanwhile.
            abort()
        }
    }

    private func failedToConnect(_ failure: ConnectionFailure) {
        engine.report(.failed(request.flow, failure))
        try? engine.dialed(request.flow, failure.dialResult)
        abort()
    }

    private func broke(_ failure: ConnectionFailure) {
        engine.report(.failed(request.flow, failure))
        pending = Data()
        if end == nil || end == .eof { (end, endReported) = (failure.end, false) }
        settle()
    }

    // MARK: From the far side

    /// Asks for more. Once the engine has taken all there was: see `settle`.
    private func receive() {
        guard !isReceiving else { return }
        isReceiving = true
        connection.receive(most: limits.receiveBytes) { [weak transport, id] content, final, failure in
            transport?.hear(id) { $0.received(content, final, failure) }
        }
    }

    private func received(_ content: Data?, _ final: Bool, _ failure: ConnectionFailure?) {
        isReceiving = false
        // The flow's number is dead once it is closed, and may be another's.
        guard phase == .open else { return }
        if let content { isTCP ? offer(content) : deliver(content) }
        if let failure {
            broke(failure)
            return
        }
        if final, isTCP, end == nil { end = .eof }
        settle()
    }

    private func offer(_ content: Data) {
        guard !content.isEmpty else { return }
        do {
            let taken = try content.withUnsafeBytes { bytes in try engine.received(request.flow, bytes) }
            unread = taken < content.count ? Data(content.dropFirst(taken)) : Data()
        } catch {
            // It has ended, and its close is on the way.
            unread = Data()
        }
    }

    private func deliver(_ datagram: Data) {
        // Without room it is lost, and counted, as on a network.
        datagram.withUnsafeBytes { bytes in try? engine.received(request.flow, datagram: bytes, from: nil) }
    }

    /// The engine has room again.
    func resume() {
        guard phase == .open, !unread.isEmpty else { return }
        offer(unread)
        settle()
    }

    /// Once the engine has taken all there was, and not before: tells of the end, or goes on reading.
    private func settle() {
        guard phase == .open, unread.isEmpty else { return }
        guard let end else {
            receive()
            return
        }
        guard !endReported else { return }
        endReported = true
        try? engine.ended(request.flow, request.transport, end)
    }

    // MARK: To the far side

    func send(_ bytes: UnsafeRawBufferPointer) -> Int {
        // After an error there is nowhere to send to; the close is on the way.
        guard phase == .open, end == nil || end == .eof else { return bytes.count }
        let taken = min(bytes.count, max(0, limits.sendBytes - pending.count - inFlight))
        pending.append(contentsOf: bytes.prefix(taken))
        if taken < bytes.count { isBlocked = true }
        flush()
        return taken
    }

    func send(datagram: UnsafeRawBufferPointer, to: Endpoint) -> Bool {
        // A connection has one far side; with `udp_mapping` `endpoint_independent` a flow can have others.
        guard phase == .open, to == request.server else { return true }
        guard inFlight + datagram.count <= limits.sendBytes || inFlight == 0 else {
            isBlocked = true
            return false
        }
        transmit(Data(datagram), final: false)
        return true
    }

    func halfClose() {
        deviceEnded = true
        flush()
    }

    /// Sends what waits, once the send before it is done.
    private func flush() {
        guard phase == .open || phase == .closing, inFlight == 0 else { return }
        if !pending.isEmpty {
            let content = pending
            pending = Data()
            transmit(content, final: false)
        } else if deviceEnded, !finSent {
            finSent = true
            transmit(nil, final: true)
        } else if phase == .closing {
            phase = .over
            connection.cancel()
        }
    }

    private func transmit(_ content: Data?, final: Bool) {
        // An end counts as one, so that nothing overtakes it.
        let count = content?.count ?? 1
        inFlight += max(count, 1)
        connection.send(content, final: final) { [weak transport, id] failure in
            transport?.hear(id) { $0.sent(max(count, 1), failure) }
        }
    }

    private func sent(_ count: Int, _ failure: ConnectionFailure?) {
        inFlight -= count
        if let failure {
            pending = Data()
            phase == .closing ? abort() : broke(failure)
            return
        }
        if isBlocked, phase == .open, pending.count + inFlight < limits.sendBytes {
            isBlocked = false
            try? engine.writable(request.flow)
        }
        flush()
    }

    // MARK: Ends

    /// The engine has closed the flow.
    func close(_ reason: CloseReason) {
        guard reason.how == .fin, isTCP, phase == .open, end == nil || end == .eof else {
            abort()
            return
        }
        phase = .closing
        deviceEnded = true
        unread = Data()
        flush()
    }

    /// Nothing more in either direction.
    func abort() {
        guard phase != .over else { return }
        let inOrder = !isTCP || (finSent && inFlight == 0 && end == .eof)
        phase = .over
        inOrder ? connection.cancel() : connection.forceCancel()
    }

    func reduceMemory() {
        guard !isTCP, phase == .open, inFlight == 0, !endReported else { return }
        (end, endReported) = (.eof, true)
        try? engine.ended(request.flow, .udp, .eof)
    }
}
