#!/usr/bin/env bash
# Fine-tunes YOLOv5 on PASCAL VOC with the backbone frozen.
# usage: scripts/voc-finetune.sh [flags] DEVKIT [further flags of yolofreeze train]
#        scripts/voc-finetune.sh --smoke
# DEVKIT is a VOCdevkit folder, of one year or several. Where it has a test set, training takes
# train and val of all years, and validation the test set, as YOLOv5 splits VOC 2007 + 2012.
#   --weights WEIGHTS  a file, or the name of an official checkpoint (yolov5m)
#   --freeze SELECTORS what is frozen (backbone)
#   --epochs N         70
#   --imgsz N          512
#   --device DEVICE    auto
#   --output FOLDER    data and run go there (runs/voc)
# Started again, it goes on where it stopped.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

weights=yolov5m freeze=backbone epochs=70 imgsz=512 output=runs/voc device=auto devkit='' more=()
while [ $# -gt 0 ]; do
	case "$1" in
	--weights) weights=$2 && shift ;;
	--freeze) freeze=$2 && shift ;;
	--epochs) epochs=$2 && shift ;;
	--imgsz) imgsz=$2 && shift ;;
	--device) device=$2 && shift ;;
	--output) output=$2 && shift ;;
	--smoke)
		need_shared
		devkit=$shared/data/voc20-devkit weights=$shared/models/yolov5n-v7.0.pt
		epochs=2 imgsz=96 output=$(mktemp -d)
		;;
	-h | --help) usage ;;
	*) if [ -z "$devkit" ]; then devkit=$1; else more+=("$1"); fi ;;
	esac
	shift
done
[ -n "$devkit" ] || usage
make_ready
weights=$(weights_of "$weights")
say "fine-tuning $weights on $devkit: $freeze frozen, $epochs epochs at $imgsz pixels, VOC's hyperparameters; all goes to $output"

data=$output/data
[ -d "$data" ] || run dataset convert "$devkit" --to yolo --link --output "$data"
if [ -d "$data/images/test" ]; then
	{
		echo "path: $(cd "$data" && pwd)"
		printf 'train: [images/train, images/val]\nval: images/test\n'
		sed -n '/^names:/,$p' "$data/data.yaml"
	} >"$data/voc.yaml"
else
	cp "$data/data.yaml" "$data/voc.yaml"
fi

exp=$output/exp
if [ -e "$exp/summary.json" ]; then
	say "$exp is done"
elif [ -e "$exp/weights/last.safetensors" ]; then
	run train --resume-from "$exp"
else
	run train --weights "$weights" --data "$data/voc.yaml" --freeze "$freeze" --hyp VOC --epochs "$epochs" --imgsz "$imgsz" \
		--device "$device" --project "$output" --name exp --exist-ok ${more[@]+"${more[@]}"}
fi
run val --weights "$exp/weights/best.safetensors" --data "$data/voc.yaml" --imgsz "$imgsz" --device "$device" --project "$output" --name val --exist-ok
say "the model for YOLOv5's own consumers: $exp/weights/best.onnx"
