import EngineBridge

// The package's values and the header's, each way. A number that a newer library has and this package has not becomes `other` or
// `unknown`, as the header asks of its hosts.

extension EngineError {
    /// Throws unless the call was done.
    static func check(_ status: BridgeStatus) throws(EngineError) {
        if let error = EngineError(status) { throw error }
    }

    /// A count, or the status below zero thrown.
    static func count(_ answer: Int64) throws(EngineError) -> Int {
        guard answer >= 0 else {
            throw BridgeStatus(rawValue: Int32(truncatingIfNeeded: answer)).flatMap(EngineError.init)
                ?? .unknown(Int32(truncatingIfNeeded: answer))
        }
        return Int(answer)
    }

    /// `nil` for a call that was done.
    init?(_ status: BridgeStatus) {
        switch status {
        case .ok: return nil
        case .nullPointer: self = .nullPointer
        case .badHandle: self = .badHandle
        case .badLength: self = .badLength
        case .badArgument: self = .badArgument
        case .notStarted: self = .notStarted
        case .alreadyStarted: self = .alreadyStarted
        case .stopped: self = .stopped
        case .reentrant: self = .reentrant
        case .busy: self = .busy
        case .staleFlow: self = .staleFlow
        case .wrongProtocol: self = .wrongProtocol
        case .dialAnswered: self = .dialAnswered
        case .notConnected: self = .notConnected
        case .afterEnd: self = .afterEnd
        case .full: self = .full
        case .io: self = .io
        case .timedOut: self = .timedOut
        case .notFound: self = .notFound
        case .panicked: self = .panicked
        @unknown default: self = .unknown(status.rawValue)
        }
    }
}

extension EngineError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unknown(let status): "unknown status \(status)"
        case .wrongVersion(let version): "the library has version \(version) of the ABI, this package \(BRIDGE_ABI_VERSION)"
        default: String(cString: BridgeStatusText(status))
        }
    }

    private var status: BridgeStatus {
        switch self {
        case .nullPointer: .nullPointer
        case .badHandle: .badHandle
        case .badLength: .badLength
        case .badArgument: .badArgument
        case .notStarted: .notStarted
        case .alreadyStarted: .alreadyStarted
        case .stopped: .stopped
        case .reentrant: .reentrant
        case .busy: .busy
        case .staleFlow: .staleFlow
        case .wrongProtocol: .wrongProtocol
        case .dialAnswered: .dialAnswered
        case .notConnected: .notConnected
        case .afterEnd: .afterEnd
        case .full: .full
        case .io: .io
        case .timedOut: .timedOut
        case .notFound: .notFound
        case .panicked: .panicked
        case .unknown, .wrongVersion: .ok
        }
    }
}

extension DialResult {
    var bridged: BridgeDialResult {
        switch self {
        case .connected: .connected
        case .refused: .refused
        case .hostUnreachable: .hostUnreachable
        case .networkUnreachable: .networkUnreachable
        case .denied: .denied
        case .timedOut: .timedOut
        }
    }
}

extension RemoteEnd {
    var bridged: BridgeEnd {
        switch self {
        case .eof: .eof
        case .reset: .reset
        case .error: .error
        }
    }
}

extension CloseReason {
    init(_ close: BridgeClose) {
        by = switch close.by {
        case .device: .device
        case .remote: .remote
        case .engine: .engine
        @unknown default: .engine
        }
        how = switch close.how {
        case .fin: .fin
        case .reset: .reset
        case .dial: .dial
        case .error: .error
        case .handshake: .handshake
        case .idle: .idle
        case .halfClosed: .halfClosed
        case .abandoned: .abandoned
        case .path: .path
        case .guard: .guard
        case .admission: .admission
        case .stopped: .stopped
        case .other: .other
        @unknown default: .other
        }
    }
}

extension LogLevel {
    var bridged: BridgeLogLevel {
        switch self {
        case .error: .error
        case .warning: .warn
        case .info: .info
        case .debug: .debug
        case .trace: .trace
        }
    }

    init(_ level: BridgeLogLevel) {
        self = switch level {
        case .error: .error
        case .warn: .warning
        case .info: .info
        case .debug: .debug
        case .trace: .trace
        @unknown default: .trace
        }
    }
}

extension IPAddress {
    init(_ address: BridgeAddress) {
        let count = address.family == 4 ? 4 : 16
        // Four bytes or 16, so there is one.
        self.init(bytes: withUnsafeBytes(of: address.octets) { $0.prefix(count) })!
    }
}

extension Endpoint {
    init(_ address: BridgeAddress) {
        self.init(address: IPAddress(address), port: address.port)
    }

    var bridged: BridgeAddress {
        var bridged = BridgeAddress()
        bridged.family = address.family == .v4 ? 4 : 6
        bridged.port = port
        withUnsafeMutableBytes(of: &bridged.octets) { $0.copyBytes(from: address.bytes) }
        return bridged
    }
}
