import Foundation
@testable import PacketTunnelEngine

/// IPv4 packets as a device writes and reads them.
struct Packet: Equatable {
    struct Flags: OptionSet {
        let rawValue: UInt8
        static let fin = Flags(rawValue: 1), syn = Flags(rawValue: 2), rst = Flags(rawValue: 4), push = Flags(rawValue: 8)
        static let ack = Flags(rawValue: 16)
    }

    var kind = FlowProtocol.tcp
    var from: Endpoint
    var to: Endpoint
    var sequence: UInt32 = 0
    var acknowledgement: UInt32 = 0
    var flags: Flags = []
    var window: UInt16 = 65_535
    var payload: [UInt8] = []

    /// The packet's bytes, checksums and all.
    var bytes: [UInt8] {
        var segment = big(from.port)
        segment += big(to.port)
        if kind == .tcp {
            segment += big(sequence)
            segment += big(acknowledgement)
            segment += [5 << 4, flags.rawValue]
            segment += big(window)
            segment += [0, 0, 0, 0] as [UInt8]
        } else {
            segment += big(UInt16(8 + payload.count))
            segment += [0, 0] as [UInt8]
        }
        segment += payload
        let number: UInt8 = kind == .tcp ? 6 : 17
        let addresses = from.address.bytes + to.address.bytes
        var summed = addresses
        summed += [0, number]
        summed += big(UInt16(segment.count))
        summed += segment
        segment.replaceSubrange(kind == .tcp ? 16..<18 : 6..<8, with: big(checksum(summed)))
        var header: [UInt8] = [0x45, 0]
        header += big(UInt16(20 + segment.count))
        header += [0, 0, 0x40, 0, 64, number, 0, 0] as [UInt8]
        header += addresses
        header.replaceSubrange(10..<12, with: big(checksum(header)))
        return header + segment
    }

    init(_ kind: FlowProtocol = .tcp, from: Endpoint, to: Endpoint) {
        self.kind = kind
        self.from = from
        self.to = to
    }

    /// Reads what the engine sent; `nil` for what is neither TCP nor UDP over IPv4.
    init?(_ bytes: UnsafeRawBufferPointer) {
        let bytes = Array(bytes)
        guard bytes.count >= 28, bytes[0] >> 4 == 4, bytes[9] == 6 || bytes[9] == 17 else { return nil }
        let segment = Array(bytes[(Int(bytes[0] & 15) * 4)...])
        kind = bytes[9] == 6 ? .tcp : .udp
        from = Endpoint(address: IPAddress(bytes: bytes[12..<16])!, port: UInt16(segment[0]) << 8 | UInt16(segment[1]))
        to = Endpoint(address: IPAddress(bytes: bytes[16..<20])!, port: UInt16(segment[2]) << 8 | UInt16(segment[3]))
        guard kind == .tcp else {
            payload = Array(segment[8...])
            return
        }
        sequence = segment[4..<8].reduce(0) { $0 << 8 | UInt32($1) }
        acknowledgement = segment[8..<12].reduce(0) { $0 << 8 | UInt32($1) }
        flags = Flags(rawValue: segment[13])
        window = UInt16(segment[14]) << 8 | UInt16(segment[15])
        payload = Array(segment[(Int(segment[12] >> 4) * 4)...])
    }

    private func checksum(_ bytes: [UInt8]) -> UInt16 {
        var sum: UInt32 = 0
        for at in stride(from: 0, to: bytes.count, by: 2) {
            sum += UInt32(bytes[at]) << 8 | UInt32(at + 1 < bytes.count ? bytes[at + 1] : 0)
        }
        while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
        return ~UInt16(sum)
    }
}

func big(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 255)] }
func big(_ number: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) } }

/// A question for the IPv4 addresses of a name (RFC 1035 section 4.1).
func dnsQuery(_ name: String) -> [UInt8] {
    let header: [UInt8] = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    return header + dnsQuestion(name)
}

/// A DNS answer with one address, as a resolver writes it.
func dnsAnswer(_ name: String, _ address: [UInt8], ttl: UInt32) -> [UInt8] {
    var message: [UInt8] = [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]
    message += dnsQuestion(name)
    message += [0xc0, 12, 0, 1, 0, 1] as [UInt8]
    message += big(ttl)
    message += [0, 4] as [UInt8]
    return message + address
}

private func dnsQuestion(_ name: String) -> [UInt8] {
    var question: [UInt8] = []
    for label in name.split(separator: ".") {
        question.append(UInt8(label.utf8.count))
        question += Array(label.utf8)
    }
    question += [0, 0, 1, 0, 1] as [UInt8]
    return question
}
