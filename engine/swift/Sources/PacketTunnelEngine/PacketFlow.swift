#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// The device's end of the tunnel, in the words of `NEPacketTunnelFlow`.
public protocol TunnelPackets: AnyObject, Sendable {
    /// Waits for packets of the device, and hands over those that are there.
    func readPackets(_ completion: @escaping @Sendable ([Data]) -> Void)

    /// Packets for the device, and the address family of each. `false`: none was taken.
    func writePackets(_ packets: [Data], families: [Int32]) -> Bool
}

/// The way between the device's end of the tunnel and an engine: a loop that reads, and batches that are written, of a bounded size.
///
/// The device's end has no word for "not so fast": what it is handed it keeps, in this process's memory. What is here waits for it no
/// longer than a call, so that the bound is that of one batch; what it refuses stays in the engine, which is bounded too.
public final class PacketFlow: PacketSink {
    private let device: any TunnelPackets
    private let state = Lock(State())
    private let mostBytes: Int

    private struct State {
        weak var engine: Engine?
        var isReading = false
        var refused: UInt64 = 0
    }

    /// - Parameter mostBytes: of one batch; the engine offers the rest again.
    public init(_ device: any TunnelPackets, mostBytes: Int = 128 << 10) {
        self.device = device
        self.mostBytes = mostBytes
    }

    /// Begins to hand the device's packets to `engine`, until ``stop()`` or until the engine is gone. One read is under way at a time, so
    /// that the system keeps what comes meanwhile.
    public func start(_ engine: Engine) {
        let begin = state.withLock { state in
            state.engine = engine
            defer { state.isReading = true }
            return !state.isReading
        }
        if begin { read() }
    }

    /// Ends the loop after the read under way.
    public func stop() { state.withLock { $0.engine = nil } }

    /// Batches that the device's end did not take.
    public var refusedBatches: UInt64 { state.withLock { $0.refused } }

    private func read() {
        device.readPackets { [weak self] packets in
            guard let self else { return }
            let engine = state.withLock { state in
                if state.engine == nil { state.isReading = false }
                return state.engine
            }
            guard let engine else { return }
            // Before the start and after the stop they are lost, as on a cable that hangs loose; without room they are counted.
            _ = try? engine.handle(packets)
            read()
        }
    }

    public func write(_ packets: PacketBatch) -> Int {
        var (bytes, batch, families) = (0, [Data](), [Int32]())
        for packet in packets {
            // One packet goes in any case.
            guard batch.isEmpty || bytes + packet.count <= mostBytes else { break }
            bytes += packet.count
            batch.append(Data(packet))
            families.append(Self.family(packet))
        }
        guard device.writePackets(batch, families: families) else {
            state.withLock { $0.refused += 1 }
            return 0
        }
        return batch.count
    }

    /// The family of a packet as its first byte says (RFC 791, RFC 8200).
    static func family(_ packet: UnsafeRawBufferPointer) -> Int32 {
        (packet.first ?? 0) >> 4 == 6 ? AddressFamily.v6.number : AddressFamily.v4.number
    }
}
