#!/usr/bin/env bash
# Teaches a model new classes and lets it keep its old ones (train --keep-classes), beside
# fine-tuning that forgets them and fine-tuning with a teacher (train --teacher), and prints a table of what each costs and finds.
# usage: scripts/keep-classes.sh [flags] [further flags of yolofreeze train]
#        scripts/keep-classes.sh --smoke
#   --weights WEIGHTS  a file, or the name of an official checkpoint (yolov5n)
#   --new DATA         the new classes; without it, animal, vehicle and furniture on the photographs of
#                      coco256, its objects relabelled
#   --old DATA         what the old classes are measured on (coco256)
#   --cuts "24 10"     how many first layers the branches share, a run for each
#   --epochs N         30
#   --imgsz N          320
#   --output FOLDER    data and runs go there (runs/keep-classes)
#   --python           also holds the exports against each other in Python: in ONNX Runtime, and in
#                      OpenCV's DNN module (installed, pinned, in the user's cache folder)
# Started again, it goes on where it stopped.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

weights=yolov5n new='' old=$shared/data/coco256/data.yaml cuts="24 10" epochs=30 imgsz=320 output=runs/keep-classes python='' pictures=16 most=100000 more=()
while [ $# -gt 0 ]; do
	case "$1" in
	--weights) weights=$2 && shift ;;
	--new) new=$2 && shift ;;
	--old) old=$2 && shift ;;
	--cuts) cuts=$2 && shift ;;
	--epochs) epochs=$2 && shift ;;
	--imgsz) imgsz=$2 && shift ;;
	--output) output=$2 && shift ;;
	--python) python=yes ;;
	--smoke)
		need_shared
		weights=$shared/models/yolov5n-v7.0.pt epochs=1 imgsz=64 cuts=24 pictures=2 most=12 output=$(mktemp -d)
		more+=(--noplots)
		;;
	-h | --help) usage ;;
	*) more+=("$1") ;;
	esac
	shift
done
make_ready
weights=$(weights_of "$weights")
mkdir -p "$output"

# relabelled DATA FOLDER: coco256 as three sets: old, new with three classes made of its objects, and joint with both.
relabelled() {
	local from split file set
	from=$(cd "$(dirname "$1")" && pwd)
	for split in train2017 val2017; do
		for set in old new joint; do mkdir -p "$2/$set/images/$split" "$2/$set/labels/$split"; done
		printf '%s\n' "$from/labels/$split"/*.txt | sed -n "1,${most}p" | while read -r file; do
			for set in old new joint; do ln -sf "$from/images/$split/$(basename "$file" .txt).jpg" "$2/$set/images/$split/"; done
			cp "$file" "$2/old/labels/$split/"
			awk '{ c = -1; if ($1 >= 14 && $1 <= 23) c = 0; else if ($1 >= 1 && $1 <= 8) c = 1; else if ($1 == 13 || $1 == 56 || $1 == 57 || $1 == 59 || $1 == 60) c = 2
				if (c >= 0) { $1 = c; print } }' "$file" >"$2/new/labels/$split/$(basename "$file")"
			{ cat "$file"; awk '{ $1 += 80; print }' "$2/new/labels/$split/$(basename "$file")"; } >"$2/joint/labels/$split/$(basename "$file")"
		done
	done
	printf 'train: images/train2017\nval: images/val2017\nnames: [animal, vehicle, furniture]\n' >"$2/new/data.yaml"
	for set in old joint; do
		{
			printf 'train: images/train2017\nval: images/val2017\n'
			sed -n '/^names:/,$p' "$1"
		} >"$2/$set/data.yaml"
	done
	printf '  80: animal\n  81: vehicle\n  82: furniture\n' >>"$2/joint/data.yaml"
}
joint=''
if [ -z "$new" ]; then
	[ -e "$output/data/joint/data.yaml" ] || relabelled "$old" "$output/data"
	old=$output/data/old/data.yaml new=$output/data/new/data.yaml joint=$output/data/joint/data.yaml
fi

# trained NAME FLAGS…: a run, once.
trained() {
	local exp=$output/$1
	if [ -e "$exp/summary.json" ]; then
		say "$exp is done"
	elif [ -e "$exp/weights/last.safetensors" ]; then
		run train --resume-from "$exp"
	else
		run train --weights "$weights" --data "$new" --epochs "$epochs" --imgsz "$imgsz" --project "$output" --name "$1" --exist-ok \
			"${@:2}" ${more[@]+"${more[@]}"}
	fi
}
methods=(plain frozen10 teacher)
for cut in $cuts; do
	trained "keep$cut" --freeze "$cut" --keep-classes
	methods+=("keep$cut")
done
trained frozen10 --freeze 10
trained plain
trained teacher --teacher "$weights"

# number KEY: of a line of JSON on standard input.
number() { sed -n "s/.*\"$1\":\([0-9.e+-]*\).*/\1/p" | head -n 1; }
# found WEIGHTS DATA: mAP50 and mAP.
found() {
	local line
	line=$("$yolofreeze" val --weights "$1" --data "$2" --imgsz "$imgsz" --json --quiet | sed 's/"per_class".*//')
	printf '%s %s' "$(number map50 <<<"$line")" "$(number map <<<"$line")"
}
export_at() { [ -e "$output/$1-640.onnx" ] || run export "$2" --imgsz 640 -o "$output/$1-640.onnx" >&2; }
export_at before "$weights"
for m in "${methods[@]}"; do export_at "$m" "$output/$m/weights/best.safetensors"; done

# What each takes for a picture of 640 pixels: the least of three rounds, by turns.
photographs=$(dirname "$old")/images/val2017
few() { printf '%s\n' "$photographs"/*.jpg | sed -n "1,${pictures}p"; }
declare -A least
if [ -d "$photographs" ]; then
	for _ in 1 2 3; do
		for m in before "${methods[@]}"; do
			ms=$(few | "$yolofreeze" detect --weights "$output/$m-640.onnx" --nosave - 2>&1 >/dev/null |
				sed -n 's/^Speed: \([0-9.]*\)ms.*/\1/p')
			least[$m]=$(printf '%s\n%s\n' "$ms" "${least[$m]-$ms}" | sort -n | head -n 1)
		done
	done
fi

before=$(found "$weights" "$old")
{
	printf '| | old mAP50 | old mAP50-95 | new mAP50 | new mAP50-95 | seconds of training | MB (.onnx) | ms a picture at 640 |\n|---|---|---|---|---|---|---|---|\n'
	row() { # NAME METHOD OLD NEW SECONDS
		printf '| %s | %s | %s | %s | %s | %s | %.1f | %s |\n' "$1" "${3% *}" "${3#* }" "${4% *}" "${4#* }" "$5" \
			"$(($(wc -c <"$output/$2-640.onnx") / 10000))e-2" "${least[$2]-}"
	}
	row "as it was" before "$before" "- -" -
	for m in "${methods[@]}"; do
		best=$output/$m/weights/best.safetensors after="0 0"
		case $m in keep* | teacher) after=$(found "$best" "$old") ;; esac
		row "$m" "$m" "$after" "$(found "$best" "$new")" "$(tr -d '\n' <"$output/$m/summary.json" | sed 's/: /:/g' | number seconds)"
		case $m in keep*)
			[ "$after" = "$before" ] || { say "$m: old mAP $after, $before before"; exit 1; }
			;;
		esac
	done
} | tee "$output/table.md"
for m in "${methods[@]}"; do
	case $m in keep*) ;; *) continue ;; esac
	[ -z "$joint" ] || say "$m, all classes at once: mAP50 and mAP50-95 $(found "$output/$m/weights/best.safetensors" "$joint")"
	# The same detections of old classes, from the exports as they are, to the last digit.
	for of in before "$m"; do
		few | "$yolofreeze" detect --weights "$output/$of-640.onnx" --nosave --conf-thres 0.01 --classes "$(seq -s, 0 79)" --json --quiet - >"$output/$of.found"
	done
	cmp "$output/before.found" "$output/$m.found" || { say "$m: other detections of old classes"; exit 1; }
done
say "detections of old classes are the same, and so is their mAP"
if [ -n "$python" ]; then
	interpreter=$(printf '%s\n' "${consumers[@]}" | python_with consumers-light)
	for cut in $cuts; do
		"$interpreter" "$root/scripts/keep_classes.py" "$output/before-640.onnx" "$output/keep$cut-640.onnx" "$photographs"
	done
fi
