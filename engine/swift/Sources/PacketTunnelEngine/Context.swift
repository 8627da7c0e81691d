import EngineBridge

/// What the callbacks of one engine work on. It is retained from the making of the engine until no callback can come any more.
final class Context: Sendable {
    let transport: any Transport
    let packets: any PacketSink
    let wake: (@Sendable () -> Void)?
    let events = Broadcast<EngineEvent>(keeping: 1024)
    let dnsRecords = Broadcast<DNSRecord>(keeping: 256)
    /// Flows from their dial to their close.
    let flows = Lock([FlowID: DialRequest]())

    init(transport: any Transport, packets: any PacketSink, wake: (@Sendable () -> Void)?) {
        self.transport = transport
        self.packets = packets
        self.wake = wake
    }

    private func dial(_ flow: UInt64, _ transport: FlowProtocol, _ client: BridgeAddress, _ server: BridgeAddress, _ name: UnsafePointer<CChar>?) {
        let request = DialRequest(
            flow: FlowID(rawValue: flow), transport: transport, client: Endpoint(client), server: Endpoint(server),
            name: name.map { String(cString: $0) })
        flows.withLock { $0[request.flow] = request }
        events.say(.dialing(request))
        self.transport.dial(request)
    }

    private func close(_ flow: UInt64, _ close: BridgeClose) {
        let (flow, reason) = (FlowID(rawValue: flow), CloseReason(close))
        let request = flows.withLock { $0.removeValue(forKey: flow) }
        transport.close(flow, reason)
        if let request { events.say(.closed(request, reason)) }
    }

    private static func of(_ context: UnsafeMutableRawPointer?) -> Context {
        // The header hands every callback what `callbacks()` put in.
        Unmanaged<Context>.fromOpaque(context!).takeUnretainedValue()
    }

    /// The callbacks, with this object as their context, retained once: to be released when the engine is freed.
    func callbacks() -> BridgeCallbacks {
        var callbacks = BridgeCallbacks()
        callbacks.size = UInt32(MemoryLayout<BridgeCallbacks>.size)
        callbacks.context = Unmanaged.passRetained(self).toOpaque()
        callbacks.emit_packets = { context, packets, count in
            Context.of(context).packets.write(PacketBatch(UnsafeBufferPointer(start: packets, count: count)))
        }
        callbacks.request_tcp_dial = { context, flow, client, server, name in
            Context.of(context).dial(flow, .tcp, client.pointee, server.pointee, name)
        }
        callbacks.request_udp_dial = { context, flow, client, server, name in
            Context.of(context).dial(flow, .udp, client.pointee, server.pointee, name)
        }
        callbacks.tcp_send = { context, flow, bytes, length in
            Context.of(context).transport.send(FlowID(rawValue: flow), UnsafeRawBufferPointer(start: bytes, count: length))
        }
        callbacks.udp_send = { context, flow, to, bytes, length in
            let datagram = UnsafeRawBufferPointer(start: bytes, count: length)
            let taken = Context.of(context).transport.send(FlowID(rawValue: flow), datagram: datagram, to: Endpoint(to.pointee))
            return taken ? 1 : 0
        }
        callbacks.tcp_close = { context, flow, close in Context.of(context).close(flow, close.pointee) }
        callbacks.udp_close = { context, flow, close in Context.of(context).close(flow, close.pointee) }
        callbacks.tcp_half_close = { context, flow in Context.of(context).transport.halfClose(FlowID(rawValue: flow)) }
        callbacks.tcp_resume = { context, flow, room in
            Context.of(context).transport.resume(FlowID(rawValue: flow), room: room)
        }
        callbacks.record_dns = { context, record in
            let addresses = UnsafeBufferPointer(start: record.pointee.addresses, count: record.pointee.count)
            let seen = DNSRecord(
                name: String(cString: record.pointee.name), addresses: addresses.map(IPAddress.init), ttl: record.pointee.ttl)
            Context.of(context).dnsRecords.say(seen)
        }
        callbacks.resolve = { context, query, name, family in
            Context.of(context).transport.resolve(
                QueryID(rawValue: query), name: String(cString: name), family: family == 4 ? .v4 : .v6)
        }
        callbacks.wake = { context in Context.of(context).wake?() }
        return callbacks
    }
}
