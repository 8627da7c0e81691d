/// The way out of the device, as far as flows care.
public struct NetworkPath: Sendable, Hashable {
    public struct Interface: Sendable, Hashable {
        public let name: String
        public let index: Int

        public init(name: String, index: Int) {
            self.name = name
            self.index = index
        }
    }

    /// Whether there is a way at all.
    public var isSatisfied: Bool
    /// The interfaces, the preferred one first.
    public var interfaces: [Interface]
    /// Gateways in text form, which differ between two networks of one interface.
    public var gateways: [String]

    public init(isSatisfied: Bool, interfaces: [Interface], gateways: [String] = []) {
        self.isSatisfied = isSatisfied
        self.interfaces = interfaces
        self.gateways = gateways
    }
}

/// Tells changes of the way out from what a path monitor says beside them.
///
/// The interface of the tunnel itself is none that anything leaves by: it comes and goes with the tunnel, and is passed over.
struct PathTracker {
    /// What the tunnel's own interface is called, if that is known; otherwise every `utun` is taken for it.
    var tunnel: String?
    private var last: NetworkPath??

    init(tunnel: String?) { self.tunnel = tunnel }

    /// Takes an update. `nil`: nothing that matters has changed; the first update is no change. Inside: the way there is now, if any.
    mutating func update(_ path: NetworkPath) -> NetworkPath?? {
        var seen = path
        seen.interfaces.removeAll { isTunnel($0) }
        let now: NetworkPath? = seen.isSatisfied && !seen.interfaces.isEmpty ? seen : nil
        defer { last = .some(now) }
        guard let last, last.map(Self.way) != now.map(Self.way) else { return nil }
        return .some(now)
    }

    func isTunnel(_ interface: NetworkPath.Interface) -> Bool {
        tunnel.map { $0 == interface.name } ?? interface.name.hasPrefix("utun")
    }

    /// Only the preferred interface and its gateways matter: another that comes beside it is no change.
    private static func way(_ path: NetworkPath) -> [String] {
        [path.interfaces[0].name, String(path.interfaces[0].index)] + path.gateways
    }
}
