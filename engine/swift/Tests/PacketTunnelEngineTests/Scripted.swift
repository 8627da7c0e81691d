import Dispatch
import Foundation
import Testing
@testable import PacketTunnelEngine

/// A connection that does what a test says, when it says so, and keeps what it was asked for.
final class ScriptedConnection: ConnectionLike, @unchecked Sendable {
    struct Sent: Equatable {
        var content: Data?
        var final: Bool
    }

    private(set) var sent: [Sent] = []
    private(set) var isReceiving = false, isCancelled = false, isCut = false
    private(set) var receives = 0
    private var handler: (@Sendable (ConnectionUpdate) -> Void)?
    private var completions: [@Sendable (ConnectionFailure?) -> Void] = []
    private var receiving: (@Sendable (Data?, Bool, ConnectionFailure?) -> Void)?

    func start(on queue: DispatchQueue, _ handler: @escaping @Sendable (ConnectionUpdate) -> Void) { self.handler = handler }

    func send(_ content: Data?, final: Bool, _ completion: @escaping @Sendable (ConnectionFailure?) -> Void) {
        sent.append(Sent(content: content, final: final))
        completions.append(completion)
    }

    func receive(most: Int, _ completion: @escaping @Sendable (Data?, Bool, ConnectionFailure?) -> Void) {
        if receiving != nil { Issue.record("two reads at a time") }
        receives += 1
        isReceiving = true
        receiving = completion
    }

    func cancel() { isCancelled = true }
    func forceCancel() { isCut = true }

    // What the test says.

    func update(_ update: ConnectionUpdate) { handler?(update) }

    /// The oldest send is done.
    func completeSend(_ failure: ConnectionFailure? = nil) {
        guard !completions.isEmpty else { return }
        completions.removeFirst()(failure)
    }

    /// The read that is under way, kept so that it can be answered late.
    func takeReceive() -> (@Sendable (Data?, Bool, ConnectionFailure?) -> Void)? {
        defer { (receiving, isReceiving) = (nil, false) }
        return receiving
    }

    func receive(_ text: String? = nil, final: Bool = false, failure: ConnectionFailure? = nil) {
        takeReceive()?(text.map { Data($0.utf8) }, final, failure)
    }

    /// The system lets go of a connection's handlers once it is cancelled or has failed.
    func forget() { (handler, completions, receiving) = (nil, [], nil) }
}

/// An engine that takes as much as a test says, and keeps what it was told.
final class ScriptedInput: EngineInput, @unchecked Sendable {
    enum Call: Equatable {
        case dialed(FlowID, DialResult)
        case received(FlowID, String)
        case datagram(FlowID, String)
        case ended(FlowID, RemoteEnd)
        case blocked(FlowID), writable(FlowID)
        case pathChanged(PathChange)
    }

    var calls: [Call] = []
    var notices: [TransportNotice] = []
    /// Bytes that are taken before the engine is full.
    var room = Int.max
    /// What every call is refused with.
    var refusal: EngineError?

    private func say(_ call: Call) throws(EngineError) {
        calls.append(call)
        if let refusal { throw refusal }
    }

    func dialed(_ flow: FlowID, _ result: DialResult) throws(EngineError) { try say(.dialed(flow, result)) }

    func received(_ flow: FlowID, _ bytes: UnsafeRawBufferPointer) throws(EngineError) -> Int {
        let taken = min(room, bytes.count)
        room -= taken
        try say(.received(flow, String(decoding: bytes.prefix(taken), as: UTF8.self)))
        return taken
    }

    func received(_ flow: FlowID, datagram: UnsafeRawBufferPointer, from: Endpoint?) throws(EngineError) {
        try say(.datagram(flow, String(decoding: datagram, as: UTF8.self)))
    }

    func ended(_ flow: FlowID, _ transport: FlowProtocol, _ end: RemoteEnd) throws(EngineError) { try say(.ended(flow, end)) }
    func blocked(_ flow: FlowID) throws(EngineError) { try say(.blocked(flow)) }
    func writable(_ flow: FlowID) throws(EngineError) { try say(.writable(flow)) }
    func resolved(_ query: QueryID, _ answer: Resolution) throws(EngineError) {}
    func pathChanged(_ change: PathChange) throws(EngineError) { try say(.pathChanged(change)) }
    func report(_ notice: TransportNotice) { notices.append(notice) }
}

/// A transport on scripted connections, between a scripted engine and a test.
final class Stage {
    let engine = ScriptedInput()
    let transport: ConnectionTransport
    let queue = DispatchQueue(label: "stage")
    private let made = Lock([ScriptedConnection]())

    init(limits: ConnectionTransport.Limits = .init()) {
        let made = made
        transport = ConnectionTransport(queue: queue, limits: limits) { _ in
            let connection = ScriptedConnection()
            made.withLock { $0.append(connection) }
            return connection
        }
        transport.attach(engine)
    }

    /// A flow that the engine has dialed, and its connection.
    func dial(_ flow: FlowID = 1, _ kind: FlowProtocol = .tcp) -> ScriptedConnection {
        transport.dial(.to("192.0.2.1:80", flow, kind))
        return made.withLock { $0.last! }
    }

    /// A flow that is connected.
    func open(_ flow: FlowID = 1, _ kind: FlowProtocol = .tcp) -> ScriptedConnection {
        let connection = dial(flow, kind)
        connection.update(.ready)
        return connection
    }

    func forgetConnections() { made.withLock { $0 = [] } }

    @discardableResult
    func send(_ text: String, _ flow: FlowID = 1) -> Int {
        Data(text.utf8).withUnsafeBytes { transport.send(flow, $0) }
    }

    func sendDatagram(_ text: String, _ flow: FlowID = 1) -> Bool {
        Data(text.utf8).withUnsafeBytes { transport.send(flow, datagram: $0, to: Endpoint("192.0.2.1:80")!) }
    }
}

extension DialRequest {
    static func to(_ server: String, _ flow: FlowID, _ kind: FlowProtocol) -> DialRequest {
        DialRequest(flow: flow, transport: kind, client: Endpoint("10.0.0.2:40000")!, server: Endpoint(server)!, name: nil)
    }
}

extension FlowID: ExpressibleByIntegerLiteral {
    public init(integerLiteral value: UInt64) { self.init(rawValue: value) }
}

extension CloseReason {
    static let inOrder = CloseReason(by: .device, how: .fin)
    static let byReset = CloseReason(by: .device, how: .reset)
}
