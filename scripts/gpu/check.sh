#!/usr/bin/env bash
# Runs yolofreeze's GPU checks on a machine with nothing installed but a driver, Python with
# PyTorch (for its CUDA libraries and as the one to compare with) and coreutils. No Go, no
# network: scripts/gpu/pack.sh has put in the pieces what is needed.
# usage: check.sh [--pieces FOLDER] [--device cuda:0] [--output FOLDER] [--minutes 6] [--only "PART…"]
# Pieces lie in FOLDER (this script's) or its numbered folders. The report grows in
# OUTPUT/report.md part by part, the most telling first; what does not fit into the minutes is
# named as left out. Parts: machine doctor recorded placement steps torch kernels capture
# state train amp recorded-rest options steps-rest. With --device cpu sizes are small.
# Exit code: 0 all that ran passed, 1 a part failed, 2 usage.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pieces=$here device=cuda:0 output='' minutes=6 only=''
while [ $# -gt 0 ]; do
	case "$1" in
	--pieces) pieces=$2 && shift ;;
	--device) device=$2 && shift ;;
	--output) output=$2 && shift ;;
	--minutes) minutes=$2 && shift ;;
	--only) only=$2 && shift ;;
	*)
		sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2
		exit 2
		;;
	esac
	shift
done
: "${output:=${OUT:-$pieces/report}}"
mkdir -p "$output"
output=$(cd "$output" && pwd)
report=$output/report.md logs=$output/log.txt
: >"$logs"
deadline=$((SECONDS + minutes * 60)) failed=0
left() { echo $((deadline - SECONDS)); }
kind=${device%%:*}

root=$pieces/kit
if [ ! -e "$root/unpacked" ]; then
	set -- "$pieces"/piece.? "$pieces"/[0-9]/piece.?
	files=()
	for f; do [ ! -e "$f" ] || files+=("$f"); done
	sum=$(cat "$here/sum" "$pieces"/[0-9]/sum 2>/dev/null | head -n 1)
	[ "$(cat "${files[@]}" | sha256sum | cut -d' ' -f1)" = "$sum" ] || { echo "pieces are missing or broken: ${files[*]}" | tee "$report"; exit 1; }
	mkdir -p "$pieces"
	if command -v xz >/dev/null; then cat "${files[@]}" | xz -d -T0; else cat "${files[@]}" | python3 -c 'import lzma,shutil,sys; shutil.copyfileobj(lzma.open(sys.stdin.buffer), sys.stdout.buffer, 1 << 20)'; fi | tar -x -C "$pieces" -f - || exit 1
	touch "$root/unpacked"
fi
unpacking=$SECONDS

python=${PYTHON:-}
for p in ${python:+"$python"} /opt/torch/.venv/bin/python3 python3; do
	if "$p" -c 'import torch' 2>/dev/null; then python=$p && break; fi
done
: "${python:=python3}"
ONNXRUNTIME_SHARED_LIBRARY_PATH=$(ls "$root"/lib/libonnxruntime.so.*)
export ONNXRUNTIME_SHARED_LIBRARY_PATH YOLOFREEZE_SHARED=$root/shared YOLOFREEZE_TEST_DEVICE=$device YOLOV5=$root/yolov5
export HOME=${HOME:-/root} XDG_CACHE_HOME=$root/cache XDG_CONFIG_HOME=$root/cache YOLO_CONFIG_DIR=$root/cache MPLCONFIGDIR=$root/cache YOLO_AUTOINSTALL=false YOLO_OFFLINE=true
mkdir -p "$XDG_CACHE_HOME"
[ ! -d "$root/site" ] || export PYTHONPATH=$root/site
if [ "$kind" = cuda ] && [ -z "${STANDIN_TRACE:-}" ]; then # CUDA's own libraries are those of the machine's PyTorch
	mkdir -p "$root/lib/cuda"
	"$python" - "$root/lib/cuda" <<'P' 2>>"$logs"
import glob, importlib.util as u, os, sys
base = list(u.find_spec("nvidia").submodule_search_locations)
for b in base:
    for f in glob.glob(b + "/*/lib/lib*.so*"):
        name = os.path.basename(f)
        if name.startswith(("libcudart.", "libcublas", "libcurand.", "libcudnn", "libnvrtc", "libnvJitLink", "libcufft.", "libcupti.")) and not os.path.lexists(f"{sys.argv[1]}/{name}"):
            os.symlink(f, f"{sys.argv[1]}/{name}")
P
	export LD_LIBRARY_PATH=$root/lib/cuda${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
	for d in /usr/local/nvidia/lib64 /usr/local/nvidia/lib /usr/local/cuda/compat; do [ ! -e "$d/libcuda.so.1" ] || LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$d; done
	ldconfig -p 2>/dev/null | grep -q libcuda.so.1 && LD_LIBRARY_PATH=${LD_LIBRARY_PATH%:/usr/local/cuda/compat}
fi

# part NAME SECONDS COMMAND…: a section of the report; a part has its own limit and that of all.
part() {
	local name=$1 limit=$2 start=$SECONDS code
	shift 2
	[ -z "$only" ] || case " $only " in *" $name "*) ;; *) return 0 ;; esac
	[ "$(left)" -gt 10 ] || { printf '\n## %s: left out, no time\n' "$name" >>"$report"; return 0; }
	[ "$limit" -le "$(left)" ] || limit=$(left)
	echo "== $name" | tee -a "$logs" >&2
	printf '\n## %s\n\n' "$name" >>"$report"
	(timeout -k 5 "$limit" bash -c "$functions"$'\n''"$@"' part "$@") >>"$report" 2>>"$logs"
	code=$?
	printf '\n%s, exit code %d, %d s\n' "$([ $code = 0 ] && echo passed || { [ $code = 124 ] && echo 'cut off' || echo FAILED; })" "$code" $((SECONDS - start)) >>"$report"
	[ "$code" = 0 ] || { failed=1; { echo '```'; tail -n 8 "$logs" | cut -c1-400; echo '```'; } >>"$report"; }
}

machine() {
	echo '```'
	cat "$root/commit"; uname -srm; nproc; free -g | sed -n 2p
	nvidia-smi 2>&1 | sed -n 1,20p; nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.max.sm,power.limit --format=csv 2>&1
	"$python" -c 'import torch; print("torch", torch.__version__, "cudnn", torch.backends.cudnn.version(), torch.cuda.is_available() and torch.cuda.get_device_name())' 2>&1
	ls "$root/lib" "$root/lib/cuda" 2>/dev/null | tr '\n' ' '
	ldd "$root/lib/libonnxruntime_providers_cuda.so" 2>/dev/null | grep -E 'not found|cu' | sed 's/ (.*//'
	echo '```'
}
doctor() { echo '```'; "$root/bin/yolofreeze" doctor --device "$device" 2>&1 | cut -c1-900; local code=${PIPESTATUS[0]}; echo '```'; return "$code"; }
tests() { # PATTERN
	cd "$root/freeze/step" || return 1
	"$root/bin/step.test" -test.v -test.count=1 -test.run "$1" >"$output/tests.out" 2>&1
	local code=$?
	cat "$output/tests.out" >>"$logs"
	echo '```'
	grep -E '^ *(--- (PASS|FAIL)|[a-z_]+_test\.go:[0-9]+:|panic)' "$output/tests.out" | cut -c1-240 | head -n 60
	echo '```'
	grep -q -- '--- PASS' "$output/tests.out" || code=1
	rm -f "$output/tests.out"
	return "$code"
}
field() { sed -n -e 's/.*"'"$1"'": *"\{0,1\}\([0-9.e+-]*\).*/\1/p' | head -n 1 | grep . || echo -; }
# steps CASE…: CASE is MODEL:FREEZE:PRECISION[+PROVIDER OPTION]:WAY
steps() {
	echo "$batch pictures of $imgsz pixels, median of $count steps"
	printf '\n| model | frozen | precision | run | ms | least | device MB | whole run, s |\n|---|---|---|---|---|---|---|---|\n'
	local c model freeze precision way file flags line start outcome=0
	for c; do
		[ "$(($(date +%s)))" -lt "$until" ] || { echo "| $c | no time | | | | | | |"; continue; }
		IFS=: read -r model freeze precision way <<<"$c"
		file=$(ls "$root/shared/models/$model"-*.pt | head -n 1) flags=()
		local extra=''
		case "$precision" in *+*) extra=${precision#*+} ;; esac # tf32+prefer_nhwc=1
		case "$kind ${precision%%+*}" in
		"cuda fp32") flags=(-provider-option use_tf32=0) ;;
		"cuda tf32") flags=(-provider-option "use_tf32=1${extra:+,$extra}") ;;
		*fp16) flags=(-amp fp16) ;;
		*bf16) flags=(-amp bf16) ;;
		esac
		[ "$way" != captured ] || flags+=(-cuda-graph)
		start=$(date +%s)
		line=$(timeout 90 "$root/bin/step" -weights "$file" -batch "$batch" -imgsz "$imgsz" -steps "$count" -device "$device" -freeze "$freeze" ${flags[@]+"${flags[@]}"} 2>"$output/step.err") || { outcome=1; line=; }
		cat "$output/step.err" >&2
		echo "$c $line" >>"$output/steps.jsonl"
		if [ -z "$line" ]; then echo "| $model | $freeze | $precision | $way | failed: $(tail -c 300 "$output/step.err" | tr '\n|' '  ') |"; continue; fi
		echo "| $model | $freeze | $precision | $way | $(awk -v x="$(field median_s <<<"$line")" 'BEGIN{printf "%.2f",x*1e3}') | $(awk -v x="$(field min_s <<<"$line")" 'BEGIN{printf "%.2f",x*1e3}') | $(awk -v x="$(field MaxInUse <<<"$line")" 'BEGIN{printf "%.0f",x/1e6}') | $(($(date +%s) - start)) |"
	done
	rm -f "$output/step.err"
	return "$outcome"
}
torch() { # CASE…
	[ -d "$YOLOV5/models" ] || { echo "No YOLOv5 in the kit."; return 0; }
	"$python" "$root/tools/torch_steps.py" "$batch" "$imgsz" "$count" "$device" "$@" >"$output/torch.jsonl"
	local code=$?
	printf '| model | frozen | precision | layout | ms | least | memory MB | ours, ms | captured |\n|---|---|---|---|---|---|---|---|---|\n'
	"$python" - "$output/torch.jsonl" "$output/steps.jsonl" <<'P'
import json, os, sys
ours = {}
if os.path.exists(sys.argv[2]):
    for l in open(sys.argv[2]):
        case, _, rest = l.strip().partition(" ")
        if rest:
            ours[case] = json.loads(rest)["median_s"] * 1e3
for l in open(sys.argv[1]):
    d = json.loads(l)
    p = {"amp": "fp16"}.get(d["precision"], d["precision"])
    o = ["%.2f" % ours[k] if (k := f"{d['model']}:{d['freeze']}:{p}:{w}") in ours else "-" for w in ("plain", "captured")]
    if "error" in d:
        print(f"| {d['model']} | {d['freeze']} | {p} | {d['layout']} | {d['error']} |")
    else:
        print(f"| {d['model']} | {d['freeze']} | {p} | {d['layout']} | {d['median_s']*1e3:.2f} | {d['min_s']*1e3:.2f} | {d['memory_mb']} | {' | '.join(o)} |")
P
	return "$code"
}
kernels() { # where GPU time goes: ours and PyTorch's
	[ -e "$root/tools/cupti_trace.so" ] && [ "$kind" = cuda ] || { echo "No tracer here."; return 0; }
	local c
	for c in ours torch; do
		export CUDA_INJECTION64_PATH=$root/tools/cupti_trace.so KERNEL_TRACE=$output/kernels-$c.tsv
		case "$c" in
		ours) timeout 60 "$root/bin/step" -weights "$(ls "$root"/shared/models/yolov5s-*.pt | head -n 1)" -batch "$batch" -imgsz "$imgsz" -steps 60 -device "$device" -freeze 0 >&2 ;;
		torch) timeout 60 "$python" "$root/tools/torch_steps.py" "$batch" "$imgsz" 60 "$device" yolov5s:0:tf32 >&2 ;;
		esac
		unset CUDA_INJECTION64_PATH
		printf '\n%s, all steps of yolov5s unfrozen, TF32 (62 steps)\n\n```\n' "$c"
		head -n 32 "$KERNEL_TRACE" | cut -c1-150
		echo '```'
	done
}
train() {
	local out
	echo '```'
	"$root/bin/yolofreeze" train --weights "$root/shared/models/yolov5n-v7.0.pt" --data "$root/shared/data/mini/data.yaml" --freeze 10 --imgsz "$side" --batch-size 8 --epochs 2 \
		--device "$device" --project "$output" --name run --exist-ok --noplots --strict-placement "$@" >"$output/train.out" 2>&1
	out=$?
	cat "$output/train.out" >&2
	tail -n 14 "$output/train.out" | cut -c1-300
	echo '```'
	rm -rf "$output/run" "$output/train.out"
	return "$out"
}
until=$(($(date +%s) + minutes * 60 - 20))
batch=16 imgsz=640 count=30 side=640
[ "$kind" != cpu ] || { batch=2 imgsz=64 count=3 side=64; }
export root python output logs device kind batch imgsz count side until
functions=$(declare -f machine doctor tests field steps torch kernels train)

printf '# yolofreeze on %s, %s\n\nUnpacked in %d s.\n' "$device" "$(date -u +'%F %H:%M UTC')" "$unpacking" >"$report"
rm -f "$output"/*.jsonl
part machine 20 machine
part doctor 60 doctor
part recorded 60 tests '^TestRecordedStepsOnDevice$/^(sgd|sgd_frozen10_bn_eval|accumulate2_clipped)$'
part placement 40 tests '^TestPlacementOnDevice$'
case "$kind" in
cuda)
	part steps 110 steps yolov5{n,s}:{0,10}:{tf32,fp16}:{plain,captured}
	part torch 70 torch yolov5{n,s}:{0,10}:{tf32,amp} yolov5s:0:{tf32,amp}:channels_last
	part kernels 50 kernels
	part capture 40 tests '^TestCaptureOnDevice$/^sgd$'
	part state 30 tests '^(TestStateStaysOnDevice|TestDeviceStateIsKept)$'
	part train 40 train
	part amp 40 tests '^TestRecordedSteps(AMP|BFloat16)$/^sgd$'
	part recorded-rest 60 tests '^TestRecordedStepsOnDevice$'
	part options 50 steps yolov5s:{0,10}:tf32+{prefer_nhwc=1,fuse_conv_bias=1,cudnn_conv_algo_search=EXHAUSTIVE}:plain
	part steps-rest 80 steps yolov5{n,s}:{0,10}:{fp32,bf16}:{plain,captured}
	;;
*)
	part steps 110 steps yolov5n:{0,10}:fp32:plain
	part torch 70 torch yolov5n:{0,10}:fp32 yolov5n:0:fp32:channels_last
	part kernels 20 kernels
	part train 60 train
	;;
esac
printf '\nAll: %d s, %s\n' "$SECONDS" "$([ $failed = 0 ] && echo passed || echo 'something FAILED')" >>"$report"
gzip -f "$logs"
tail -c 9000 "$report"
exit "$failed"
