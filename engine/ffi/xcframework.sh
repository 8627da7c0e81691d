#!/usr/bin/env bash
# Makes EngineBridge.xcframework, the engine as a binary for Swift packages and Xcode: on macOS, with Xcode and rustup.
#
#   engine/ffi/xcframework.sh [FOLDER]      default: engine/swift
#
# iOS and its simulator on Apple silicon, macOS on both kinds of machine. It has not run where this repository is tested, which is Linux:
# .github/workflows/swift.yml runs it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=${1:-engine/swift}
[[ $(uname -s) == Darwin ]] || { echo 'this takes macOS: xcodebuild and lipo make the framework' >&2; exit 2; }
target=${CARGO_TARGET_DIR:-target}
triples=(aarch64-apple-ios aarch64-apple-ios-sim aarch64-apple-darwin x86_64-apple-darwin)
rustup target add "${triples[@]}"
# The oldest systems that the Swift package is for.
export IPHONEOS_DEPLOYMENT_TARGET=15.0 MACOSX_DEPLOYMENT_TARGET=12.0
for triple in "${triples[@]}"; do
    cargo rustc --release -p engine-ffi --target "$triple" --crate-type staticlib
done

headers=$(mktemp -d)
trap 'rm -rf "$headers"' EXIT
cp engine/ffi/include/bridge.h "$headers/"
# The framework brings its library: nothing is to be linked by name.
printf 'module EngineBridge {\n    header "bridge.h"\n    export *\n}\n' > "$headers/module.modulemap"

mkdir -p "$target/macos-universal"
lipo -create "$target/aarch64-apple-darwin/release/libengine_ffi.a" "$target/x86_64-apple-darwin/release/libengine_ffi.a" \
    -output "$target/macos-universal/libengine_ffi.a"
rm -rf "$folder/EngineBridge.xcframework"
xcodebuild -create-xcframework \
    -library "$target/aarch64-apple-ios/release/libengine_ffi.a" -headers "$headers" \
    -library "$target/aarch64-apple-ios-sim/release/libengine_ffi.a" -headers "$headers" \
    -library "$target/macos-universal/libengine_ffi.a" -headers "$headers" \
    -output "$folder/EngineBridge.xcframework"
echo "made $folder/EngineBridge.xcframework"
