// What Linux's Dispatch lacks of Apple's, for a type check of the template only.
#if os(Linux)
import Dispatch

protocol DispatchSourceMemoryPressure: DispatchSourceProtocol {}

struct MemoryPressureEvent: OptionSet {
    let rawValue: UInt
    static let warning = MemoryPressureEvent(rawValue: 2)
    static let critical = MemoryPressureEvent(rawValue: 4)
}

extension DispatchSource {
    static func makeMemoryPressureSource(
        eventMask: MemoryPressureEvent, queue: DispatchQueue? = nil
    ) -> any DispatchSourceMemoryPressure { fatalError() }
}
#endif
