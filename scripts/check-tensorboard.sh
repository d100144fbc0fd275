#!/usr/bin/env bash
# Holds the event files of runs against their results.csv, read by the Python
# package tensorboard itself.
# usage: scripts/check-tensorboard.sh [run folder]...
# Without arguments, a run of two epochs is made (needs ../shared). The package,
# pinned, goes into an environment of its own in the user's cache folder.
# yolofreeze itself never needs Python.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export HOME="${HOME:-$(echo ~)}"

version=2.21.0
venv=${XDG_CACHE_HOME:-$HOME/.cache}/yolofreeze/tensorboard-reader-$version

if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import tensorboard' 2>/dev/null; then
	echo "check-tensorboard: installing tensorboard $version" >&2
	python3 -m venv --clear "$venv"
	"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: "tensorboard==$version" >&2
fi

if [ $# -eq 0 ]; then
	made=$(mktemp -d)
	trap 'rm -rf "$made"' EXIT
	ONNXRUNTIME_SHARED_LIBRARY_PATH=$("$root/scripts/setup.sh")
	export ONNXRUNTIME_SHARED_LIBRARY_PATH
	(cd "$root" && go build -o "$made/yolofreeze" ./cmd/yolofreeze)
	"$made/yolofreeze" dataset synth -o "$made/data" --train 16 --val 8 --imgsz 64 >&2
	"$made/yolofreeze" train --weights "${YOLOFREEZE_SHARED:-$root/../shared}/models/yolov5n-v7.0.pt" --data "$made/data" --imgsz 64 --epochs 2 \
		--project "$made" --name run >"$made/log" 2>&1 || { cat "$made/log" >&2; exit 1; }
	set -- "$made/run"
fi

"$venv/bin/python" - "$@" <<'PYTHON'
import csv, math, pathlib, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

for folder in map(pathlib.Path, sys.argv[1:]):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()
    with open(folder / "results.csv") as f:
        rows = [{k.strip(): float(v) for k, v in row.items()} for row in csv.DictReader(f)]
    columns = [k for k in rows[0] if k != "epoch"]
    tags = events.Tags()
    if missing := set(columns) - set(tags["scalars"]):
        sys.exit(f"{folder}: TensorBoard finds no {sorted(missing)}")
    for column in columns:
        found = {e.step: e.value for e in events.Scalars(column)}
        for row in rows:  # results.csv has five digits
            value = found.get(int(row["epoch"]), math.nan)
            if not math.isclose(value, row[column], rel_tol=1e-4, abs_tol=1e-12):
                sys.exit(f"{folder}: {column} of epoch {row['epoch']:.0f} is {value}, want {row[column]}")
    sizes = []
    for tag in tags["images"]:
        for picture in events.Images(tag):
            if picture.width < 1 or picture.height < 1 or not picture.encoded_image_string:
                sys.exit(f"{folder}: picture {tag} is empty")
            sizes.append(f"{tag} {picture.width}x{picture.height}")
    print(f"{folder}: {len(columns)} scalars of {len(rows)} epochs as in results.csv; {len(sizes)} pictures: {', '.join(sizes)}")
PYTHON
