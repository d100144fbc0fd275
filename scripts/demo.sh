#!/usr/bin/env bash
# The whole story on data and weights that the program makes itself: pre-train a
# small model, freeze it, fine-tune it frozen and unfrozen, compare.
# usage: scripts/demo.sh [flags of yolofreeze demo]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export HOME="${HOME:-$(echo ~)}"

ONNXRUNTIME_SHARED_LIBRARY_PATH=$(scripts/setup.sh)
export ONNXRUNTIME_SHARED_LIBRARY_PATH
go build -o yolofreeze ./cmd/yolofreeze # kept: .gitignore names it
exec ./yolofreeze demo "$@"
