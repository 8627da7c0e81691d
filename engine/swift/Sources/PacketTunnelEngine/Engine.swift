import Dispatch
import EngineBridge
#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// What happens in an engine and its transport. Streams of it keep the newest 1,024.
public enum EngineEvent: Sendable, Equatable {
    case started, stopped
    case dialing(DialRequest)
    /// The transport has answered a dial.
    case dialed(FlowID, DialResult)
    case closed(DialRequest, CloseReason)
    /// The engine was told of another path, and did what ``Configuration/closesOnPathChange`` and `path_policy` say.
    case pathChanged(PathChange)
    case transport(TransportNotice)
    case sleeping, woke
}

/// A packet tunnel's engine: IP packets of the device go in, connections come out.
///
/// Every call can be made from any thread, also from within a callback of the transport, but for ``start()`` and ``poll(now:)``, which throw
/// ``EngineError/reentrant`` there. An engine that nobody refers to any more stops, off the thread that let it go, and then lets its
/// transport and its sink go.
public final class Engine: Sendable {
    private let handle: Handle
    private let context: Context
    private let input: BridgeInput

    /// Makes an engine; nothing runs before ``start()``.
    ///
    /// - Parameter wake: for a host that drives the engine itself: something came in, so ``poll(now:)`` should be called soon. It comes
    ///   from whatever thread made the call, and must not itself poll or stop.
    /// - Throws: ``EngineError/badArgument`` for a setting that does not exist or is out of its range.
    public init(
        configuration: Configuration = Configuration(), transport: any Transport, packets: any PacketSink,
        wake: (@Sendable () -> Void)? = nil
    ) throws(EngineError) {
        guard BridgeVersion() == BRIDGE_ABI_VERSION else { throw .wrongVersion(BridgeVersion()) }
        var config = try configuration.bridged()
        context = Context(transport: transport, packets: packets, wake: wake)
        var callbacks = context.callbacks()
        var status = BridgeStatus.ok
        guard let engine = BridgeNewEngine(&config, &callbacks, &status) else {
            Unmanaged.passUnretained(context).release()
            throw EngineError(status) ?? .unknown(0)
        }
        handle = Handle(engine: engine)
        input = BridgeInput(handle: handle, events: context.events)
        // From here on `deinit` frees it.
        var settings = configuration.settings
        if configuration.seed == 0 { settings["seed"] = "0" }
        for (name, value) in settings.sorted(by: { $0.key < $1.key }) {
            try set(name, value)
        }
        transport.attach(input)
    }

    deinit {
        // Freeing waits for callbacks that run, so not here: this may be one of them, or hold a lock that one waits for.
        let (handle, context) = (handle, context)
        DispatchQueue.global().async {
            _ = BridgeFreeEngine(handle.engine)
            // No callback comes any more: what they were given goes.
            context.transport.detach()
            context.events.finish()
            context.dnsRecords.finish()
            Unmanaged.passUnretained(context).release()
        }
    }

    /// Starts the engine. Once it was stopped it can be started again.
    public func start() throws(EngineError) {
        try EngineError.check(BridgeEngineStart(handle.engine))
        context.events.say(.started)
    }

    /// Closes every flow and ends the engine's thread. When it returns, no callback runs and none comes. It waits on a thread of its own, so
    /// that a callback which needs the caller's can end.
    public func stop() async throws(EngineError) {
        let handle = handle
        let status: BridgeStatus = await withCheckedContinuation { stopped in
            DispatchQueue.global().async { stopped.resume(returning: BridgeEngineStop(handle.engine)) }
        }
        try EngineError.check(status)
        context.transport.detach()
        context.events.say(.stopped)
    }

    /// Lets a host-driven engine work at `now`, microseconds of a clock of the host's choice, above zero and never running back. Callbacks
    /// come from within the call. Answers when to call again unless something comes in before: not above `now` while work is left, `nil` if
    /// nothing is due.
    public func poll(now: UInt64) throws(EngineError) -> UInt64? {
        let next = BridgeEnginePoll(handle.engine, now)
        guard next != BRIDGE_NO_DEADLINE else { return nil }
        return UInt64(try EngineError.count(next))
    }

    /// Packets of the device, in order. Answers how many found room; the others are lost and counted, as on a network.
    @discardableResult
    public func handle(_ packets: some Sequence<some ContiguousBytes>) throws(EngineError) -> Int {
        var taken = 0
        var rest = packets.makeIterator()
        var row: [BridgePacket] = []
        row.reserveCapacity(Self.batch)
        while true {
            let before = taken
            row.removeAll(keepingCapacity: true)
            guard let more = lend(&rest, &row) else { return taken }
            taken = before + (try EngineError.count(more))
        }
    }

    /// As many packets as ``handle(_:)`` hands over in one call.
    private static let batch = 64

    /// Borrows packet after packet, each within the one before, and hands them all over when no more are to be had. `nil`: there were none.
    private func lend<Packets: IteratorProtocol>(_ rest: inout Packets, _ row: inout [BridgePacket]) -> Int64?
    where Packets.Element: ContiguousBytes {
        guard row.count < Self.batch, let packet = rest.next() else {
            return row.isEmpty ? nil : BridgeEngineHandlePackets(handle.engine, row, row.count)
        }
        return packet.withUnsafeBytes { bytes in
            // An empty packet has no address; any will do, since none of it is read.
            let start = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 1)!
            row.append(BridgePacket(bytes: start.assumingMemoryBound(to: UInt8.self), length: bytes.count))
            return lend(&rest, &row)
        }
    }

    /// Tells the engine that the network underneath has changed. ``NetworkTransport`` does so by itself.
    public func pathChanged(_ change: PathChange) throws(EngineError) { try input.pathChanged(change) }

    /// The device goes to sleep: ``events`` say so, and memory that can be had again is given back.
    public func sleep() {
        context.events.say(.sleeping)
        reduceMemory()
    }

    /// The device woke up. The engine looks at its clock, which has gone on meanwhile: what became due in the sleep is done now, and dials
    /// and flows that outlived their limits end.
    public func wake() {
        context.events.say(.woke)
        // Any input makes it look; an empty row of packets is none, but a query nobody asked is passed over.
        try? input.resolved(QueryID(rawValue: .max), .failed)
    }

    /// The system is short of memory: transport and sink give back what can be had again.
    public func reduceMemory() {
        context.transport.reduceMemory()
        context.packets.reduceMemory()
    }

    /// Changes a setting for the next start, as ``Configuration/set(_:_:)`` does for the first one.
    ///
    /// - Throws: ``EngineError/badArgument`` for a setting that does not exist or is out of its range; ``EngineError/alreadyStarted`` while
    ///   the engine runs. Nothing changes then.
    public func set(_ name: String, _ value: String) throws(EngineError) {
        try EngineError.check(BridgeEngineSet(handle.engine, name, value))
    }

    /// Records what crosses the tunnel to a file that Wireshark opens and `replay import` makes a test of; a `path` of `nil` ends it. Begun
    /// before the start it has every flow whole.
    ///
    /// - Parameters:
    ///   - limit: the most bytes, of two files together: `path`, and the older one with `.1` before the extension. Less than 512 KiB counts
    ///     as that; `nil` is no limit.
    ///   - snapLength: the most bytes of each packet; of what far sides sent then only the length is kept. `nil`: packets and payloads are
    ///     whole.
    /// - Throws: ``EngineError/io`` if no such file can be made; ``EngineError/badArgument`` for a limit or a length of zero or less.
    public func record(to path: String?, limit: Int? = 8 << 20, snapLength: Int? = nil) throws(EngineError) {
        var options = BridgeRecording()
        options.size = UInt32(MemoryLayout<BridgeRecording>.size)
        options.max_bytes = try Configuration.number(limit)
        options.snap_length = try Configuration.number(snapLength)
        try EngineError.check(BridgeEngineRecordWith(handle.engine, path, &options))
    }

    /// The counters a host shows, as of the engine's last turn.
    public var counters: EngineCounters {
        get throws(EngineError) {
            var counters = BridgeCounters()
            counters.size = UInt32(MemoryLayout<BridgeCounters>.size)
            try EngineError.check(BridgeEngineGetCounters(handle.engine, &counters))
            return EngineCounters(counters)
        }
    }

    /// Every counter of the engine and every number of its loop, by name; docs/COUNTERS.md says what they count.
    public var statistics: [String: UInt64] {
        get throws(EngineError) { Statistics.parse(try text(BridgeEngineGetStats)) }
    }

    /// Every counter in the text form of OpenMetrics 1.0.
    public var openMetrics: String {
        get throws(EngineError) { try text(BridgeEngineOpenMetrics) }
    }

    /// The open flows, in no order.
    public var flows: [DialRequest] { context.flows.withLock { Array($0.values) } }

    /// Host-driven: what the time that ``poll(now:)`` answered last is for. `true`: for nothing but the end of idle flows, so that a host may
    /// sleep through it.
    public var isResting: Bool {
        get throws(EngineError) {
            var deadline = BridgeDeadline()
            deadline.size = UInt32(MemoryLayout<BridgeDeadline>.size)
            try EngineError.check(BridgeEngineGetDeadline(handle.engine, &deadline))
            switch deadline.timer {
            case .nothing, .idle, .halfClosed, .finWait: return true
            default: return false
            }
        }
    }

    /// DNS answers that pass on their way to the device. Each reader has a stream of its own, which keeps the newest 256.
    public var dnsRecords: AsyncStream<DNSRecord> { context.dnsRecords.stream() }

    /// What happens, from now on. Each reader has a stream of its own.
    public var events: AsyncStream<EngineEvent> { context.events.stream() }

    private func text(
        _ call: (OpaquePointer, UnsafeMutablePointer<CChar>?, Int) -> Int64
    ) throws(EngineError) -> String {
        var room = 16 << 10
        while true {
            var buffer = [CChar](repeating: 0, count: room)
            let length = try EngineError.count(call(handle.engine, &buffer, room))
            if length < room {
                return String(decoding: buffer[..<length].map(UInt8.init(bitPattern:)), as: UTF8.self)
            }
            room = length + 1
        }
    }
}
