#!/usr/bin/env bash
# Makes docs/picture/ladder.png, the picture in README.md: the HTML report of the failure that README makes, as Chromium shows it.
#
#   docs/picture/make.sh REPLAY      REPLAY is the program; needs chromium
set -euo pipefail
replay=$(realpath "${1:?path to the replay binary}")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r "$here/../../captures" "$folder/"
mkdir -p "$folder/expectations/field"
cd "$folder"
scenario=expectations/field/answer.json
"$replay" import captures/tcp/device_half_closes.pcapng -o $scenario 2>/dev/null
# As README does it: the settings that were in the field.
sed -i 's/"input":/"engine": { "tcp_half_closed": "15ms" }, "input":/' $scenario
"$replay" run $scenario --html report >/dev/null && { echo 'it passes: there is no divergence to show' >&2; exit 1; }
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1000,960 --user-data-dir="$folder/profile" \
    --screenshot="$here/ladder.png" "file://$folder/report/index.html#s/field%2Fanswer" 2>/dev/null
ls -l "$here/ladder.png"
