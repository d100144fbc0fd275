#!/usr/bin/env bash
# Training steps of PyTorch, of stock and of native kernels by turns, as a table of medians.
# usage: scripts/bench/table.sh [rounds]    (2 unless told: under 8 minutes on a quiet machine)
# PyTorch takes part where PYTHON names a Python that has it and YOLOV5 a checkout of
# ultralytics/yolov5 (../shared/bench/README.md); it freezes as YOLOv5 does, by batch statistics.
# Quote ratios: single times say little.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
cd "$root"
rounds=${1:-2}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
make_ready
go build -o "$work/step" ./scripts/bench/step

steps() { [ "$1" = yolov5s ] && echo 4 || echo 6; }
ours() { # ours MODEL BATCH SIDE FREEZE THREADS FLAGS…
	local model=$shared/models/$1-v6.0.pt
	"$work/step" -weights "$model" -batch "$2" -imgsz "$3" -freeze "$4" -threads "$5" -steps "$(steps "$1")" "${@:6}"
}
torch() {
	[ -n "${PYTHON:-}" ] && [ -n "${YOLOV5:-}" ] || { echo '{}'; return; }
	"$PYTHON" "$shared/bench/torch_step.py" "$1" "$2" "$3" "$4" --threads "$5" --steps "$(steps "$1")" 2>/dev/null | tail -n 1
}

while read -r model batch side freeze threads; do
	case=$model,$batch,$side,$freeze,$threads
	for _ in $(seq "$rounds"); do
		torch "$model" "$batch" "$side" "$freeze" "$threads" >>"$work/torch,$case"
		ours "$model" "$batch" "$side" "$freeze" "$threads" >>"$work/stock,$case"
		ours "$model" "$batch" "$side" "$freeze" "$threads" -native >>"$work/native,$case"
	done
	say "$model ${batch}x$side, $freeze frozen, $threads threads"
done <<-'LIST'
	yolov5n 8 320 0 2
	yolov5n 8 320 10 2
	yolov5n 8 320 24 2
	yolov5s 8 320 0 2
	yolov5s 8 320 10 2
	yolov5n 4 640 10 2
	yolov5n 8 320 0 1
	yolov5n 8 320 10 1
	yolov5s 8 320 0 1
	yolov5s 8 320 10 1
LIST

python3 - "$work" <<-'PROGRAM'
	import json, pathlib, statistics, sys

	def read(path):
	    runs = [json.loads(line) for line in path.read_text().splitlines() if line != "{}"]
	    return (statistics.median(r["median_s"] for r in runs), max(r["peak_rss_mb"] for r in runs)) if runs else None

	print("| model | batch | frozen | threads | PyTorch | stock | native | stock : PyTorch | native : PyTorch | native : stock | MB |\n|" + "---|" * 11)
	for path in sorted(pathlib.Path(sys.argv[1]).glob("stock,*")):
	    case = path.name.split(",", 1)[1]
	    torch, stock, native = (read(path.with_name(f"{who},{case}")) for who in ("torch", "stock", "native"))
	    model, batch, side, freeze, threads = case.split(",")
	    ratio = lambda a, b: f"{a[0] / b[0]:.2f}" if a and b else ""
	    cells = [model, f"{batch}×{side}", freeze, threads] + [f"{x[0] * 1000:.0f} ms" if x else "" for x in (torch, stock, native)]
	    cells += [ratio(stock, torch), ratio(native, torch), ratio(native, stock), " : ".join(str(x[1]) for x in (torch, stock, native) if x)]
	    print("| " + " | ".join(cells) + " |")
PROGRAM
