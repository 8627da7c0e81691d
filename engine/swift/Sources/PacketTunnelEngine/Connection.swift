import Dispatch
#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// A connection of the system to a far side, in the words of `NWConnection`: what ``ConnectionTransport`` needs of one, so that its logic can
/// be held to every order of events where Apple's framework is not to be had.
///
/// Handlers and completions come on the queue that ``start(on:_:)`` was given, never from within a call.
public protocol ConnectionLike: AnyObject, Sendable {
    /// Begins to connect. `handler` hears of every change, until the connection is cancelled or has failed.
    func start(on queue: DispatchQueue, _ handler: @escaping @Sendable (ConnectionUpdate) -> Void)

    /// Sends bytes, or one datagram. `final`: nothing follows (a FIN); `content` may be `nil` then. The completion says when more may follow.
    func send(_ content: Data?, final: Bool, _ completion: @escaping @Sendable (ConnectionFailure?) -> Void)

    /// Reads 1 to `most` bytes, or one datagram. `final`: the far side has ended, after `content`.
    func receive(
        most: Int, _ completion: @escaping @Sendable (_ content: Data?, _ final: Bool, _ failure: ConnectionFailure?) -> Void)

    /// Ends the connection in order.
    func cancel()

    /// Ends the connection at once: the far side sees a reset.
    func forceCancel()
}

/// What becomes of a connection.
public enum ConnectionUpdate: Sendable, Equatable {
    case preparing
    /// It cannot connect, or go on, for now.
    case waiting(ConnectionFailure)
    case ready
    case failed(ConnectionFailure)
    case cancelled
    case viable(Bool)
    case betterPath(Bool)
}

/// Why a connection failed, or waits.
public enum ConnectionFailure: Error, Sendable, Hashable {
    /// An error number of the system.
    case posix(Int32)
    /// An error of the resolver, `kDNSServiceErr_*`.
    case dns(Int32)
    case tls(Int32)
    case other(Int32)

    /// What a dial that failed so came to.
    public var dialResult: DialResult {
        switch self {
        case .posix(let number): Self.dialResult(of: number)
        // No such record or name: the host is nowhere. A resolver that does not answer: out of time.
        case .dns(Self.resolverTimedOut): .timedOut
        case .dns(Self.resolverDenied): .denied
        case .dns, .tls, .other: .hostUnreachable
        }
    }

    /// What a connection that failed so, after it was established, is to the device.
    public var end: RemoteEnd {
        switch self {
        case .posix(let number) where number == POSIXErrorNumber.reset || number == POSIXErrorNumber.refused: .reset
        default: .error
        }
    }

    private static let resolverTimedOut: Int32 = -65568
    private static let resolverDenied: Int32 = -65570

    private static func dialResult(of number: Int32) -> DialResult {
        switch number {
        case POSIXErrorNumber.refused, POSIXErrorNumber.reset: .refused
        case POSIXErrorNumber.hostUnreachable, POSIXErrorNumber.hostDown: .hostUnreachable
        case POSIXErrorNumber.networkUnreachable, POSIXErrorNumber.networkDown, POSIXErrorNumber.noAddress: .networkUnreachable
        case POSIXErrorNumber.denied, POSIXErrorNumber.notPermitted: .denied
        case POSIXErrorNumber.timedOut: .timedOut
        default: .hostUnreachable
        }
    }
}
