#!/usr/bin/env bash
# Everything that must hold of a change: formatting, vet, staticcheck, tests.
# usage: scripts/test.sh [further flags of go test]
# Tests that need what is not there (the runtime's library, WebGPU, recordings, a GPU)
# skip and say so: scripts/test.sh -v shows them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export HOME="${HOME:-$(echo ~)}"

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2

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
step "all passed"
