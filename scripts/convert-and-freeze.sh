#!/usr/bin/env bash
# COCO checkpoints to artifacts folders with frozen layers, ready for yolofreeze train.
# usage: scripts/convert-and-freeze.sh [flags] WEIGHTS…
#        scripts/convert-and-freeze.sh --smoke
# WEIGHTS are .pt files, or names of official ones (yolov5n, s, m, l, x; yolov5m-v6.0), which
# are fetched and whose SHA-256 is checked.
#   --freeze SELECTORS  what is frozen (backbone)
#   --data DATA         make the head for this data set's classes
#   --imgsz N           image side (640)
#   --batch-size N      pictures a batch (16)
#   --output FOLDER     where the artifacts folders go (artifacts)
# What is there already is not made again.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

freeze=backbone output=artifacts convert=() weights=()
while [ $# -gt 0 ]; do
	case "$1" in
	--freeze) freeze=$2 && shift ;;
	--output) output=$2 && shift ;;
	--data | --imgsz | --batch-size) convert+=("$1=$2") && shift ;;
	--smoke)
		need_shared
		weights=("$shared/models/yolov5n-v7.0.pt" "$shared/models/yolov5n-v6.0.pt")
		output=$(mktemp -d) convert=(--imgsz=64 --batch-size=2)
		;;
	-*) usage ;;
	*) weights+=("$1") ;;
	esac
	shift
done
[ ${#weights[@]} -gt 0 ] || usage
make_ready
say "converting ${weights[*]} and freezing $freeze; artifacts folders go to $output"
for given in "${weights[@]}"; do
	file=$(weights_of "$given")
	folder=$output/$(basename "${file%.*}")
	wanted="$(sha256 "$file") $freeze ${convert[*]-}"
	if [ "$(cat "$folder.done" 2>/dev/null)" = "$wanted" ]; then
		say "$folder is there already"
		continue
	fi
	mkdir -p "$output"
	run convert "$file" --output "$folder" --exist-ok ${convert[@]+"${convert[@]}"}
	run freeze "$folder" --freeze "$freeze"
	echo "$wanted" >"$folder.done"
done
say "next: yolofreeze train --weights $folder --data DATA"
