#if canImport(os)
import os

extension EngineLog {
    /// Sends lines up to `level` to the system's log.
    public static func send(upTo level: LogLevel = .info, to logger: Logger) throws(EngineError) {
        try send(upTo: level) { level, line in
            switch level {
            case .error: logger.error("\(line, privacy: .public)")
            case .warning: logger.warning("\(line, privacy: .public)")
            case .info: logger.notice("\(line, privacy: .public)")
            case .debug, .trace: logger.debug("\(line, privacy: .public)")
            }
        }
    }
}
#endif
