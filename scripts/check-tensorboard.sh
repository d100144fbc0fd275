#!/usr/bin/env bash
# Holds the event files of runs against their results.csv, read by the Python
# package tensorboard itself.
# usage: scripts/check-tensorboard.sh [run folder]...
# Without arguments, a run of two epochs is made (needs ../shared). The package,
# pinned, goes into an environment of its own in the user's cache folder.
# yolofreeze itself never needs Python.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

python=$(python_with tensorboard-reader <<<tensorboard==2.21.0)

if [ $# -eq 0 ]; then
	made=$(mktemp -d)
	trap 'rm -rf "$made"' EXIT
	make_ready
	"$yolofreeze" dataset synth -o "$made/data" --train 16 --val 8 --imgsz 64 >&2
	"$yolofreeze" train --weights "$shared/models/yolov5n-v7.0.pt" --data "$made/data" --imgsz 64 --epochs 2 \
		--project "$made" --name run >"$made/log" 2>&1 || { cat "$made/log" >&2; exit 1; }
	set -- "$made/run"
fi

"$python" - "$@" <<'PYTHON'
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
