#!/usr/bin/env bash
# Trains frozen and unfrozen over several seeds and writes a report of all runs.
# usage: scripts/compare-frozen.sh WEIGHTS DATA [flags of yolofreeze compare]
#        scripts/compare-frozen.sh --smoke
# WEIGHTS is a file, or the name of an official checkpoint (yolov5s). Unless flags say
# otherwise: nothing, the backbone, all but the Detect layer frozen; seeds 0, 1, 2; the report
# and the runs in runs/compare. Started again, it goes on where it stopped.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [ "${1-}" = --smoke ]; then
	need_shared
	set -- "$shared/models/yolov5n-v7.0.pt" "$shared/data/voc20-devkit" --imgsz 64 --epochs 1 --batch-size 32 \
		--freeze 0 --freeze backbone --seeds 0,1 --output "$(mktemp -d)/compare"
fi
[ $# -ge 2 ] && [ "${1#-}" = "$1" ] || usage
make_ready
weights=$(weights_of "$1") data=$2
shift 2
given=" $* "
case "$given" in *" --freeze"* | *" --matrix"*) ;; *) set -- --freeze 0 --freeze backbone --freeze backbone,neck "$@" ;; esac
case "$given" in *" --seeds"* | *" --matrix"*) ;; *) set -- --seeds 0,1,2 "$@" ;; esac
say "training $weights on $data, frozen and unfrozen:"
run compare --weights "$weights" --data "$data" --dry-run "$@"
run compare --weights "$weights" --data "$data" "$@"
