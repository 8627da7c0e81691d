#if canImport(Darwin)
import Darwin
#elseif canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Error numbers under names that do not differ between systems.
enum POSIXErrorNumber {
    static let refused = ECONNREFUSED
    static let reset = ECONNRESET
    static let hostUnreachable = EHOSTUNREACH
    static let hostDown = EHOSTDOWN
    static let networkUnreachable = ENETUNREACH
    static let networkDown = ENETDOWN
    static let noAddress = EADDRNOTAVAIL
    static let denied = EACCES
    static let notPermitted = EPERM
    static let timedOut = ETIMEDOUT
}

/// A socket address of the system.
struct SocketAddress {
    private var storage = sockaddr_storage()
    private var length: socklen_t

    init(_ endpoint: Endpoint) {
        if endpoint.address.family == .v4 {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = endpoint.port.bigEndian
            withUnsafeMutableBytes(of: &address.sin_addr) { $0.copyBytes(from: endpoint.address.bytes) }
            length = socklen_t(MemoryLayout<sockaddr_in>.size)
            withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: address, as: sockaddr_in.self) }
        } else {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = endpoint.port.bigEndian
            withUnsafeMutableBytes(of: &address.sin6_addr) { $0.copyBytes(from: endpoint.address.bytes) }
            length = socklen_t(MemoryLayout<sockaddr_in6>.size)
            withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: address, as: sockaddr_in6.self) }
        }
    }

    /// The system's way to hand an address over.
    func with<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        withUnsafePointer(to: storage) { storage in
            storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }

    /// The address that the resolver answered; `nil` for a family that is none of IP.
    static func ip(_ address: UnsafePointer<sockaddr>) -> IPAddress? {
        switch Int32(address.pointee.sa_family) {
        case AF_INET:
            address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { address in
                withUnsafeBytes(of: address.pointee.sin_addr) { IPAddress(bytes: $0) }
            }
        case AF_INET6:
            address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { address in
                withUnsafeBytes(of: address.pointee.sin6_addr) { IPAddress(bytes: $0) }
            }
        default: nil
        }
    }
}

/// The system's resolver, which blocks: not to be asked from a callback's thread.
func systemResolve(_ name: String, _ family: AddressFamily) -> Resolution {
    var hints = addrinfo()
    hints.ai_family = family == .v4 ? AF_INET : AF_INET6
    // One answer for each address, not one for each kind of socket.
    hints.ai_protocol = Int32(IPPROTO_TCP)
    var found: UnsafeMutablePointer<addrinfo>?
    let answer = getaddrinfo(name, nil, &hints, &found)
    defer { found.map { freeaddrinfo($0) } }
    guard answer == 0 else { return answer == EAI_NONAME ? .notFound : .failed }
    var addresses: [IPAddress] = []
    var next = found
    while let entry = next {
        if let address = entry.pointee.ai_addr.flatMap({ SocketAddress.ip($0) }), !addresses.contains(address) {
            addresses.append(address)
        }
        next = entry.pointee.ai_next
    }
    // The system's resolver does not say for how long: not for long.
    return .addresses(addresses, ttl: 30)
}

// Functions of the system whose names methods hide, and constants that systems spell in types of their own.

enum SocketKind {
    #if canImport(Glibc)
    static let stream = Int32(SOCK_STREAM.rawValue)
    static let datagram = Int32(SOCK_DGRAM.rawValue)
    #else
    static let stream = SOCK_STREAM
    static let datagram = SOCK_DGRAM
    #endif
}

enum SocketFlags {
    #if os(Linux)
    /// A connection that broke is an error, not the end of the process.
    static let noSignal = Int32(MSG_NOSIGNAL)
    static let shutWrite = Int32(SHUT_WR)
    #else
    // Set as SO_NOSIGPIPE on the socket.
    static let noSignal: Int32 = 0
    static let shutWrite = SHUT_WR
    #endif
}

func systemSocket(_ family: Int32, _ kind: Int32, _ number: Int32) -> Int32 { socket(family, kind, number) }

func systemConnect(_ socket: Int32, _ address: UnsafePointer<sockaddr>, _ length: socklen_t) -> Int32 {
    connect(socket, address, length)
}

func systemSend(_ socket: Int32, _ bytes: UnsafeRawPointer?, _ count: Int, _ flags: Int32) -> Int {
    send(socket, bytes, count, flags)
}

func systemClose(_ descriptor: Int32) -> Int32 { close(descriptor) }

extension AddressFamily {
    /// `AF_INET` or `AF_INET6`.
    var number: Int32 { self == .v4 ? AF_INET : AF_INET6 }
}
