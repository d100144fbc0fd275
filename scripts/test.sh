#!/usr/bin/env bash
# Everything that must hold of a change: formatting, vet, staticcheck, tests.
# usage: scripts/test.sh [further flags of go test]
# Tests that need what is not there (the runtime's library, WebGPU, recordings, a
# GPU, a browser) skip and say so: scripts/test.sh -v shows them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export HOME="${HOME:-$(echo ~)}"

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2

smoke=$(mktemp -d)
trap 'rm -rf "$smoke"' EXIT
step() { echo "test: $*" >&2; }

ONNXRUNTIME_SHARED_LIBRARY_PATH=$(scripts/setup.sh)
export ONNXRUNTIME_SHARED_LIBRARY_PATH

step gofmt
unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || { echo "$unformatted" >&2; step "these files are not formatted: gofmt -w ."; exit 1; }

step go vet
go vet ./...

step staticcheck
if go run "$staticcheck" -version >/dev/null 2>&1; then
	go run "$staticcheck" ./...
else
	step "skipped: $staticcheck cannot be had without a network"
fi

step go test
go test -count=1 -timeout 30m "$@" ./... # no cached results: recordings lie outside of the module
if [ -d "${YOLOFREEZE_SHARED:-../shared}/models" ]; then
	for job in convert-and-freeze voc-finetune compare-frozen; do
		step "$job --smoke"
		TMPDIR=$smoke "scripts/$job.sh" --smoke >"$smoke/log" 2>&1 || { cat "$smoke/log" >&2; step "$job --smoke failed"; exit 1; }
	done
else
	step "skipped: --smoke of the scripts needs real files, ${YOLOFREEZE_SHARED:-../shared} is absent"
fi
step "all passed"
