#!/bin/sh
# Type-checks what is Apple's against stubs of the frameworks: typecheck.sh FOLDER, for what the compiler makes on the way.
#
# DispatchSource's memory pressure is not in Linux's Dispatch: the template's use of it has a stub as well.
set -eu
cd "$(dirname "$0")"
made=$1
mkdir -p "$made"
flags="-swift-version 6 -warnings-as-errors -parse-as-library -I $made -Xcc -fmodule-map-file=$PWD/Sources/EngineBridge/module.modulemap"
for module in Network NetworkExtension os; do
    # Frameworks are imported as if they were older than Swift 6's rules, as Apple's are.
    swiftc -emit-module -swift-version 5 -module-name $module Stubs/$module.swift -o "$made/$module.swiftmodule"
done
swiftc -emit-module $flags -module-name PacketTunnelEngine Sources/PacketTunnelEngine/*.swift Sources/PacketTunnelEngine/Apple/*.swift \
    -o "$made/PacketTunnelEngine.swiftmodule"
swiftc -typecheck $flags -module-name Provider Examples/PacketTunnelProvider.swift Stubs/MemoryPressure.swift
echo 'what is for Apple passes the type check'
