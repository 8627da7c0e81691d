// A packet tunnel provider on the engine: copy it into the network extension of your app, and put your own settings in.
//
// The device's packets go into the engine; the engine's connections are NWConnections of this process, whose traffic the system keeps out
// of the tunnel. docs/guides/swift.md says what to log and how to record.
import Dispatch
import Foundation
import NetworkExtension
import PacketTunnelEngine
import os

final class PacketTunnelProvider: NEPacketTunnelProvider, @unchecked Sendable {
    private let logger = Logger(subsystem: "com.example.tunnel", category: "engine")
    private let mtu = 4064
    // Set by `startTunnel`, which the system calls once before all others.
    private var engine: Engine?
    private var packets: PacketFlow?
    private var memoryWarnings: (any DispatchSourceMemoryPressure)?
    private var watch: Task<Void, Never>?

    override func startTunnel(
        options: [String: NSObject]? = nil, completionHandler: @escaping @Sendable ((any Error)?) -> Void
    ) {
        do {
            try EngineLog.send(upTo: .info, to: logger)
            var configuration = Configuration(preset: .phone)
            configuration.mtu = mtu
            // Apps reconnect at once when Wi-Fi goes, instead of waiting for their own timeouts.
            configuration.closesOnPathChange = true
            configuration.metricsIntervalMilliseconds = 60_000
            let packets = PacketFlow(packetFlow)
            let engine = try Engine(configuration: configuration, transport: NetworkTransport(), packets: packets)
            if let path = recording() { try engine.record(to: path, limit: 4 << 20) }
            self.packets = packets
            self.engine = engine
        } catch {
            completionHandler(error)
            return
        }
        setTunnelNetworkSettings(settings()) { [weak self] error in
            guard let self, let engine, let packets, error == nil else { return completionHandler(error) }
            do {
                try engine.start()
                packets.start(engine)
                observe(engine)
                completionHandler(nil)
            } catch {
                completionHandler(error)
            }
        }
    }

    override func stopTunnel(with reason: NEProviderStopReason, completionHandler: @escaping @Sendable () -> Void) {
        packets?.stop()
        watch?.cancel()
        memoryWarnings?.cancel()
        guard let engine else { return completionHandler() }
        self.engine = nil
        Task {
            // Every app sees its connections closed before the tunnel goes.
            try? await engine.stop()
            completionHandler()
        }
    }

    override func sleep(completionHandler: @escaping () -> Void) {
        engine?.sleep()
        completionHandler()
    }

    override func wake() { engine?.wake() }

    /// The app asks for numbers: "metrics" is answered with OpenMetrics, "record" and "stop recording" begin and end one.
    override func handleAppMessage(_ messageData: Data, completionHandler: ((Data?) -> Void)? = nil) {
        let answer: String?
        switch String(decoding: messageData, as: UTF8.self) {
        case "metrics": answer = try? engine?.openMetrics
        case "record":
            UserDefaults.standard.set(true, forKey: "record")
            answer = recording()
            try? engine?.record(to: answer, limit: 4 << 20)
        case "stop recording":
            UserDefaults.standard.set(false, forKey: "record")
            try? engine?.record(to: nil)
            answer = ""
        default: answer = nil
        }
        completionHandler?(answer.map { Data($0.utf8) })
    }

    private func settings() -> NEPacketTunnelNetworkSettings {
        let settings = NEPacketTunnelNetworkSettings(tunnelRemoteAddress: "192.0.2.1")
        settings.mtu = NSNumber(value: mtu)
        let v4 = NEIPv4Settings(addresses: ["198.18.0.1"], subnetMasks: ["255.255.255.255"])
        v4.includedRoutes = [.default()]
        settings.ipv4Settings = v4
        let v6 = NEIPv6Settings(addresses: ["fd00::1"], networkPrefixLengths: [128])
        v6.includedRoutes = [.default()]
        settings.ipv6Settings = v6
        settings.dnsSettings = NEDNSSettings(servers: ["9.9.9.9"])
        return settings
    }

    /// Where to record to, if the app has asked for it. A path in the app group's container lets the app fetch the file.
    private func recording() -> String? {
        guard UserDefaults.standard.bool(forKey: "record") else { return nil }
        return NSTemporaryDirectory() + "tunnel.pcapng"
    }

    private func observe(_ engine: Engine) {
        let pressure = DispatchSource.makeMemoryPressureSource(eventMask: [.warning, .critical], queue: .global())
        pressure.setEventHandler { [weak engine] in engine?.reduceMemory() }
        pressure.activate()
        memoryWarnings = pressure
        let (events, logger) = (engine.events, logger)
        watch = Task {
            for await event in events {
                switch event {
                case .transport(.failed(_, let failure)): logger.debug("connection failed: \("\(failure)", privacy: .public)")
                case .transport(.path(let path)): logger.notice("path: \("\(path?.interfaces.first?.name ?? "none")", privacy: .public)")
                default: break
                }
            }
        }
    }
}
