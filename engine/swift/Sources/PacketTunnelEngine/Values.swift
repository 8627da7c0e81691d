/// A TCP or UDP flow of the device. The engine chooses the number and does not use it again soon: one that has ended is answered with
/// ``EngineError/staleFlow``.
public struct FlowID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public var description: String { "flow \(rawValue)" }
}

/// A question of the engine for the addresses of a name.
public struct QueryID: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// What a flow is made of: a stream or datagrams.
public enum FlowProtocol: Sendable { case tcp, udp }

/// Which addresses are asked for.
public enum AddressFamily: Sendable { case v4, v6 }

/// An IP address.
public struct IPAddress: Hashable, Sendable {
    /// In network byte order: 4 of them, or 16.
    public let bytes: [UInt8]

    /// Four bytes of an IPv4 address or 16 of an IPv6 one, in network byte order; `nil` for any other number of them.
    public init?(bytes: some Sequence<UInt8>) {
        let bytes = Array(bytes)
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        self.bytes = bytes
    }

    public var family: AddressFamily { bytes.count == 4 ? .v4 : .v6 }
}

/// An address and a port.
public struct Endpoint: Hashable, Sendable {
    public var address: IPAddress
    /// In the host's byte order.
    public var port: UInt16

    public init(address: IPAddress, port: UInt16) {
        self.address = address
        self.port = port
    }
}

/// A connection that the engine wants.
public struct DialRequest: Hashable, Sendable {
    public let flow: FlowID
    public let transport: FlowProtocol
    /// The device's end.
    public let client: Endpoint
    /// Where to connect to.
    public let server: Endpoint
    /// The name that the device had looked up for the address, if it did.
    public let name: String?

    public init(flow: FlowID, transport: FlowProtocol, client: Endpoint, server: Endpoint, name: String?) {
        self.flow = flow
        self.transport = transport
        self.client = client
        self.server = server
        self.name = name
    }
}

/// What became of a dial.
public enum DialResult: Sendable, CaseIterable {
    case connected, refused, hostUnreachable, networkUnreachable, denied, timedOut
}

/// How a far side ended.
public enum RemoteEnd: Sendable {
    /// End of file: the device gets a FIN, and may go on sending.
    case eof
    /// The far side reset the connection; so does the engine, after the bytes that came before it.
    case reset
    /// The connection failed otherwise: a reset for the device.
    case error
}

/// How a flow ended: of anything but ``How/fin`` the far side should see a reset.
public struct CloseReason: Hashable, Sendable {
    public enum By: Sendable { case device, remote, engine }
    public enum How: Sendable {
        /// Both directions closed in order.
        case fin
        case reset
        /// The dial failed.
        case dial
        /// The connection failed after it had been established.
        case error
        /// The device never completed the handshake.
        case handshake
        case idle, halfClosed
        /// The device acknowledged nothing for too long.
        case abandoned
        /// The path changed.
        case path
        /// A guard inside the engine stepped in.
        case `guard`
        /// It had to make room, or found none.
        case admission
        /// The engine was stopped.
        case stopped
        /// Another way, which this version of the package has no word for.
        case other
    }

    public let by: By
    public let how: How

    public init(by: By, how: How) {
        self.by = by
        self.how = how
    }
}

/// A DNS answer that passed on its way to the device.
public struct DNSRecord: Hashable, Sendable {
    public let name: String
    public let addresses: [IPAddress]
    /// The shortest time to live among them, seconds.
    public let ttl: UInt32
}

/// What was found out about a name.
public enum Resolution: Hashable, Sendable {
    /// Addresses, none if the name has none of the family, and for how many seconds the device may keep them.
    case addresses([IPAddress], ttl: UInt32)
    /// There is no such name.
    case notFound
    /// It could not be found out; the device may ask another resolver.
    case failed
}

/// What happened to the network underneath.
public enum PathChange: Hashable, Sendable {
    /// Another way out: Wi-Fi to cellular, another address.
    case network
    /// The device's end of the tunnel has lost an address.
    case addressLost(IPAddress)
}

/// Why a call was refused. Nothing has changed then.
public enum EngineError: Error, Hashable, Sendable {
    /// A required pointer is null. Not to be met through this package.
    case nullPointer
    /// The engine was freed. Not to be met through this package.
    case badHandle
    /// A length that no packet or datagram has.
    case badLength
    /// A setting that does not exist, or a value out of its range.
    case badArgument
    case notStarted, alreadyStarted, stopped
    /// The call would wait for the callback it is made from, or polls an engine that has a thread of its own.
    case reentrant
    /// Another thread is polling this engine, or too many lookups are under way.
    case busy
    /// The flow has ended. An ordinary answer: drop what was meant for it.
    case staleFlow
    /// A stream call on a UDP flow, or a datagram call on a TCP flow.
    case wrongProtocol
    case dialAnswered, notConnected
    /// The far side of this flow has ended before.
    case afterEnd
    /// No room: the packet or datagram is lost, and counted.
    case full
    /// A file or a thread cannot be made.
    case io
    case timedOut, notFound
    /// The engine broke, which is a bug in it: stop it and make another.
    case panicked
    /// A status that this version of the package has no word for.
    case unknown(Int32)
    /// The library was built from another version of the header.
    case wrongVersion(UInt32)
}

/// The weight of a line of the log.
public enum LogLevel: Sendable, CaseIterable { case error, warning, info, debug, trace }
