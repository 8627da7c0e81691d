import Testing
@testable import PacketTunnelEngine

/// What counts as a change of path.
@Suite struct PathTests {
    private let wifi = NetworkPath.Interface(name: "en0", index: 4)
    private let cellular = NetworkPath.Interface(name: "pdp_ip0", index: 2)
    private let tunnel = NetworkPath.Interface(name: "utun4", index: 20)

    @Test func the_first_update_is_no_change_and_another_interface_is() {
        var tracker = PathTracker(tunnel: nil)
        #expect(tracker.update(NetworkPath(isSatisfied: true, interfaces: [wifi])) == nil)
        #expect(tracker.update(NetworkPath(isSatisfied: true, interfaces: [wifi, cellular])) == nil)
        let now = NetworkPath(isSatisfied: true, interfaces: [cellular])
        #expect(tracker.update(now) == .some(now))
    }

    @Test func another_network_of_the_same_interface_is_a_change() {
        var tracker = PathTracker(tunnel: nil)
        _ = tracker.update(NetworkPath(isSatisfied: true, interfaces: [wifi], gateways: ["192.168.1.1"]))
        let now = NetworkPath(isSatisfied: true, interfaces: [wifi], gateways: ["10.0.0.1"])
        #expect(tracker.update(now) == .some(now))
    }

    @Test func the_tunnel_s_own_interface_is_passed_over() {
        var tracker = PathTracker(tunnel: nil)
        _ = tracker.update(NetworkPath(isSatisfied: true, interfaces: [wifi]))
        #expect(tracker.update(NetworkPath(isSatisfied: true, interfaces: [tunnel, wifi])) == nil)
        var named = PathTracker(tunnel: "utun9")
        _ = named.update(NetworkPath(isSatisfied: true, interfaces: [wifi]))
        #expect(named.update(NetworkPath(isSatisfied: true, interfaces: [tunnel])) != nil)
    }

    @Test func no_way_out_is_a_change_and_so_is_its_return() {
        var tracker = PathTracker(tunnel: nil)
        let path = NetworkPath(isSatisfied: true, interfaces: [wifi])
        _ = tracker.update(path)
        #expect(tracker.update(NetworkPath(isSatisfied: false, interfaces: [])) == .some(nil))
        #expect(tracker.update(NetworkPath(isSatisfied: true, interfaces: [tunnel])) == nil)
        #expect(tracker.update(path) == .some(path))
    }
}
