// swift-tools-version: 6.0
// The packet-tunnel engine for Swift. docs/guides/swift.md goes from a fresh checkout to a running tunnel.
import PackageDescription

// The engine itself is a static library: the xcframework beside this file where xcframework.sh has made one, else what
// `cargo build --release -p engine-ffi` leaves in target/. ENGINE_LIBRARY names another file.
let library = Context.environment["ENGINE_LIBRARY"]
    ?? Context.packageDirectory + "/../../target/release/libengine_ffi.a"
let framework = Context.environment["ENGINE_XCFRAMEWORK"]

let bridge: Target = framework.map { .binaryTarget(name: "EngineBridge", path: $0) }
    ?? .systemLibrary(name: "EngineBridge")
let linking: [LinkerSetting] = framework == nil ? [.unsafeFlags(["-Xlinker", library])] : []

let package = Package(
    name: "PacketTunnelEngine",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [
        .library(name: "PacketTunnelEngine", targets: ["PacketTunnelEngine"])
    ],
    targets: [
        bridge,
        .target(name: "PacketTunnelEngine", dependencies: ["EngineBridge"], linkerSettings: linking),
        // Makes a TUN device and carries what comes out of it over sockets of the system. Linux.
        .executableTarget(name: "tunnel", dependencies: ["PacketTunnelEngine"], path: "Examples/tunnel"),
        // The engine by way of this package behind the lines of docs/STACK_PROTOCOL.md, so that `replay run` can hold it to its scenarios.
        .executableTarget(name: "replay-stack-swift", dependencies: ["PacketTunnelEngine"], path: "Examples/replay-stack"),
        .testTarget(name: "PacketTunnelEngineTests", dependencies: ["PacketTunnelEngine"]),
    ],
    swiftLanguageModes: [.v6]
)
