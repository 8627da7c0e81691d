import Foundation
@testable import PacketTunnelEngine

/// A host that keeps what the engine says, and takes what a test lets it.
final class Host: Transport, PacketSink, @unchecked Sendable {
    let packets = Watched([Packet]())
    let dials = Watched([DialRequest]())
    let closes = Watched([(FlowID, CloseReason)]())
    let sent = Watched([UInt8]())
    let queries = Watched([(QueryID, String, AddressFamily)]())
    let calls = Watched(0)
    var takesPackets = true, takesDatagrams = true
    var onDial: (@Sendable (DialRequest, any EngineInput) -> Void)?
    private(set) var input: (any EngineInput)!
    private(set) var isDetached = false, memoryWarnings = 0
    /// Whether nobody refers to it any more.
    let isGone = Watched(false)

    deinit { isGone.change { $0 = true } }

    func attach(_ engine: any EngineInput) { input = engine }

    func dial(_ request: DialRequest) {
        calls.change { $0 += 1 }
        dials.change { $0.append(request) }
        onDial?(request, input)
    }

    func send(_ flow: FlowID, _ bytes: UnsafeRawBufferPointer) -> Int {
        sent.change { $0 += Array(bytes) }
        return bytes.count
    }

    func send(_ flow: FlowID, datagram: UnsafeRawBufferPointer, to: Endpoint) -> Bool {
        if takesDatagrams { sent.change { $0 += Array(datagram) } }
        return takesDatagrams
    }

    func halfClose(_ flow: FlowID) {}
    func resume(_ flow: FlowID, room: Int) {}

    func close(_ flow: FlowID, _ reason: CloseReason) {
        calls.change { $0 += 1 }
        closes.change { $0.append((flow, reason)) }
    }

    func resolve(_ query: QueryID, name: String, family: AddressFamily) { queries.change { $0.append((query, name, family)) } }

    func detach() { isDetached = true }
    func reduceMemory() { memoryWarnings += 1 }

    func write(_ batch: PacketBatch) -> Int {
        calls.change { $0 += 1 }
        guard takesPackets else { return 0 }
        packets.change { $0 += batch.compactMap { Packet($0) } }
        return batch.count
    }
}

let client = Endpoint("10.0.0.2:40000")!
let server = Endpoint("93.184.216.34:80")!

func hostDriven(_ change: (inout Configuration) -> Void = { _ in }) -> Configuration {
    var configuration = Configuration()
    configuration.isHostDriven = true
    configuration.seed = 7
    change(&configuration)
    return configuration
}

func syn(port: UInt16 = 40_000) -> [UInt8] {
    var packet = Packet(from: Endpoint(address: client.address, port: port), to: server)
    (packet.sequence, packet.flags) = (1_000, .syn)
    return packet.bytes
}

func datagram(_ payload: [UInt8], to: Endpoint) -> [UInt8] {
    var packet = Packet(.udp, from: client, to: to)
    packet.payload = payload
    return packet.bytes
}
