import Dispatch
#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif
#if canImport(Darwin)
import Darwin
#elseif canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A socket of the system as a connection, for Linux, command lines and tests.
///
/// Everything happens on the queue that it was started on; calls only put work there.
final class SocketConnection: ConnectionLike, @unchecked Sendable {
    private let transport: FlowProtocol
    private let address: SocketAddress
    private let family: AddressFamily
    private let options: SocketTransport.Options
    // Set once, by `start`, before any other call.
    private var queue = DispatchQueue.main
    private var handler: (@Sendable (ConnectionUpdate) -> Void)?

    private var socket: Int32 = -1
    private var readable: Readiness?, writable: Readiness?
    private var isConnected = false
    private var sends: [Send] = []
    private var read: (most: Int, completion: @Sendable (Data?, Bool, ConnectionFailure?) -> Void)?

    private struct Send {
        var content: Data?
        let final: Bool
        let completion: @Sendable (ConnectionFailure?) -> Void
    }

    init(_ transport: FlowProtocol, to endpoint: Endpoint, _ options: SocketTransport.Options) {
        self.transport = transport
        self.options = options
        address = SocketAddress(endpoint)
        family = endpoint.address.family
    }

    deinit { close() }

    func start(on queue: DispatchQueue, _ handler: @escaping @Sendable (ConnectionUpdate) -> Void) {
        self.queue = queue
        self.handler = handler
        queue.async { self.connect() }
    }

    func send(_ content: Data?, final: Bool, _ completion: @escaping @Sendable (ConnectionFailure?) -> Void) {
        queue.async {
            self.sends.append(Send(content: content, final: final, completion: completion))
            if self.isConnected { self.write() }
        }
    }

    func receive(most: Int, _ completion: @escaping @Sendable (Data?, Bool, ConnectionFailure?) -> Void) {
        queue.async {
            self.read = (most, completion)
            self.receive()
        }
    }

    func cancel() { queue.async { self.end(reset: false) } }

    func forceCancel() { queue.async { self.end(reset: true) } }

    // MARK: On the queue

    private func connect() {
        let kind = transport == .tcp ? SocketKind.stream : SocketKind.datagram
        socket = systemSocket(family == .v4 ? AF_INET : AF_INET6, kind, 0)
        guard socket >= 0 else { return fail(errno) }
        _ = fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK)
        guard configure() else { return fail(errno) }
        let answer = address.with { systemConnect(socket, $0, $1) }
        guard answer == 0 || errno == EINPROGRESS else { return fail(errno) }
        readable = Readiness(DispatchSource.makeReadSource(fileDescriptor: socket, queue: queue)) { [weak self] in self?.receive() }
        writable = Readiness(DispatchSource.makeWriteSource(fileDescriptor: socket, queue: queue)) { [weak self] in self?.write() }
        answer == 0 ? connected() : writable?.arm()
    }

    private func configure() -> Bool {
        #if os(Linux)
        if let interface = options.interface {
            guard setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, interface, socklen_t(interface.utf8.count)) == 0 else { return false }
        }
        #else
        var yes: Int32 = 1
        setsockopt(socket, SOL_SOCKET, SO_NOSIGPIPE, &yes, socklen_t(MemoryLayout<Int32>.size))
        if let interface = options.interface {
            var index = if_nametoindex(interface)
            let (level, name) = family == .v4 ? (Int32(IPPROTO_IP), IP_BOUND_IF) : (Int32(IPPROTO_IPV6), IPV6_BOUND_IF)
            guard setsockopt(socket, level, name, &index, socklen_t(MemoryLayout<UInt32>.size)) == 0 else { return false }
        }
        #endif
        if var bytes = options.sendBuffer.map(Int32.init(clamping:)) {
            setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
        }
        return true
    }

    private func connected() {
        isConnected = true
        handler?(.ready)
    }

    /// The socket takes something: the connection's result, or bytes.
    private func write() {
        guard socket >= 0 else { return }
        if !isConnected {
            var error: Int32 = 0
            var length = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length)
            guard error == 0 else { return fail(error) }
            connected()
        }
        while let next = sends.first {
            if let content = next.content, !content.isEmpty || transport == .udp {
                let sent = content.withUnsafeBytes { systemSend(socket, $0.baseAddress, $0.count, SocketFlags.noSignal) }
                if sent < 0 {
                    if errno == EINTR { continue }
                    if errno == EAGAIN || errno == ENOBUFS {
                        writable?.arm()
                        return
                    }
                    // A datagram that cannot go is lost; a stream that cannot go on is broken.
                    let failure = transport == .tcp ? ConnectionFailure.posix(errno) : nil
                    sends.removeFirst().completion(failure)
                    continue
                }
                if transport == .tcp, sent < content.count {
                    sends[0].content = Data(content.dropFirst(sent))
                    continue
                }
            }
            if next.final { shutdown(socket, SocketFlags.shutWrite) }
            sends.removeFirst().completion(nil)
        }
    }

    private func receive() {
        guard socket >= 0, let (most, completion) = read else { return }
        var buffer = Data(count: transport == .tcp ? most : 65_535)
        let got = buffer.withUnsafeMutableBytes { recv(socket, $0.baseAddress, $0.count, 0) }
        if got < 0, errno == EAGAIN || errno == EINTR {
            readable?.arm()
            return
        }
        read = nil
        if got < 0 {
            completion(nil, false, .posix(errno))
        } else if got == 0, transport == .tcp {
            completion(nil, true, nil)
        } else {
            buffer.removeSubrange(got...)
            completion(buffer, false, nil)
        }
    }

    private func fail(_ number: Int32) {
        let handler = handler
        close()
        handler?(.failed(.posix(number)))
    }

    private func end(reset: Bool) {
        guard socket >= 0 else { return }
        if reset, transport == .tcp {
            var now = linger(l_onoff: 1, l_linger: 0)
            setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
        }
        let handler = handler
        close()
        handler?(.cancelled)
    }

    private func close() {
        handler = nil
        read = nil
        sends = []
        let socket = socket
        self.socket = -1
        guard socket >= 0 else { return }
        // The number must not be another socket's before both sources have let go of it.
        let sources = DispatchGroup()
        for source in [readable, writable] {
            guard let source else { continue }
            sources.enter()
            source.cancel { sources.leave() }
        }
        (readable, writable) = (nil, nil)
        sources.notify(queue: queue) { _ = systemClose(socket) }
    }
}

/// A source that fires once each time it is armed.
private final class Readiness {
    private let source: any DispatchSourceProtocol
    private var isArmed = false

    init(_ source: any DispatchSourceProtocol, _ ready: @escaping () -> Void) {
        self.source = source
        source.setEventHandler { [weak self] in
            guard let self, self.isArmed else { return }
            self.isArmed = false
            self.source.suspend()
            ready()
        }
    }

    func arm() {
        guard !isArmed else { return }
        isArmed = true
        source.resume()
    }

    func cancel(_ done: @escaping () -> Void) {
        source.setCancelHandler(handler: done)
        source.cancel()
        // A source that sleeps would never hear of it.
        arm()
    }
}
