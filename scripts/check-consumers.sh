#!/usr/bin/env bash
# Runs our exports in the programs that read YOLOv5's, and compares what they find on
# photographs with yolofreeze detect: same classes, boxes within 1 pixel, confidences
# within 0.01 (boxes within 0.01 of the least confidence may be missing; int8 in OpenCV is
# reported, not judged).
# usage: scripts/check-consumers.sh [--torch] [weights [folder of photographs [data set]]]
# Without arguments, yolov5n v7.0 on eight pictures of ../shared. The exports: fp32,
# dynamic, --half, --nms, --uint8, and int8 calibrated on the data set. The consumers: ONNX
# Runtime in Python and in Node (left out where there is no node), OpenCV's DNN module; with
# --torch also YOLOv5's own programs (package yolov5): detect.py, its Model with our state dict,
# and detect.py, val.py and train.py with our checkpoint, on the data set as dataset convert
# writes it; and the backend of package ultralytics. These need PyTorch, several GB.
# The packages, pinned, go into environments of their own in the user's cache folder.
# yolofreeze itself never needs Python.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages=("${consumers[@]}")
node_package=onnxruntime-node@1.30.0
kind=light
if [ "${1-}" = --torch ]; then
	kind=torch
	shift
	packages+=(torch==2.15.0 torchvision==0.29.2 ultralytics==8.4.190 matplotlib pandas seaborn scipy psutil
		pyyaml requests tqdm gitpython fire 'setuptools<81' 'huggingface-hub<0.25')
fi
case "${1-}" in -*) usage ;; esac
weights=${1:-$shared/models/yolov5n-v7.0.pt}
pictures=${2:-$shared/data/coco256/images/val2017}
data=${3:-$shared/data/coco256/data.yaml}
[ -e "$weights" ] && [ -d "$pictures" ] && [ -e "$data" ] || { say "needs $weights, $pictures and $data"; exit 2; }

python=$(printf '%s\n' "${packages[@]}" | python_with consumers-$kind)
# Package yolov5 asks for parts that detecting does not use, and for older Pythons.
[ $kind = light ] || "$python" -m pip show --quiet yolov5 2>/dev/null ||
	"$python" -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python yolov5==7.0.14 >&2
node=${XDG_CACHE_HOME:-$HOME/.cache}/yolofreeze/consumers-node
if command -v npm >/dev/null && [ "$(cat "$node/installed" 2>/dev/null)" != $node_package ]; then
	say "installing $node_package"
	mkdir -p "$node"
	(cd "$node" && npm install --silent --no-audit --no-fund --ignore-scripts $node_package >&2) # the scripts get CUDA
	echo $node_package >"$node/installed"
fi

make_ready
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export_as() { "$yolofreeze" export "$weights" --imgsz 640 -o "$work/$1.onnx" "${@:2}" >&2; }
export_as fp32
export_as dynamic --dynamic
export_as half --half
export_as nms --nms
export_as uint8 --uint8
export_as int8 --int8 --data "$data"
"$yolofreeze" export "$weights" -o "$work/state.state_dict.pt" -o "$work/checkpoint.pt" >&2
[ $kind = light ] || "$yolofreeze" dataset convert "$data" -o "$work/set" --to yolo >&2

# As PNG, so that no two decoders of JPEG differ.
"$python" - "$pictures" "$work/pictures" <<'PYTHON'
import pathlib, sys, cv2
out = pathlib.Path(sys.argv[2])
out.mkdir()
for path in sorted(p for p in pathlib.Path(sys.argv[1]).iterdir() if p.suffix in (".jpg", ".png"))[:8]:
    cv2.imwrite(str(out / (path.stem + ".png")), cv2.imread(str(path)))
PYTHON
for form in fp32 half nms uint8 int8; do # the dynamic form would be run on smaller pictures than others take
	"$yolofreeze" detect --weights "$work/$form.onnx" "$work/pictures" --nosave --save-json --project "$work" --name "ours-$form" >&2
done
cp -r "$work/ours-fp32" "$work/ours-dynamic"
cp -r "$work/ours-fp32" "$work/ours-state"
"$yolofreeze" detect --weights "$work/checkpoint.pt" "$work/pictures" --nosave --save-json --project "$work" --name ours-checkpoint >&2
[ $kind = light ] || "$yolofreeze" val --weights "$weights" --data "$data" --imgsz 320 --batch-size 8 --json >"$work/ours-val.json"

cat >"$work/run.js" <<'JS'
// node run.js model.onnx input.bin type dims output: runs a model on raw bytes, each output to a file of its own.
const fs = require("fs")
const ort = require(process.env.CONSUMER_NODE + "/node_modules/onnxruntime-node")
const [model, input, type, dims, output] = process.argv.slice(2)
const raw = fs.readFileSync(input)
const bytes = raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length)
const data = type == "uint8" ? new Uint8Array(bytes) : new Float32Array(bytes)
ort.InferenceSession.create(model).then(s => s.run({ images: new ort.Tensor(type, data, dims.split(",").map(Number)) })).then(out => {
  for (const [name, t] of Object.entries(out))
    fs.writeFileSync(`${output}.${name}`, Buffer.from(t.data.buffer, t.data.byteOffset, t.data.byteLength))
})
JS
export CONSUMER_NODE=$node YOLOv5_AUTOINSTALL=false YOLO_AUTOINSTALL=false YOLO_OFFLINE=true HF_HUB_OFFLINE=1
export YOLO_CONFIG_DIR=$work YOLOV5_CONFIG_DIR=$work
export TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 # this YOLOv5 is older than what PyTorch refuses since, its own files too
command -v node >/dev/null || say "no node here: left out"
"$python" "$root/scripts/consumers.py" "$work" $kind
