import Dispatch
#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// A transport over ``ConnectionLike`` connections, one for each flow: the way between an engine's calls and what a connection of the system
/// says and asks for.
///
/// * Every byte that a connection receives goes through the engine, and none is asked for while the engine has no room for the last ones.
/// * A connection's state decides what the device sees: a dial's result, a FIN, a reset. What arrived before the end goes first.
/// * What the engine handed over is bounded, and still sent after an end in order.
/// * What a connection reports after its flow has ended is ignored.
public final class ConnectionTransport: Transport {
    /// Bounds of each flow.
    public struct Limits: Sendable {
        /// Bytes of the device that may wait for the connection.
        public var sendBytes = 64 << 10
        /// Bytes that one read may bring; they wait here while the engine has no room.
        public var receiveBytes = 16 << 10
        /// How long a connection whose flow has ended in order may take to send what is left, milliseconds.
        public var lingerMilliseconds = 10_000

        public init() {}
    }

    /// Makes the connection for a dial; `nil`: it is denied.
    public typealias Connect = @Sendable (DialRequest) -> (any ConnectionLike)?

    private let queue: DispatchQueue
    private let lookups = DispatchQueue(label: "resolve", attributes: .concurrent)
    private let limits: Limits
    private let connect: Connect
    private let state = Lock(State())

    private struct State {
        var engine: (any EngineInput)?
        var last: ConnectionID = 0
        var connections: [ConnectionID: Carried] = [:]
        /// Flows that have not ended, as far as the engine has said.
        var flows: [FlowID: ConnectionID] = [:]
    }

    /// - Parameter queue: where connections say what happens to them. It must be serial.
    public init(queue: DispatchQueue = DispatchQueue(label: "connections"), limits: Limits = Limits(), connect: @escaping Connect) {
        self.queue = queue
        self.limits = limits
        self.connect = connect
    }

    /// Connections that are not over, those that only send what is left among them.
    public var connectionCount: Int { state.withLock { $0.connections.count } }

    /// Tells the engine that the way out has changed, and whoever watches it.
    public func pathChanged(_ path: NetworkPath?) {
        guard let engine = state.withLock({ $0.engine }) else { return }
        engine.report(.path(path))
        // Before the start and after the stop there is nothing to tell.
        try? engine.pathChanged(.network)
    }

    // MARK: What the engine asks for

    public func attach(_ engine: any EngineInput) { state.withLock { $0.engine = engine } }

    public func dial(_ request: DialRequest) {
        let connection = connect(request)
        state.withLock { state in
            guard let engine = state.engine else { return }
            guard let connection else {
                try? engine.dialed(request.flow, .denied)
                return
            }
            state.last += 1
            let id = state.last
            state.connections[id] = Carried(id, request, connection, engine, limits, hear: self)
            state.flows[request.flow] = id
            connection.start(on: queue) { [weak self] update in self?.hear(id) { $0.updated(update) } }
        }
    }

    public func send(_ flow: FlowID, _ bytes: UnsafeRawBufferPointer) -> Int {
        of(flow) { $0.send(bytes) } ?? bytes.count
    }

    public func send(_ flow: FlowID, datagram: UnsafeRawBufferPointer, to: Endpoint) -> Bool {
        of(flow) { $0.send(datagram: datagram, to: to) } ?? true
    }

    public func halfClose(_ flow: FlowID) { of(flow) { $0.halfClose() } }

    public func resume(_ flow: FlowID, room: Int) { of(flow) { $0.resume() } }

    public func close(_ flow: FlowID, _ reason: CloseReason) {
        state.withLock { state in
            guard let id = state.flows.removeValue(forKey: flow), let carried = state.connections[id] else { return }
            carried.close(reason)
            if carried.isOver {
                state.connections[id] = nil
                return
            }
            queue.asyncAfter(deadline: .now() + .milliseconds(limits.lingerMilliseconds)) { [weak self] in
                self?.hear(id) { $0.abort() }
            }
        }
    }

    public func resolve(_ query: QueryID, name: String, family: AddressFamily) {
        guard let engine = state.withLock({ $0.engine }) else { return }
        lookups.async { try? engine.resolved(query, systemResolve(name, family)) }
    }

    /// Lets go of UDP flows that only wait: apps ask again. TCP flows keep what they have.
    public func reduceMemory() {
        state.withLock { state in
            for carried in state.connections.values { carried.reduceMemory() }
        }
    }

    public func detach() {
        let left = state.withLock { state in
            defer { state.connections = [:]; state.flows = [:] }
            return Array(state.connections.values)
        }
        for carried in left { carried.abort() }
    }

    private func of<Result>(_ flow: FlowID, _ act: (Carried) -> Result) -> Result? {
        state.withLock { state in
            guard let carried = state.flows[flow].flatMap({ state.connections[$0] }) else { return nil }
            defer { if carried.isOver { state.connections[carried.id] = nil } }
            return act(carried)
        }
    }

    /// Something a connection says. One that is over is not there any more, whatever number its flow had.
    func hear(_ id: ConnectionID, _ act: (Carried) -> Void) {
        state.withLock { state in
            guard let carried = state.connections[id] else { return }
            act(carried)
            if carried.isOver { state.connections[id] = nil }
        }
    }
}

/// A connection's own number: flows' numbers come back, these do not.
typealias ConnectionID = UInt64
