#!/bin/sh
# Installs two public splat viewers and playwright-core (npm, pinned by tests/viewer/package-lock.json) under build/, once,
# and prints the folder they lie in. Chromium is not installed: tests/viewer/show.mjs uses /usr/bin/chromium or $CHROMIUM.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
lock="$root/tests/viewer/package-lock.json"
target="$root/build/splat-viewers-$(cksum <"$lock" | cut -d' ' -f1)"
if [ ! -d "$target" ]; then
    mkdir -p "$root/build"
    part=$(mktemp -d "$root/build/.splat-viewers-XXXXXX")
    trap 'rm -rf "$part"' EXIT
    cp "$root/tests/viewer/package.json" "$lock" "$part/"
    npm ci --prefix "$part" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    mv "$part" "$target" 2>/dev/null || [ -d "$target" ]
fi
echo "$target"
