// swift-tools-version: 6.0
// Package.swift of the binary package that .github/workflows/swift.yml makes: the sources beside the framework, without Rust.
import PackageDescription

let package = Package(
    name: "PacketTunnelEngine",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [
        .library(name: "PacketTunnelEngine", targets: ["PacketTunnelEngine"])
    ],
    targets: [
        .binaryTarget(name: "EngineBridge", path: "EngineBridge.xcframework"),
        .target(name: "PacketTunnelEngine", dependencies: ["EngineBridge"]),
    ],
    swiftLanguageModes: [.v6]
)
