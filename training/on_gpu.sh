#!/bin/sh
# One queued run on a machine that has nothing but this repository and out/corpus.tar (`liftform train pack`):
# unpack, render, train, slim. Every part goes on where it was cut, so start it again with the same words.
#
#   sh training/on_gpu.sh object|mask|depth MINUTES RESULTS [--set KEY=VALUE ...]
#
# It trains for at most MINUTES (then stops as by Ctrl-C, with a whole checkpoint under out/) and puts what is worth
# taking home into RESULTS: slim.pt (averaged weights in half precision, under 8 MiB), log.csv, curve.png.
set -eu
network=$1 minutes=$2 results=$3
shift 3
mkdir -p "$results"
liftform train unpack out/corpus.tar out/corpus
corpus=out/corpus/manifest.jsonl
case $network in
object)
    recipe=training/object_gpu.toml
    set -- --set "manifest=$corpus" "$@"
    liftform train data object --recipe $recipe "$@"
    ;;
mask)
    recipe=training/mask.toml
    set -- --set "data.manifest=$corpus" --set "data.workers=$(nproc)" --set loop.device=cuda "$@"
    liftform train data mask --recipe $recipe "$@"
    ;;
depth)
    recipe=training/depth.toml
    liftform train data rooms --recipe training/rooms.toml --set "rooms.manifest=$corpus" --workers "$(nproc)"
    set -- --set loop.device=cuda "$@"
    ;;
*)
    echo "object, mask or depth, not $network" >&2
    exit 2
    ;;
esac
status=0
timeout -s INT "${minutes}m" liftform train "$network" --recipe $recipe "$@" || status=$?
folder=$(sed -n 's/^checkpoint = "\(.*\)\/last.pt"/\1/p' $recipe)
liftform train slim "$folder/last.pt" "$results/slim.pt"
cp "$folder/log.csv" "$folder/curve.png" "$results/"
[ $status -eq 0 ] || [ $status -eq 124 ] || [ $status -eq 130 ] || exit $status
