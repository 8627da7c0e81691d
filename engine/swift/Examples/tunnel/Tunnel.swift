// A tunnel on Linux: makes a TUN device and carries what comes out of it over sockets of the system.
//
//     ip tuntap add dev tun0 mode tun && ip addr add 10.7.0.1/24 dev tun0 && ip link set tun0 up
//     tunnel tun0 [--leave-by eth0] [--record FILE.pcapng]
//
// `--leave-by` keeps the tunnel's own connections out of the tunnel. It ends with the end of its input.
import Foundation
import PacketTunnelEngine
#if canImport(Glibc)
import Glibc
#endif

@main
struct Tunnel {
    static func main() async throws {
        var arguments = CommandLine.arguments.dropFirst()
        guard let name = arguments.popFirst() else { throw Usage() }
        var options = SocketTransport.Options()
        var recording: String?
        while let option = arguments.popFirst() {
            switch option {
            case "--leave-by": options.interface = arguments.popFirst()
            case "--record": recording = arguments.popFirst()
            default: throw Usage()
            }
        }
        let device = try TUN(name)
        try EngineLog.send(upTo: .info) { level, line in
            FileHandle.standardError.write(Data("\(level): \(line)\n".utf8))
        }
        let packets = PacketFlow(device)
        var configuration = Configuration()
        configuration.mtu = 1500
        let engine = try Engine(configuration: configuration, transport: SocketTransport(options), packets: packets)
        if let recording { try engine.record(to: recording) }
        try engine.start()
        packets.start(engine)
        FileHandle.standardError.write(Data("the tunnel is up on \(name)\n".utf8))
        while readLine() != nil {}
        packets.stop()
        let counters = try engine.counters
        try await engine.stop()
        FileHandle.standardError.write(Data("\(counters.packetsIn) packets in, \(counters.packetsOut) out\n".utf8))
    }
}

struct Usage: Error, CustomStringConvertible {
    var description: String { "usage: tunnel DEVICE [--leave-by INTERFACE] [--record FILE.pcapng]" }
}

/// A TUN device, packets without a header of their own.
final class TUN: TunnelPackets {
    private let file: Int32
    private let queue = DispatchQueue(label: "tun")

    init(_ name: String) throws {
        #if os(Linux)
        file = open("/dev/net/tun", O_RDWR)
        guard file >= 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        // struct ifreq: a name of 16 bytes, then flags: IFF_TUN | IFF_NO_PI; TUNSETIFF.
        var request = [UInt8](repeating: 0, count: 40)
        request.replaceSubrange(0..<min(15, name.utf8.count), with: name.utf8.prefix(15))
        (request[16], request[17]) = (0x01, 0x10)
        guard ioctl(file, 0x4004_54ca, &request) == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        #else
        throw POSIXError(.ENOTSUP)
        #endif
    }

    func readPackets(_ completion: @escaping @Sendable ([Data]) -> Void) {
        queue.async { [file] in
            var buffer = Data(count: 65_535)
            let got = buffer.withUnsafeMutableBytes { read(file, $0.baseAddress, $0.count) }
            guard got > 0 else { return }
            buffer.removeSubrange(got...)
            completion([buffer])
        }
    }

    func writePackets(_ packets: [Data], families: [Int32]) -> Bool {
        for packet in packets {
            // What the device does not take is lost, as on a cable.
            _ = packet.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
        }
        return true
    }
}
