import EngineBridge

/// Packets lent for the time of a call: they must not be kept beyond it.
public struct PacketBatch: RandomAccessCollection {
    private let packets: UnsafeBufferPointer<BridgePacket>

    init(_ packets: UnsafeBufferPointer<BridgePacket>) { self.packets = packets }

    public var startIndex: Int { packets.startIndex }
    public var endIndex: Int { packets.endIndex }

    /// The packet's bytes, beginning with its IP header.
    public subscript(position: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: packets[position].bytes, count: packets[position].length)
    }
}
