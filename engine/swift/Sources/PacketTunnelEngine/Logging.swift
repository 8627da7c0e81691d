import EngineBridge

/// Who receives the log of all engines of the process. Lines have no address and no name in clear.
public enum EngineLog {
    /// A sink, kept as long as the library may call it.
    private final class Sink: Sendable {
        let write: @Sendable (LogLevel, String) -> Void
        init(_ write: @escaping @Sendable (LogLevel, String) -> Void) { self.write = write }
    }

    private static let current = Lock(Sink?.none)
    /// Whether this is within a sink, which would wait for itself.
    @TaskLocal private static var isWriting = false

    /// Sends lines up to `level` to `sink`, from any thread, in place of whoever received them; `nil`: to nobody. An engine speaks at the
    /// level that holds when it is started. When this returns, the former sink is not called any more.
    ///
    /// - Throws: ``EngineError/reentrant`` from within a sink.
    public static func send(upTo level: LogLevel = .info, to sink: (@Sendable (LogLevel, String) -> Void)?) throws(EngineError) {
        guard !isWriting else { throw .reentrant }
        let sink = sink.map(Sink.init)
        let status = current.withLock { current in
            let context = sink.map { Unmanaged.passUnretained($0).toOpaque() }
            let status = BridgeSetLogSink(sink == nil ? nil : write, context, level.bridged)
            // The former one goes only now.
            if status == .ok { current = sink }
            return status
        }
        try EngineError.check(status)
    }

    private static let write: @convention(c) (UnsafeMutableRawPointer?, BridgeLogLevel, UnsafePointer<CChar>) -> Void = { context, level, line in
        guard let context else { return }
        let sink = Unmanaged<Sink>.fromOpaque(context).takeUnretainedValue()
        $isWriting.withValue(true) { sink.write(LogLevel(level), String(cString: line)) }
    }
}
