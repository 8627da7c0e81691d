import Dispatch

/// A transport over sockets of the system, for Linux, command lines and tests.
public final class SocketTransport: ConnectionBacked {
    public struct Options: Sendable {
        /// The interface that connections leave by, so that they do not come back into the tunnel.
        public var interface: String?
        /// Bytes that the system keeps of what a connection sends.
        public var sendBuffer: Int?
        /// Another place to connect to than the device asked for, or `nil` to deny it. For tests.
        public var route: (@Sendable (DialRequest) -> Endpoint?)?

        public init() {}
    }

    public let connections: ConnectionTransport

    public init(_ options: Options = Options(), limits: ConnectionTransport.Limits = .init()) {
        connections = ConnectionTransport(limits: limits) { request in
            let server = options.route.map { $0(request) } ?? request.server
            return server.map { SocketConnection(request.transport, to: $0, options) }
        }
    }
}

/// A transport whose work another does.
public protocol ConnectionBacked: Transport {
    var connections: ConnectionTransport { get }
}

extension ConnectionBacked {
    public func attach(_ engine: any EngineInput) { connections.attach(engine) }
    public func dial(_ request: DialRequest) { connections.dial(request) }
    public func send(_ flow: FlowID, _ bytes: UnsafeRawBufferPointer) -> Int { connections.send(flow, bytes) }
    public func send(_ flow: FlowID, datagram: UnsafeRawBufferPointer, to: Endpoint) -> Bool {
        connections.send(flow, datagram: datagram, to: to)
    }
    public func halfClose(_ flow: FlowID) { connections.halfClose(flow) }
    public func resume(_ flow: FlowID, room: Int) { connections.resume(flow, room: room) }
    public func close(_ flow: FlowID, _ reason: CloseReason) { connections.close(flow, reason) }
    public func resolve(_ query: QueryID, name: String, family: AddressFamily) {
        connections.resolve(query, name: name, family: family)
    }
    public func reduceMemory() { connections.reduceMemory() }
    public func detach() { connections.detach() }
}
