// The signatures of Apple's Network framework that the package uses, for a type check where the framework is not to be had
// (.ci/swift). Nothing here runs.
import Dispatch
import Foundation

public final class NWConnection: Sendable {
    public enum State: Equatable, Sendable {
        case setup, preparing, ready, cancelled
        case waiting(NWError)
        case failed(NWError)
    }

    public final class ContentContext: Sendable {
        public static let finalMessage = ContentContext()
        public static let defaultMessage = ContentContext()
    }

    public enum SendCompletion {
        case contentProcessed(@Sendable (NWError?) -> Void)
        case idempotent
    }

    public init(host: NWEndpoint.Host, port: NWEndpoint.Port, using: NWParameters) { fatalError() }

    public var stateUpdateHandler: (@Sendable (State) -> Void)? { get { fatalError() } set { fatalError() } }
    public var viabilityUpdateHandler: (@Sendable (Bool) -> Void)? { get { fatalError() } set { fatalError() } }
    public var betterPathUpdateHandler: (@Sendable (Bool) -> Void)? { get { fatalError() } set { fatalError() } }

    public func start(queue: DispatchQueue) { fatalError() }
    public func cancel() { fatalError() }
    public func forceCancel() { fatalError() }

    public func send(
        content: Data?, contentContext: ContentContext = .defaultMessage, isComplete: Bool = true, completion: SendCompletion
    ) { fatalError() }

    public func receive(
        minimumIncompleteLength: Int, maximumLength: Int,
        completion: @escaping @Sendable (Data?, ContentContext?, Bool, NWError?) -> Void
    ) { fatalError() }

    public func receiveMessage(completion: @escaping @Sendable (Data?, ContentContext?, Bool, NWError?) -> Void) { fatalError() }
}

public enum NWError: Error, Equatable, Sendable {
    case posix(POSIXErrorCode)
    case dns(Int32)
    case tls(Int32)
}

public enum NWEndpoint: Sendable, CustomDebugStringConvertible {
    public enum Host: Sendable {
        case name(String, NWInterface?)
        case ipv4(IPv4Address)
        case ipv6(IPv6Address)
    }

    public struct Port: Sendable {
        public init?(rawValue: UInt16) { fatalError() }
    }

    case hostPort(host: Host, port: Port)

    public var debugDescription: String { fatalError() }
}

public struct IPv4Address: Sendable {
    public init?(_ rawValue: Data, _ interface: NWInterface? = nil) { fatalError() }
}

public struct IPv6Address: Sendable {
    public init?(_ rawValue: Data, _ interface: NWInterface? = nil) { fatalError() }
}

public final class NWParameters: @unchecked Sendable {
    public static var tcp: NWParameters { fatalError() }
    public static var udp: NWParameters { fatalError() }
    public var prohibitedInterfaces: [NWInterface]? { get { fatalError() } set { fatalError() } }
}

public final class NWInterface: Sendable {
    public var name: String { fatalError() }
    public var index: Int { fatalError() }
}

public struct NWPath: Sendable {
    public enum Status: Sendable { case satisfied, unsatisfied, requiresConnection }
    public var status: Status { fatalError() }
    public var availableInterfaces: [NWInterface] { fatalError() }
    public var gateways: [NWEndpoint] { fatalError() }
}

public final class NWPathMonitor: Sendable {
    public init() { fatalError() }
    public var pathUpdateHandler: (@Sendable (NWPath) -> Void)? { get { fatalError() } set { fatalError() } }
    public func start(queue: DispatchQueue) { fatalError() }
    public func cancel() { fatalError() }
}
