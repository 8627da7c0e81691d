// The signatures of Apple's NetworkExtension framework that the package and its template use, for a type check only.
import Foundation

open class NEPacketTunnelFlow: NSObject {
    open func readPackets(completionHandler: @escaping @Sendable ([Data], [NSNumber]) -> Void) { fatalError() }
    @discardableResult open func writePackets(_ packets: [Data], withProtocols protocols: [NSNumber]) -> Bool { fatalError() }
}

public enum NEProviderStopReason: Int, Sendable { case none, userInitiated, providerFailed }

open class NETunnelNetworkSettings: NSObject {
    public init(tunnelRemoteAddress: String) { fatalError() }
    open var dnsSettings: NEDNSSettings? { get { fatalError() } set { fatalError() } }
}

open class NEPacketTunnelNetworkSettings: NETunnelNetworkSettings {
    open var ipv4Settings: NEIPv4Settings? { get { fatalError() } set { fatalError() } }
    open var ipv6Settings: NEIPv6Settings? { get { fatalError() } set { fatalError() } }
    open var mtu: NSNumber? { get { fatalError() } set { fatalError() } }
}

open class NEDNSSettings: NSObject {
    public init(servers: [String]) { fatalError() }
}

open class NEIPv4Settings: NSObject {
    public init(addresses: [String], subnetMasks: [String]) { fatalError() }
    open var includedRoutes: [NEIPv4Route]? { get { fatalError() } set { fatalError() } }
}

open class NEIPv4Route: NSObject {
    open class func `default`() -> NEIPv4Route { fatalError() }
}

open class NEIPv6Settings: NSObject {
    public init(addresses: [String], networkPrefixLengths: [NSNumber]) { fatalError() }
    open var includedRoutes: [NEIPv6Route]? { get { fatalError() } set { fatalError() } }
}

open class NEIPv6Route: NSObject {
    open class func `default`() -> NEIPv6Route { fatalError() }
}

open class NEProvider: NSObject {
    open func sleep(completionHandler: @escaping () -> Void) { fatalError() }
    open func wake() { fatalError() }
}

open class NETunnelProvider: NEProvider {
    open func setTunnelNetworkSettings(
        _ settings: NETunnelNetworkSettings?, completionHandler: (@Sendable ((any Error)?) -> Void)? = nil
    ) { fatalError() }
    open func handleAppMessage(_ messageData: Data, completionHandler: ((Data?) -> Void)? = nil) { fatalError() }
}

open class NEPacketTunnelProvider: NETunnelProvider {
    public override init() { fatalError() }
    open func startTunnel(
        options: [String: NSObject]? = nil, completionHandler: @escaping @Sendable ((any Error)?) -> Void
    ) { fatalError() }
    open func stopTunnel(with reason: NEProviderStopReason, completionHandler: @escaping @Sendable () -> Void) { fatalError() }
    open func cancelTunnelWithError(_ error: (any Error)?) { fatalError() }
    open var packetFlow: NEPacketTunnelFlow { fatalError() }
}
