#!/usr/bin/env bash
# Has the libraries of label tools write photographs of COCO, as folders and zips, and holds
# what yolofreeze reads of them against COCO's own boxes: the same pictures and objects, to a
# hundredth of a pixel; where the format counts in whole pixels (VOC), to two, and to three for
# Label Studio's, which counts them from 0 and cuts off both places and sizes.
# usage: scripts/check-labels.sh [folder like coco256]
# The packages, pinned, go into an environment of their own in the user's cache folder.
# yolofreeze itself never needs Python.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
case "${1-}" in -*) usage ;; esac
data=${1:-$shared/data/coco256}
[ -d "$data/annotations" ] || { say "needs COCO's annotations in $data"; exit 2; }

python=$(printf '%s\n' datumaro==1.13.12 supervision==0.31.2 label-studio-converter==0.0.59 opencv-python-headless==4.14.0.94 pyyaml | python_with labels)
(cd "$root" && go build -o yolofreeze ./cmd/yolofreeze)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/made"
"$python" "$root/scripts/labels.py" make "$data" "$work/made" >"$work/log" 2>&1 || { tail "$work/log" >&2; exit 1; }

bad=0
for made in "$work"/made/*; do
	slack=0.01
	case $made in *label-studio-voc*) slack=3.01 ;; *voc*) slack=2.01 ;; esac
	rm -rf "$work/read"
	if ! XDG_CACHE_HOME=$work/cache "$yolofreeze" dataset convert "$made" --to yolo --link -o "$work/read" >"$work/log" 2>&1; then
		echo "$(basename "$made"): $(tail -n 1 "$work/log")"
		bad=1
	else
		"$python" "$root/scripts/labels.py" compare "$data" "$work/read" "$(basename "$made")" "$slack" || bad=1
	fi
done
exit $bad
