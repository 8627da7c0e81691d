// The signatures of Apple's os module that the package uses, for a type check only.

public struct OSLogPrivacy: Sendable {
    public static var `public`: OSLogPrivacy { fatalError() }
}

public struct OSLogInterpolation: StringInterpolationProtocol {
    public init(literalCapacity: Int, interpolationCount: Int) { fatalError() }
    public mutating func appendLiteral(_ literal: String) { fatalError() }
    public mutating func appendInterpolation(_ text: @autoclosure () -> String, privacy: OSLogPrivacy) { fatalError() }
    public mutating func appendInterpolation(_ number: @autoclosure () -> some Any) { fatalError() }
}

public struct OSLogMessage: ExpressibleByStringInterpolation {
    public init(stringInterpolation: OSLogInterpolation) { fatalError() }
    public init(stringLiteral: String) { fatalError() }
}

public struct Logger: Sendable {
    public init(subsystem: String, category: String) { fatalError() }
    public func error(_ message: OSLogMessage) { fatalError() }
    public func warning(_ message: OSLogMessage) { fatalError() }
    public func notice(_ message: OSLogMessage) { fatalError() }
    public func debug(_ message: OSLogMessage) { fatalError() }
}
