#!/usr/bin/env bash
# Makes the kit for a GPU machine that has no Go and no network: everything that check.sh
# needs, in numbered pieces small enough for one transfer each.
# usage: scripts/gpu/pack.sh [--shared FOLDER] [--output FOLDER] [--arch 90] [--piece MIB] [--cpu-only | --standin] [--unpacked]
#   --shared    recordings, models, pictures (YOLOFREEZE_SHARED, ../shared)
#   --output    pieces go there (runs/gpu-kit)
#   --arch      GPU code that is kept: 80 A100, 89 L4 and 4090, 90 H100 and H200, 120 Blackwell
#   --piece     largest size of a piece in MiB (54)
#   --cpu-only  leaves the CUDA provider out, to try the kit itself
#   --standin   the same with the CUDA provider over stand-ins for CUDA (see onnx/testkit/standin)
#   --unpacked  leaves the kit as a folder, to try it here
#   YOLOV5 names a checkout of ultralytics/yolov5 and PYTHON a Python with the package
#   ultralytics: PyTorch is timed then.
# Needs Go, a C compiler, python3 with pip, xz. About three minutes on two cores.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../common.sh"
output=$root/runs/gpu-kit arch=90 piece=54 cpu_only='' standin='' unpacked=''
while [ $# -gt 0 ]; do
	case "$1" in
	--shared) shared=${2:?a folder} && shift ;;
	--output) output=${2:?a folder} && shift ;;
	--arch) arch=${2:?a number} && shift ;;
	--piece) piece=${2:?a number} && shift ;;
	--cpu-only) cpu_only=1 ;;
	--standin) standin=1 ;;
	--unpacked) unpacked=1 ;;
	*) usage ;;
	esac
	shift
done
need_shared
shared=$(cd "$shared" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
kit=$work/kit
mkdir -p "$kit"/{bin,lib,shared/golden,shared/models,shared/data/mini,freeze/step,tools}

say "programs"
cd "$root"
go build -trimpath -ldflags '-s -w' -o "$kit/bin/yolofreeze" ./cmd/yolofreeze
go build -trimpath -ldflags '-s -w' -o "$kit/bin/step" ./scripts/bench/step
go test -c -trimpath -ldflags '-s -w' -o "$kit/bin/step.test" ./freeze/step
git describe --always --dirty >"$kit/commit"
cp -r freeze/step/testdata "$kit/freeze/step/"
cp scripts/bench/torch_step.py "$kit/tools/"
cp "$here/torch_steps.py" "$kit/tools/"

say "ONNX Runtime"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/yolofreeze
if [ -n "$cpu_only" ]; then
	cp "$("$root/scripts/setup.sh")" "$kit/lib/"
else
	"$root/scripts/setup.sh" --standin >/dev/null
	for provider in "$cache"/cuda-standin-* "$cache"/onnxruntime-gpu-*; do
		[ ! -e "$provider/libonnxruntime_providers_cuda.so" ] || break
	done
	[ -z "$standin" ] || "$root/onnx/testkit/standin/build.sh" "$provider" "$work/standin"
	cp "$provider"/libonnxruntime.so.* "$provider/libonnxruntime_providers_shared.so" "$kit/lib/"
	if [ -n "$standin" ]; then
		cp -L "$provider/libonnxruntime_providers_cuda.so" "$kit/lib/"
		mv "$work/standin/cuda" "$kit/lib/"
	else
		python3 "$here/fatbin.py" "$provider/libonnxruntime_providers_cuda.so" --keep "$arch" --output "$kit/lib/libonnxruntime_providers_cuda.so" >&2
	fi
fi

say "data"
cp -r "$shared/golden/steps" "$kit/shared/golden/"
cp "$shared/models/yolov5n-v7.0.pt" "$kit/shared/models/"
mkdir -p "$kit/shared/reference"
cp "$shared"/reference/*.tsv "$kit/shared/reference/"
for f in "$shared/models/yolov5s-v6.0.pt" "$shared/models/focus-spp-v5style-H2B-2class.pt" ${EXTRA_MODELS:-}; do # their numbers do not matter: a repeated pattern packs to nothing
	python3 "$here/pattern.py" "$f" "$kit/shared/models/$(basename "$f")"
done
for split in train2017 val2017; do
	mkdir -p "$kit/shared/data/mini/"{images,labels}/$split
	ls "$shared/data/coco256/images/$split" | head -n 16 | while read -r name; do
		cp "$shared/data/coco256/images/$split/$name" "$kit/shared/data/mini/images/$split/"
		cp "$shared/data/coco256/labels/$split/${name%.*}.txt" "$kit/shared/data/mini/labels/$split/" 2>/dev/null || true
	done
done
cp "$shared/data/coco256/data.yaml" "$kit/shared/data/mini/"
if [ -d "${YOLOV5:-}/models" ]; then
	mkdir -p "$kit/yolov5/data"
	cp -r "$YOLOV5"/{models,utils} "$kit/yolov5/"
	cp -r "$YOLOV5/data/hyps" "$kit/yolov5/data/"
	find "$kit/yolov5" -name __pycache__ -prune -exec rm -r {} +
	for name in ultralytics thop; do # packages that YOLOv5 imports and the machine lacks
		from=$("${PYTHON:-python3}" -c "import importlib.util as u; print(u.find_spec('$name').submodule_search_locations[0])" 2>/dev/null) || continue
		mkdir -p "$kit/site"
		(cd "$(dirname "$from")" && find "$name" \( -name '*.py' -o -name 'default.yaml' -o -name 'VERSION' \) -not -path '*/__pycache__/*' | tar cf - -T -) | tar xf - -C "$kit/site"
		cp -r "$(dirname "$from")/$name"-*.dist-info "$kit/site/" 2>/dev/null || true
	done
else
	say "YOLOV5 names no checkout: PyTorch will not be timed"
fi
cupti=$("${PYTHON:-python3}" -c "import importlib.util as u, glob; print(glob.glob(list(u.find_spec('nvidia').submodule_search_locations)[0] + '/cu13/include/cupti.h')[0])" 2>/dev/null) || cupti='' # of PyTorch for CUDA 13
if [ -n "$cupti" ] && [ -z "$cpu_only$standin" ]; then # where GPU time goes, by kernel
	include=$(dirname "$cupti")
	crt=${CUDA_CRT:-}
	if [ ! -e "$include/crt/host_defines.h" ] && [ -z "$crt" ]; then
		python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: -d "$work/crt" nvidia-cuda-crt==13.0.88 && python3 -m zipfile -e "$work"/crt/*.whl "$work/crt" && crt=$(dirname "$(dirname "$(find "$work/crt" -name host_defines.h | head -n 1)")")
	fi
	gcc -O2 -w -fPIC -shared -I"$include" ${crt:+-I"$crt"} -o "$kit/tools/cupti_trace.so" "$here/cupti_trace.c" -L"$include/../lib" -l:libcupti.so.13 -lpthread || say "no kernel tracer: it does not build"
fi

rm -rf "$output"
mkdir -p "$output"
if [ -n "$unpacked" ]; then
	mv "$kit" "$output/"
	touch "$output/kit/unpacked"
	cp "$here/check.sh" "$output/"
	exit
fi
say "packing"
tar -C "$work" -cf - kit | xz -9 -T2 >"$work/kit.tar.xz"
split -b "${piece}M" -d -a 1 "$work/kit.tar.xz" "$work/piece."
n=0
for f in "$work"/piece.?; do
	n=$((n + 1))
	mkdir -p "$output/$n"
	mv "$f" "$output/$n/"
done
cp "$here/check.sh" "$output/$n/"
sha256 "$work/kit.tar.xz" >"$output/$n/sum"
ls -l "$output"/*/ >&2
say "$n pieces in $output: on the GPU machine, check.sh --pieces FOLDER"
