// The engine by way of this package, driven by its host in virtual time, behind the lines of docs/STACK_PROTOCOL.md: `replay run --stack
// exec:PROGRAM` holds it to the scenarios and captures of this repository.
import Foundation
import PacketTunnelEngine

@main
struct ReplayStack {
    static func main() async throws {
        say("hello 1 swift 0.1.0 tolerance=0 deterministic=true settings=all can=half_close,close,by,how,last,rest,take,from,path,address,stop")
        var stack: Stack?
        while let line = readLine() {
            let words = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
            if words[0] == "start" {
                stack = try Stack(words[2])
            } else if let stack {
                try await stack.take(words[0], Array(words.dropFirst()))
            }
        }
    }

    static func say(_ line: String) {
        print(line)
        fflush(nil)
    }
}

/// One engine and what it has said since the last poll. All of it happens on the thread that reads the lines.
final class Stack: Transport, PacketSink, @unchecked Sendable {
    // The ABI's time begins above zero.
    private static let epoch: UInt64 = 1_000_000

    private var engine: Engine!
    private var input: (any EngineInput)!
    private var lines: [String] = []
    private var now = epoch
    private var isStopped = false
    /// What flows are, what their dials were answered with, and how many bytes the far side still takes.
    private var kinds: [FlowID: FlowProtocol] = [:]
    private var answers: [FlowID: String] = [:]
    private var takes: [FlowID: Int] = [:]

    init(_ settings: String) throws {
        var configuration = Configuration()
        configuration.isHostDriven = true
        // The same run every time: the seed that scenarios without one have.
        configuration.seed = 1
        let object = try JSONSerialization.jsonObject(with: Data(settings.utf8)) as? [String: Any] ?? [:]
        for (name, value) in object {
            switch (name, value as? String) {
            case ("preset", "phone"): configuration.preset = .phone
            case ("preset", "many_flows"): configuration.preset = .manyFlows
            case ("preset", "desktop"): configuration.preset = .desktop
            default: configuration.set(name, Self.text(value))
            }
        }
        // More than a far side of a scenario sends at once, so that the stream is cut into segments where the engine cuts it.
        configuration.set("inbox_bytes", String(16 << 20))
        engine = try Engine(configuration: configuration, transport: self, packets: self)
        try engine.start()
    }

    /// A setting as `BridgeEngineSet` takes it: sizes in bytes, times in microseconds.
    private static func text(_ value: Any) -> String {
        guard let text = value as? String else {
            let number = value as! NSNumber
            return CFBoolean(number).map { $0 ? "true" : "false" } ?? number.stringValue
        }
        let units: [(String, Double)] = [
            ("us", 1), ("ms", 1e3), ("min", 6e7), ("KiB", 1024), ("MiB", 1_048_576), ("GiB", 1_073_741_824), ("kB", 1e3), ("MB", 1e6),
            ("GB", 1e9), ("B", 1), ("s", 1e6), ("h", 3.6e9),
        ]
        for (unit, factor) in units where text.hasSuffix(unit) {
            if let number = Double(text.dropLast(unit.count)) { return String(UInt64(number * factor)) }
        }
        return text
    }

    private static func CFBoolean(_ number: NSNumber) -> Bool? {
        String(cString: number.objCType) == "c" ? number.boolValue : nil
    }

    func take(_ word: String, _ rest: [String]) async throws {
        let rest = rest.flatMap { $0.split(separator: " ", omittingEmptySubsequences: false).map(String.init) }
        let flow = FlowID(rawValue: rest.first.flatMap { UInt64($0) } ?? 0)
        // A call that comes after the close is ignored, as in any host.
        switch word {
        case "at": now = Self.epoch + UInt64(rest[0])!
        case "frame": _ = try? engine.handle([bytes(rest[0])])
        case "dialed":
            answers[flow] = rest[1]
            try? input.dialed(flow, Self.results[rest[1]]!)
        case "data":
            let taken = bytes(rest[1]).withUnsafeBytes { try? input.received(flow, $0) }
            ReplayStack.say("took \(taken ?? 0)")
        case "datagram":
            let from = rest[1] == "-" ? nil : Endpoint(rest[1])
            let taken: Void? = bytes(rest[2]).withUnsafeBytes { try? input.received(flow, datagram: $0, from: from) }
            ReplayStack.say(taken == nil ? "took 0" : "took 1")
        case "block": try? input.blocked(flow)
        case "unblock":
            takes[flow] = nil
            try? input.writable(flow)
        case "take":
            takes[flow] = Int(rest[1])
            try? input.writable(flow)
        case "end":
            let end: RemoteEnd = rest[1] == "eof" ? .eof : rest[1] == "reset" ? .reset : .error
            try? input.ended(flow, kinds[flow] ?? .tcp, end)
        case "resolved":
            try? input.resolved(QueryID(rawValue: flow.rawValue), Self.resolution(Array(rest.dropFirst())))
        case "path": try? engine.pathChanged(.network)
        case "address": try? engine.pathChanged(.addressLost(IPAddress(rest[0])!))
        case "stop":
            // Stopping brings no time along: it is the last poll's.
            _ = try? engine.poll(now: now)
            try await engine.stop()
            isStopped = true
        case "poll": poll()
        default: fatalError("no such line: \(word)")
        }
    }

    private func poll() {
        var next: UInt64?
        repeat { next = isStopped ? nil : try? engine.poll(now: now) } while next.map { $0 <= now } ?? false
        for line in lines { print(line) }
        lines = []
        let rests = (try? engine.isResting) ?? true
        ReplayStack.say(next.map { "next \($0 - Self.epoch)\(rests ? " rest" : "")" } ?? "next never")
    }

    // MARK: What the engine says

    func attach(_ engine: any EngineInput) { input = engine }

    func write(_ packets: PacketBatch) -> Int {
        for packet in packets { lines.append("frame \(hex(packet))") }
        return packets.count
    }

    func dial(_ request: DialRequest) {
        kinds[request.flow] = request.transport
        let name = request.name.map { " " + $0 } ?? ""
        lines.append("dial \(request.flow.rawValue) \(request.transport) \(request.client) \(request.server)\(name)")
    }

    func send(_ flow: FlowID, _ bytes: UnsafeRawBufferPointer) -> Int {
        let taken = min(bytes.count, takes[flow] ?? .max)
        if let left = takes[flow] { takes[flow] = left - taken }
        if taken > 0 { lines.append("data \(flow.rawValue) \(hex(UnsafeRawBufferPointer(rebasing: bytes.prefix(taken))))") }
        return taken
    }

    func send(_ flow: FlowID, datagram: UnsafeRawBufferPointer, to: Endpoint) -> Bool {
        lines.append("datagram \(flow.rawValue) \(to) \(hex(datagram))")
        return true
    }

    func halfClose(_ flow: FlowID) { lines.append("half_close \(flow.rawValue)") }

    func resume(_ flow: FlowID, room: Int) { lines.append("resume \(flow.rawValue) \(room)") }

    func close(_ flow: FlowID, _ reason: CloseReason) {
        kinds[flow] = nil
        // A dial that was never answered took too long.
        let answer = answers.removeValue(forKey: flow) ?? "timed_out"
        lines.append("close \(flow.rawValue) \(reason.by) \(reason.how == .dial ? answer : Self.word("\(reason.how)"))")
    }

    func resolve(_ query: QueryID, name: String, family: AddressFamily) {
        lines.append("resolve \(query.rawValue) \(family == .v4 ? "a" : "aaaa") \(name)")
    }

    func detach() {}

    func reduceMemory() {}

    // MARK: Words

    private static let results = Dictionary(uniqueKeysWithValues: DialResult.allCases.map { (word("\($0)"), $0) })

    private static func resolution(_ words: [String]) -> Resolution {
        guard words.count == 2 else { return words[0] == "not_found" ? .notFound : .failed }
        let addresses = words[1] == "-" ? [] : words[1].split(separator: ",").compactMap { IPAddress(String($0)) }
        return .addresses(addresses, ttl: UInt32(words[0])!)
    }

    /// `halfClosed` as the protocol spells it.
    private static func word(_ name: String) -> String {
        name.reduce(into: "") { $0 += $1.isUppercase ? "_" + $1.lowercased() : String($1) }
    }

    private func bytes(_ hex: String) -> [UInt8] {
        let digits = hex.utf8.map { UInt8($0 > 57 ? $0 - 87 : $0 - 48) }
        return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    private func hex(_ bytes: UnsafeRawBufferPointer) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
