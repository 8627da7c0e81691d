#if canImport(Network)
import Dispatch
import Foundation
import Network

/// A transport over `NWConnection`s, with a path monitor that tells the engine when the way out changes.
///
/// What it does with them is ``ConnectionTransport``'s, and tested without Apple's framework; here their words are translated.
public final class NetworkTransport: ConnectionBacked {
    public let connections: ConnectionTransport
    private let monitor = NWPathMonitor()
    private let tracker: Lock<PathTracker>

    /// - Parameter tunnelInterface: the name of the interface that the tunnel itself is on, if it is known; otherwise every `utun` is taken
    ///   for it. No connection leaves by it, and its coming and going is no change of path.
    public init(tunnelInterface: String? = nil, limits: ConnectionTransport.Limits = .init()) {
        let tracker = Lock(PathTracker(tunnel: tunnelInterface))
        let tunnels = Lock([NWInterface]())
        self.tracker = tracker
        let queue = DispatchQueue(label: "connections", qos: .userInitiated)
        let connections = ConnectionTransport(queue: queue, limits: limits) { request in
            Connection(request, avoiding: tunnels.withLock { $0 })
        }
        self.connections = connections
        monitor.pathUpdateHandler = { [weak connections] path in
            let own = path.availableInterfaces.filter { interface in tracker.withLock { $0.isTunnel(.init(interface)) } }
            tunnels.withLock { $0 = own }
            if let changed = tracker.withLock({ $0.update(NetworkPath(path)) }) { connections?.pathChanged(changed) }
        }
        monitor.start(queue: queue)
    }

    deinit { monitor.cancel() }
}

/// An `NWConnection` in the words of ``ConnectionLike``.
private final class Connection: ConnectionLike {
    private let connection: NWConnection
    private let isStream: Bool

    init?(_ request: DialRequest, avoiding tunnels: [NWInterface]) {
        guard let port = NWEndpoint.Port(rawValue: request.server.port) else { return nil }
        let bytes = Data(request.server.address.bytes)
        let host: NWEndpoint.Host? = request.server.address.family == .v4
            ? IPv4Address(bytes).map(NWEndpoint.Host.ipv4) : IPv6Address(bytes).map(NWEndpoint.Host.ipv6)
        guard let host else { return nil }
        isStream = request.transport == .tcp
        let parameters: NWParameters = isStream ? .tcp : .udp
        parameters.prohibitedInterfaces = tunnels
        connection = NWConnection(host: host, port: port, using: parameters)
    }

    func start(on queue: DispatchQueue, _ handler: @escaping @Sendable (ConnectionUpdate) -> Void) {
        connection.stateUpdateHandler = { state in
            switch state {
            case .setup, .preparing: handler(.preparing)
            case .waiting(let error): handler(.waiting(ConnectionFailure(error)))
            case .ready: handler(.ready)
            case .failed(let error): handler(.failed(ConnectionFailure(error)))
            case .cancelled: handler(.cancelled)
            @unknown default: break
            }
        }
        connection.viabilityUpdateHandler = { handler(.viable($0)) }
        connection.betterPathUpdateHandler = { handler(.betterPath($0)) }
        connection.start(queue: queue)
    }

    func send(_ content: Data?, final: Bool, _ completion: @escaping @Sendable (ConnectionFailure?) -> Void) {
        // The final message of a stream is its FIN; each datagram is a message of its own.
        let context: NWConnection.ContentContext = final ? .finalMessage : .defaultMessage
        connection.send(
            content: content, contentContext: context, isComplete: final || !isStream,
            completion: .contentProcessed { completion($0.map(ConnectionFailure.init)) })
    }

    func receive(most: Int, _ completion: @escaping @Sendable (Data?, Bool, ConnectionFailure?) -> Void) {
        guard isStream else {
            connection.receiveMessage { content, _, _, error in completion(content, false, error.map(ConnectionFailure.init)) }
            return
        }
        connection.receive(minimumIncompleteLength: 1, maximumLength: most) { content, _, isComplete, error in
            completion(content, isComplete, error.map(ConnectionFailure.init))
        }
    }

    func cancel() { connection.cancel() }

    func forceCancel() { connection.forceCancel() }
}

extension ConnectionFailure {
    init(_ error: NWError) {
        switch error {
        case .posix(let code): self = .posix(code.rawValue)
        case .dns(let code): self = .dns(code)
        case .tls(let code): self = .tls(code)
        @unknown default: self = .other(0)
        }
    }
}

extension NetworkPath.Interface {
    init(_ interface: NWInterface) { self.init(name: interface.name, index: interface.index) }
}

extension NetworkPath {
    init(_ path: NWPath) {
        self.init(
            isSatisfied: path.status == .satisfied, interfaces: path.availableInterfaces.map(Interface.init),
            gateways: path.gateways.map { "\($0)" })
    }
}
#endif
