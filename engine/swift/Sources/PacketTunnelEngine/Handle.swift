import EngineBridge

/// The engine's handle: a number in the shape of a pointer that nobody follows, so that an old one is answered and breaks nothing.
struct Handle: @unchecked Sendable {
    let engine: OpaquePointer
}

/// The way into one engine, over the ABI.
struct BridgeInput: EngineInput {
    let handle: Handle
    let events: Broadcast<EngineEvent>

    func dialed(_ flow: FlowID, _ result: DialResult) throws(EngineError) {
        try EngineError.check(BridgeEngineOnDialResult(handle.engine, flow.rawValue, result.bridged))
        events.say(.dialed(flow, result))
    }

    func received(_ flow: FlowID, _ bytes: UnsafeRawBufferPointer) throws(EngineError) -> Int {
        let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        return try EngineError.count(BridgeEngineOnTcpReceive(handle.engine, flow.rawValue, start, bytes.count))
    }

    func received(_ flow: FlowID, datagram: UnsafeRawBufferPointer, from: Endpoint?) throws(EngineError) {
        let start = datagram.baseAddress?.assumingMemoryBound(to: UInt8.self)
        let status: BridgeStatus
        if var sender = from?.bridged {
            status = BridgeEngineOnUdpReceive(handle.engine, flow.rawValue, &sender, start, datagram.count)
        } else {
            status = BridgeEngineOnUdpReceive(handle.engine, flow.rawValue, nil, start, datagram.count)
        }
        try EngineError.check(status)
    }

    func ended(_ flow: FlowID, _ transport: FlowProtocol, _ end: RemoteEnd) throws(EngineError) {
        let call = transport == .tcp ? BridgeEngineOnTcpClose : BridgeEngineOnUdpClose
        try EngineError.check(call(handle.engine, flow.rawValue, end.bridged))
    }

    func blocked(_ flow: FlowID) throws(EngineError) {
        try EngineError.check(BridgeEngineOnBlocked(handle.engine, flow.rawValue))
    }

    func writable(_ flow: FlowID) throws(EngineError) {
        try EngineError.check(BridgeEngineOnWritable(handle.engine, flow.rawValue))
    }

    func resolved(_ query: QueryID, _ answer: Resolution) throws(EngineError) {
        let (addresses, ttl, status): ([IPAddress], UInt32, BridgeStatus) = switch answer {
        case .addresses(let addresses, let ttl): (addresses, ttl, .ok)
        case .notFound: ([], 0, .notFound)
        case .failed: ([], 0, .timedOut)
        }
        let bridged = addresses.map { Endpoint(address: $0, port: 0).bridged }
        try EngineError.check(BridgeEngineOnResolved(handle.engine, query.rawValue, bridged, bridged.count, ttl, status))
    }

    func pathChanged(_ change: PathChange) throws(EngineError) {
        switch change {
        case .network:
            try EngineError.check(BridgeEngineOnPathChange(handle.engine))
        case .addressLost(let address):
            var bridged = Endpoint(address: address, port: 0).bridged
            try EngineError.check(BridgeEngineOnAddressLost(handle.engine, &bridged))
        }
        events.say(.pathChanged(change))
    }

    func report(_ notice: TransportNotice) { events.say(.transport(notice)) }
}
