/// The host's connections: what the engine asks of the world beyond the tunnel.
///
/// All calls but ``attach(_:)``, ``detach()`` and ``reduceMemory()`` come from one thread at a time, the engine's own or the one in
/// ``Engine/poll(now:)`` or ``Engine/stop()``. They must not block. Each may call its ``EngineInput`` right away, also under a lock that
/// other calls of this protocol take.
public protocol Transport: AnyObject, Sendable {
    /// Hands over the way back into the engine, before any other call.
    func attach(_ engine: any EngineInput)

    /// Connect, and answer with ``EngineInput/dialed(_:_:)``. Exactly one ``close(_:_:)`` follows, whatever the answer.
    func dial(_ request: DialRequest)

    /// The next bytes of the device's stream, lent for the call. Answers how many were taken, from the front; if not all, the flow gives
    /// no more until ``EngineInput/writable(_:)``, and then begins with those that were not taken.
    func send(_ flow: FlowID, _ bytes: UnsafeRawBufferPointer) -> Int

    /// One datagram of the device, lent for the call. `false`: it is lost and counted, and the flow gives no more until
    /// ``EngineInput/writable(_:)``.
    func send(_ flow: FlowID, datagram: UnsafeRawBufferPointer, to: Endpoint) -> Bool

    /// The device has sent its last byte; all before it were handed over: shut the write side down, go on reading.
    func halfClose(_ flow: FlowID)

    /// An ``EngineInput/received(_:_:)`` that was taken short may go on: `room` bytes would be taken now.
    func resume(_ flow: FlowID, room: Int)

    /// The flow has ended, and its number is dead. After ``CloseReason/How/fin`` what was taken is still to be sent; after anything else
    /// the far side should see a reset.
    func close(_ flow: FlowID, _ reason: CloseReason)

    /// With ``Configuration/interceptsDNS`` only: find out the addresses of `name`, and answer with ``EngineInput/resolved(_:_:)``.
    func resolve(_ query: QueryID, name: String, family: AddressFamily)

    /// The system is short of memory: give back what can be had again.
    func reduceMemory()

    /// The engine has stopped, and calls nothing any more: drop every connection that is left.
    func detach()
}

extension Transport {
    public func resolve(_ query: QueryID, name: String, family: AddressFamily) {}
    public func reduceMemory() {}
}

/// The way into the engine for a ``Transport``: from any thread, at any time, also from within its callbacks.
///
/// Since a transport hears of a close a moment after it happened, ``EngineError/staleFlow`` is an ordinary answer: drop what was meant
/// for the flow. After a stop it is ``EngineError/stopped``.
public protocol EngineInput: Sendable {
    /// What became of a dial. The first answer counts.
    func dialed(_ flow: FlowID, _ result: DialResult) throws(EngineError)

    /// The next bytes of the far side's stream. Answers how many were taken, from the front: keep the rest, stop reading, and go on after
    /// ``Transport/resume(_:room:)``.
    func received(_ flow: FlowID, _ bytes: UnsafeRawBufferPointer) throws(EngineError) -> Int

    /// One datagram of the far side. `from`: who sent it, `nil` for the destination that was dialed.
    func received(_ flow: FlowID, datagram: UnsafeRawBufferPointer, from: Endpoint?) throws(EngineError)

    /// The far side has ended.
    func ended(_ flow: FlowID, _ transport: FlowProtocol, _ end: RemoteEnd) throws(EngineError)

    /// No more bytes or datagrams of this flow until ``writable(_:)``. A short ``Transport/send(_:_:)`` says so by itself.
    func blocked(_ flow: FlowID) throws(EngineError)

    /// Bytes or datagrams of this flow are taken again.
    func writable(_ flow: FlowID) throws(EngineError)

    /// What was found out for ``Transport/resolve(_:name:family:)``.
    func resolved(_ query: QueryID, _ answer: Resolution) throws(EngineError)

    /// The network underneath has changed.
    func pathChanged(_ change: PathChange) throws(EngineError)

    /// Something that whoever watches ``Engine/events`` should see.
    func report(_ notice: TransportNotice)
}

/// What a transport has to say beside what it does.
public enum TransportNotice: Sendable, Equatable {
    /// A connection failed, or waits for the network, and why.
    case failed(FlowID, ConnectionFailure)
    case waiting(FlowID, ConnectionFailure)
    /// A connection can, or for now cannot, carry data.
    case viable(FlowID, Bool)
    /// There is a better way for a connection than the one it has.
    case betterPath(FlowID, Bool)
    /// The way out of the device changed. `nil`: there is none.
    case path(NetworkPath?)
}

/// Where packets for the device go.
public protocol PacketSink: Sendable {
    /// Packets for the device, lent for the call, 64 at most. Answers how many were taken, from the front; the others are offered again
    /// within 5 ms, and nothing else comes before them. On the engine's thread: it must not block.
    func write(_ packets: PacketBatch) -> Int

    /// The system is short of memory: give back what can be had again.
    func reduceMemory()
}

extension PacketSink {
    public func reduceMemory() {}
}
