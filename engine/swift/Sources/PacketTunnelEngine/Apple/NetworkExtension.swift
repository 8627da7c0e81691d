#if canImport(NetworkExtension)
import Foundation
import NetworkExtension

/// The device's end of the tunnel as the system hands it to a packet tunnel provider.
public final class ProviderPackets: TunnelPackets, @unchecked Sendable {
    // Its methods may be called from any thread, as Apple's documentation has it; only the type does not say so.
    private let flow: NEPacketTunnelFlow

    public init(_ flow: NEPacketTunnelFlow) { self.flow = flow }

    public func readPackets(_ completion: @escaping @Sendable ([Data]) -> Void) {
        flow.readPackets { packets, _ in completion(packets) }
    }

    public func writePackets(_ packets: [Data], families: [Int32]) -> Bool {
        flow.writePackets(packets, withProtocols: families.map { NSNumber(value: $0) })
    }
}

extension PacketFlow {
    /// The adapter for a provider's `packetFlow`.
    public convenience init(_ flow: NEPacketTunnelFlow) { self.init(ProviderPackets(flow)) }
}
#endif
