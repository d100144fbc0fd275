#!/usr/bin/env bash
# Holds emitted models against the ONNX standard, by the full checker of the Python
# package onnx: schemas, types and shapes of every node.
# usage: scripts/check-onnx.sh [file.onnx | folder]...
# Without arguments, the graphs of yolov5n that go test builds: training under nine
# plans, three optimizers, evaluation, exports (needs ../shared, see the tests).
# The package, pinned, goes into an environment of its own in the user's cache
# folder. yolofreeze itself never needs Python.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

python=$(python_with onnx-checker <<<onnx==1.22.0)

if [ $# -eq 0 ]; then
	emitted=$(mktemp -d)
	trap 'rm -rf "$emitted"' EXIT
	(cd "$root" && go test ./freeze/step -count=1 -run 'TestPlacement$' -emit "$emitted") >&2
	(cd "$root" && go test ./freeze/export -count=1 -run 'TestPlacementOfExports$' -emit "$emitted") >&2
	set -- "$emitted"
fi

"$python" - "$@" <<'PYTHON'
import pathlib, sys
import onnx

bad = found = 0
for argument in map(pathlib.Path, sys.argv[1:]):
    for path in sorted(argument.rglob("*.onnx")) if argument.is_dir() else [argument]:
        found += 1
        try:
            model = onnx.load(path)
            onnx.checker.check_model(model, full_check=True)
            foreign = {n.op_type for n in model.graph.node if n.domain not in ("", "ai.onnx")}
            if foreign:
                raise ValueError(f"operators beyond the standard: {sorted(foreign)}")
        except Exception as error:
            bad += 1
            print(f"{path}: {error}")
            continue
        print(f"{path.name}: {len(model.graph.node)} nodes, opset {model.opset_import[0].version}, fits the standard")
if not found:
    sys.exit("check-onnx: no models found")
sys.exit(f"check-onnx: {bad} of {found} models do not fit the standard" if bad else 0)
PYTHON
