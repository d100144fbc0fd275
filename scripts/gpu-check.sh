#!/usr/bin/env bash
# Everything to run the day a GPU is there, and one report of it: the device trains,
# recorded steps, placement, captured graphs, state, memory, step times beside PyTorch, VOC.
# usage: scripts/gpu-check.sh [flags]
#   --device DEVICE   cuda:0; as yolofreeze takes it
#   --weights "A B"   models for step times: files or official names (yolov5n yolov5s)
#   --voc DEVKIT      VOCdevkit folder to fine-tune on (the shared folder's 256 pictures)
#   --output FOLDER   parts, logs and report.md go there (runs/gpu-check/DEVICE)
#   --smoke           small sizes: shows that the check itself works, on any device
#   --force           parts that have passed are run again
# Started again, it runs what has not passed. Recordings and models come from the shared
# folder (YOLOFREEZE_SHARED). PyTorch is timed where PYTHON (python3) has torch and
# YOLOV5 names a clone of ultralytics/yolov5.
# Exit code: 0 all passed, 1 a part failed, 2 usage, 4 the device cannot start or train.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

device=cuda:0 models='' voc='' output='' smoke='' force=''
while [ $# -gt 0 ]; do
	case "$1" in
	--device) device=${2:?a device} && shift ;;
	--weights) models=${2:?models} && shift ;;
	--voc) voc=${2:?a folder} && shift ;;
	--output) output=${2:?a folder} && shift ;;
	--smoke) smoke=1 ;;
	--force) force=1 ;;
	*) usage ;;
	esac
	shift
done
need_shared
shared=$(cd "$shared" && pwd)
export YOLOFREEZE_SHARED=$shared
[ -n "${device##[0-9]*}" ] || device=cuda:$device # as YOLOv5 writes it
kind=${device%%:*}
: "${output:=$root/runs/gpu-check/${device//[^A-Za-z0-9.]/-}${smoke:+-smoke}}"
: "${voc:=$shared/data/voc20-devkit}"
if [ -z "$models" ]; then
	models=$shared/models/yolov5n-v7.0.pt
	[ -n "$smoke" ] || models+=" $shared/models/yolov5s-v6.0.pt"
fi
left_out=77 # a part's exit code when it does not apply here

case "$kind" in
cuda)
	[ -e /proc/driver/nvidia/version ] || ldconfig -p 2>/dev/null | grep -q 'libcuda.so.1' ||
		{ say "$device cannot start: no NVIDIA driver is loaded; install one (580.65 or newer), or give --device cpu --smoke to try the check itself"; exit 4; }
	make_ready --cuda
	;;
webgpu | openvino) make_ready "--$kind" ;;
*) make_ready ;;
esac
code=0
"$yolofreeze" doctor --device "$device" >/dev/null || code=$?
[ "$code" = 0 ] || exit "$code" # doctor has said why
mkdir -p "$output"
output=$(cd "$output" && pwd)

# tests PATTERN: runs tests on the device; prints outcomes and what they measured.
tests() {
	local outcome=0
	(cd "$root" && YOLOFREEZE_TEST_DEVICE=$device go test ./freeze/step ./freeze/export ./freeze/finetune -p 1 -count=1 -v -timeout 90m -run "$1") >"$output/tests.out" 2>&1 || outcome=$?
	cat "$output/tests.out" >&2
	echo '```'
	grep -E '^ *(--- |[a-z_]+_test\.go:[0-9]+:|ok|FAIL|panic)' "$output/tests.out" | grep -v SKIP | cut -c1-300
	echo '```'
	grep -q -- '--- PASS' "$output/tests.out" || outcome=1 # skipped is not shown
	rm -f "$output/tests.out"
	return "$outcome"
}

part_machine() {
	echo '```'
	"$yolofreeze" version
	"$yolofreeze" doctor --device "$device"
	if command -v nvidia-smi >/dev/null; then nvidia-smi; fi
	echo '```'
}

# Every recording; in small one frozen and one not.
part_recorded() {
	local which=''
	[ -z "$smoke" ] || which='/^(sgd|sgd_frozen10_bn_eval)$'
	tests "^TestRecordedStepsOnDevice\$$which"
}

part_amp() {
	[ "$kind" != webgpu ] || { echo "WebGPU has float16 only where its adapter does; a driver in software does not."; return "$left_out"; }
	local which='|^TestRecordedCurveAMP$'
	[ -z "$smoke" ] || which='/^(sgd|sgd_frozen10_bn_eval)$'
	tests "^TestRecordedSteps(AMP|BFloat16)\$$which"
}

part_placement() {
	echo "Strict: a node that falls back to the CPU provider without a listed reason is a failure."
	tests '^(TestPlacementOnDevice|TestRunOnDevice)$'
}

part_capture() {
	case "$kind" in
	cuda | webgpu) ;;
	*) echo "Only CUDA and WebGPU capture graphs."; return "$left_out" ;;
	esac
	echo "Captured graphs lead where graphs that run as they are do, whatever the first run does several times over."
	tests '^(TestCaptureOnDevice|TestCaptureRefused)$'
}

part_state() {
	echo "Parameters stay on the device; losses are those of the CPU provider within 1 %."
	tests '^(TestTryOnDevice|TestStateStaysOnDevice|TestDeviceStateIsKept)$'
}

# field NAME: a number of the JSON line on standard input, - where there is none.
field() { sed -n -e 's/.*"'"$1"'": *"\{0,1\}\([0-9.e+-]*\).*/\1/p' | grep . || echo -; }
scaled() { if [ "$1" = - ]; then echo -; else awk -v x="$1" -v by="$2" 'BEGIN { printf "%.2f", x / by }'; fi; }

batch=16 imgsz=640 steps=30
[ -z "$smoke" ] || { batch=2 imgsz=64 steps=3; }
precisions='fp32 amp'
case "$kind" in
cuda) precisions='fp32 tf32 amp bf16' ;;
webgpu) precisions=fp32 ;;
esac
ways=("as it is") # a step is run
case "$kind" in
cuda | webgpu) ways+=(captured) ;;
esac

# step MODEL FREEZE PRECISION WAY [flags]: times our step, one JSON line.
step() {
	local flags=()
	case "$kind $3" in
	"cuda fp32") flags=(-provider-option use_tf32=0) ;;
	"cuda tf32") flags=(-provider-option use_tf32=1) ;;
	*amp) flags=(-amp fp16) ;;
	*bf16) flags=(-amp bf16) ;;
	esac
	[ "$4" != captured ] || flags+=(-cuda-graph)
	(cd "$root" && go run ./scripts/bench/step -weights "$1" -batch "$batch" -imgsz "$imgsz" -steps "$steps" -device "$device" -freeze "$2" \
		${flags[@]+"${flags[@]}"} "${@:5}")
}

part_steps() {
	echo "One training step of $batch pictures of $imgsz pixels, median of $steps; device memory is the most its allocator had in use."
	printf '\n| model | frozen | precision | run | ms | device memory, MB | process, MB | bytes in a step | out |\n|---|---|---|---|---|---|---|---|---|\n'
	local model file freeze precision way line outcome=0
	: >"$output/steps.jsonl"
	for model in $models; do
		file=$(weights_of "$model")
		for freeze in 0 10; do
			for precision in $precisions; do
				for way in "${ways[@]}"; do
					line=$(step "$file" "$freeze" "$precision" "$way") || { # told, and the others are run
						echo "| $(basename "$file" .pt) | $freeze | $precision | $way | failed |"
						outcome=1
						continue
					}
					echo "$(basename "$file" .pt) $freeze $precision $way $line" >>"$output/steps.jsonl"
					echo "| $(basename "$file" .pt) | $freeze | $precision | $way | $(scaled "$(field median_s <<<"$line")" 0.001) | $(scaled "$(field MaxInUse <<<"$line")" 1e6) | $(field peak_rss_mb <<<"$line") | $(field bytes_in_per_step <<<"$line") | $(field bytes_out_per_step <<<"$line") |"
				done
			done
		done
	done
	return "$outcome"
}

part_torch() {
	local python=${PYTHON:-python3} model name freeze precision line way ours torch
	"$python" -c 'import torch' 2>/dev/null || { echo "Not compared: $python has no torch."; return "$left_out"; }
	[ -d "${YOLOV5:-}/models" ] || { echo "Not compared: YOLOV5 names no clone of ultralytics/yolov5."; return "$left_out"; }
	[ "$kind" = cuda ] || [ "$kind" = cpu ] || { echo "Not compared: PyTorch runs on CUDA and the CPU."; return "$left_out"; }
	printf '| model | frozen | precision | run | PyTorch, ms | ours, ms | share | PyTorch memory, MB |\n|---|---|---|---|---|---|---|---|\n'
	for model in $models; do
		name=$(basename "$(weights_of "$model")" .pt)
		for freeze in 0 10; do
			for precision in $precisions; do
				line=$("$python" "$root/scripts/bench/torch_step.py" --model "${name%%-*}" --batch "$batch" --imgsz "$imgsz" --steps "$steps" \
					--freeze "$freeze" --precision "$precision" --device "${kind/cuda/$device}")
				torch=$(field median_s <<<"$line")
				for way in "${ways[@]}"; do
					ours=$(grep "^$name $freeze $precision $way " "$output/steps.jsonl" | field median_s) || ours=-
					echo "| $name | $freeze | $precision | $way | $(scaled "$torch" 0.001) | $(scaled "$ours" 0.001) | $(scaled "$ours" "$torch") | $(field memory_mb <<<"$line") |"
				done
			done
		done
	done
}

# A limit that a batch does not fit into: the error names a batch size, which must then run.
part_memory() {
	[ "$kind" = cuda ] || { echo "Only CUDA takes a limit of memory."; return "$left_out"; }
	local limit=2147483648 weights=$shared/models/yolov5n-v7.0.pt outcome=0 fits
	"$yolofreeze" train --weights "$weights" --data "$shared/data/coco256/data.yaml" --imgsz 640 --batch-size 64 --epochs 1 --device "$device" \
		--provider-option "gpu_mem_limit=$limit" --project "$output" --name memory --exist-ok --noplots >/dev/null 2>"$output/memory.err" || outcome=$?
	cat "$output/memory.err" >&2
	printf '64 pictures of 640 pixels in %d bytes: exit code %d\n\n```\n%s\n```\n' "$limit" "$outcome" "$(grep '^yolofreeze: ' "$output/memory.err" | cut -c1-400)"
	[ "$outcome" != 0 ] || return 1
	fits=$(sed -n 's/^yolofreeze: out of memory .*: batch size \([0-9]*\) would fit.*/\1/p' "$output/memory.err")
	[ -n "$fits" ] || { echo "No batch size is named."; return 1; }
	batch=$fits imgsz=640 step "$weights" 0 fp32 "as it is" -provider-option "gpu_mem_limit=$limit,use_tf32=0" >&2 || { echo "Batch size $fits does not run."; return 1; }
	echo "Batch size $fits does run."
}

# What the report tells of a run's summary.json.
summary=(epochs seconds images_per_second data step optimizer validation map50 map)

# voc FOLDER FLAGS: fine-tunes with ten layers frozen and tells what came of it.
voc() {
	local folder=$output/$1 flags=(--epochs 30 --imgsz 640) line number
	[ -z "$smoke" ] || flags=(--epochs 1 --imgsz 64)
	"$root/scripts/voc-finetune.sh" --weights "$(weights_of "${models%% *}")" --device "$device" --freeze 10 "${flags[@]}" --output "$folder" \
		"$voc" --strict-placement "${@:2}" >"$folder.out"
	cat "$folder.out" >&2
	line=$(tr -d '\n' <"$folder/exp/summary.json")
	echo "| $(sed 's/ / | /g' <<<"${summary[*]}") |"
	echo "|${summary[*]/*/---|}" | tr -d ' '
	for number in "${summary[@]}"; do
		printf '| %.4g ' "$(field "$number" <<<"$line")"
	done
	printf '|\n\n```\n'
	grep -E '^(time:|between host|placement:|device memory:)' "$folder.out" || true
	echo '```'
}

part_voc() { voc voc; }

part_voc-amp() {
	[ "$kind" != webgpu ] || { echo "WebGPU has float16 only where its adapter does; a driver in software does not."; return "$left_out"; }
	voc voc-amp --amp fp16
}

part_voc-bf16() {
	[ "$kind" != webgpu ] || { echo "WebGPU has no bfloat16."; return "$left_out"; }
	voc voc-bf16 --amp bf16
}

# part NAME: runs a part, unless it has passed. Its section of the report is NAME.md; one
# that failed or was left out is kept under another name, and run again next time.
outcomes='' failed=0
part() {
	local section=$1 file=$output/$1 code start=$SECONDS outcome
	[ -z "$force" ] || rm -rf "$file.md" "$file" # and the folder of its run
	if [ -s "$file.md" ]; then
		say "$section has passed before"
	else
		say "$section"
		rm -f "$file".*.md
		set +e # in a condition, errexit would be off within the part
		(set -e; "part_$section") >"$file.part" 2>"$file.log"
		code=$?
		set -e
		case "$code" in
		0) outcome='' ;;
		"$left_out") outcome=left-out. ;;
		*) outcome=failed. failed=1 && say "$section has failed: $file.log" && tail -n 5 "$file.log" >&2 ;;
		esac
		{
			printf '\n## %s\n\n' "$section"
			cat "$file.part"
			printf '\n%s, %d s, commit %s\n' "$(date -u +'%F %H:%M UTC')" $((SECONDS - start)) "$commit"
		} >"$file.${outcome}md"
		rm -f "$file.part"
	fi
	case "$(echo "$file".*md)" in
	*failed.md) outcome=failed ;;
	*left-out.md) outcome='left out' ;;
	*) outcome=passed ;;
	esac
	outcomes+="| $section | $outcome |"$'\n'
}

commit=$(git -C "$root" describe --always --dirty 2>/dev/null || echo unknown)
parts=(machine recorded amp placement capture state steps torch memory voc voc-amp voc-bf16)
for section in "${parts[@]}"; do
	part "$section"
done
{
	printf '# yolofreeze on %s%s\n\n| part | outcome |\n|---|---|\n%s' "$device" "${smoke:+, in small: the numbers mean nothing}" "$outcomes"
	for section in "${parts[@]}"; do
		cat "$output/$section".*md
	done
} >"$output/report.md"
say "report: $output/report.md"
exit "$failed"
