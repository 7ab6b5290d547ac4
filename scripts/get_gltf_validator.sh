#!/bin/sh
# Installs the Khronos glTF validator (npm, pinned by tests/validator/package-lock.json) under build/, once, and prints
# the folder it lies in. Safe to run from several processes at a time.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
lock="$root/tests/validator/package-lock.json"
target="$root/build/gltf-validator-$(cksum <"$lock" | cut -d' ' -f1)"
if [ ! -d "$target" ]; then
    mkdir -p "$root/build"
    part=$(mktemp -d "$root/build/.gltf-validator-XXXXXX")
    trap 'rm -rf "$part"' EXIT
    cp "$root/tests/validator/package.json" "$lock" "$part/"
    npm ci --prefix "$part" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    mv "$part" "$target" 2>/dev/null || [ -d "$target" ]
fi
echo "$target"
