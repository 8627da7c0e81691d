#!/usr/bin/env bash
# Replays the captures of this repository through the Swift package, host-driven, and holds every packet that comes out against what the
# engine gives by way of the C ABI alone.
#
#   replay.sh REPLAY STACK-ENGINE FOLDER COMMAND...     COMMAND: what runs replay-stack-swift
#
# Both stand behind the lines of docs/STACK_PROTOCOL.md, and what is said is kept: the packets in and out of all runs, in order.
set -euo pipefail
replay=$1 engine=$2 folder=$3
shift 3
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
mkdir -p "$folder"

# Passes lines on, each kept in a file before it goes: whoever reads the last one ends the whole group, and this with it.
cat > "$folder/keep.pl" <<'PERL'
use IO::Handle;
open my $file, '>>', shift or die;
$file->autoflush; STDOUT->autoflush;
while (my $line = <STDIN>) { print $file $line; print $line; }
PERL

# A program that runs another and keeps both sides of the talk.
keep() {
    local name=$1
    shift
    {
        printf '#!/bin/sh\n'
        printf "perl '%s/keep.pl' '%s/%s.in' | %s | perl '%s/keep.pl' '%s/%s.out'\n" \
            "$folder" "$folder" "$name" "$*" "$folder" "$folder" "$name"
    } > "$folder/$name"
    chmod +x "$folder/$name"
    rm -f "$folder/$name.in" "$folder/$name.out"
}
keep swift "$(printf "'%s' " "$@")"
keep ffi "'$engine' ffi"

scenarios=(dns http ssh tcp tls udp)
for stack in swift ffi; do
    # One at a time, so that the order of the runs is the same.
    (cd "$repository/expectations" && "$replay" run "${scenarios[@]}" --stack "exec:$folder/$stack" --jobs 1) || {
        echo "the scenarios of captures do not all pass through $stack" >&2
        exit 1
    }
    grep '^frame' "$folder/$stack.in" > "$folder/$stack.in.frames"
    grep '^frame' "$folder/$stack.out" > "$folder/$stack.out.frames"
done
cmp "$folder/swift.in.frames" "$folder/ffi.in.frames"
cmp "$folder/swift.out.frames" "$folder/ffi.out.frames"
printf '%s packets in and %s packets out, the same through Swift as through the C ABI alone\n' \
    "$(wc -l < "$folder/swift.in.frames")" "$(wc -l < "$folder/swift.out.frames")"
