import EngineBridge

/// Settings of an engine. What is `nil` keeps the engine's default, or the preset's.
public struct Configuration: Sendable, Equatable {
    /// Settings to begin with.
    public enum Preset: Sendable {
        /// The engine's defaults.
        case standard
        /// A tunnel on a phone, which is to fit 15 MB: 256 TCP and 256 UDP flows, and 11 MiB for all of them.
        case phone
        /// Thousands of flows with small buffers: 2,048 of each kind, and 32 MiB for all of them.
        case manyFlows
        /// A desktop or a router, which is to fit 500 MB: 4,096 flows of each kind, buffers of up to 1 MiB each way.
        case desktop
    }

    public var preset: Preset = .standard
    /// Largest IP packet toward the device, bytes; 576 to 65,535.
    public var mtu: Int?
    /// Most TCP flows, and most UDP flows, at a time.
    public var tcpLimit: Int?
    public var udpLimit: Int?
    /// Bytes of the device's packets that may wait for the engine.
    public var packetPoolBytes: Int?
    /// Bytes of the buffers of one TCP flow, half for each direction, of a fixed size. `nil`: they open with use, up to the settings
    /// `rx_limit` and `tx_limit`.
    public var perFlowBytes: Int?
    /// A fixed seed makes runs repeatable, and numbers guessable: in tests only.
    public var seed: UInt64?
    /// Whether the host calls ``Engine/poll(now:)``, and no thread is made.
    public var isHostDriven = false
    /// Whether a change of the path closes every flow, so that apps reconnect at once.
    public var closesOnPathChange = false
    /// How long a dial may take, milliseconds.
    public var dialTimeoutMilliseconds: Int?
    /// Whether loopback and reserved addresses are ordinary ones.
    public var admitsMartians = false
    /// Whether the device's DNS queries are answered by ``Transport/resolve(_:name:family:)``.
    public var interceptsDNS = false
    /// How often the counters are written to the log, milliseconds.
    public var metricsIntervalMilliseconds: Int?
    /// Every other setting by its name, see ``set(_:_:)``.
    public var settings: [String: String] = [:]

    public init(preset: Preset = .standard) { self.preset = preset }

    /// Sets any setting of the engine by its name in snake case: `set("min_rto", "200000")`, `set("ack_delay", "none")`. Times are in
    /// microseconds, sizes in bytes, both in decimal; `true` or `false`; words with underscores; `none` for what may be absent. The fields of
    /// the engine's `Config` are those that there are, and `inbox_bytes`. What does not exist, or is out of its range, is refused when an engine is made.
    public mutating func set(_ name: String, _ value: String) { settings[name] = value }

    func bridged() throws(EngineError) -> BridgeConfig {
        var config = BridgeConfig()
        config.size = UInt32(MemoryLayout<BridgeConfig>.size)
        config.preset = switch preset {
        case .standard: .default
        case .phone: .phone
        case .manyFlows: .manyFlows
        case .desktop: .desktop
        }
        config.mtu = try Self.number(mtu)
        config.tcp_limit = try Self.number(tcpLimit)
        config.udp_limit = try Self.number(udpLimit)
        config.packet_pool_bytes = try Self.number(packetPoolBytes)
        config.per_flow_bytes = try Self.number(perFlowBytes)
        config.seed = seed ?? 0
        config.host_driven = isHostDriven ? 1 : 0
        config.close_on_path_change = closesOnPathChange ? 1 : 0
        config.dial_timeout_ms = try Self.number(dialTimeoutMilliseconds)
        config.admit_martians = admitsMartians ? 1 : 0
        config.dns_interception = interceptsDNS ? 1 : 0
        config.metrics_interval_ms = try Self.number(metricsIntervalMilliseconds)
        return config
    }

    /// Zero is the ABI's word for the default, so that a zero that was asked for is refused here.
    static func number<Number: FixedWidthInteger>(_ value: Int?) throws(EngineError) -> Number {
        guard let value else { return 0 }
        guard let number = Number(exactly: value), number > 0 else { throw .badArgument }
        return number
    }
}
