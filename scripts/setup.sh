#!/usr/bin/env bash
# Makes ready what yolofreeze needs: checks Go with cgo, builds the program as ./yolofreeze,
# and has it install ONNX Runtime's shared library.
# usage: scripts/setup.sh [flags of yolofreeze setup, such as --cuda, --webgpu, --openvino, --native]
#   --standin   the CUDA provider without CUDA, for tests over stand-ins (Linux x64, 250 MB)
# Messages go to standard error; standard output is one line, the library's path.
# What is fetched is pinned, checksummed (onnx/ort/packages), and kept in the user's cache folder,
# one copy for all clones: ${XDG_CACHE_HOME:-~/.cache}/yolofreeze/
# ONNXRUNTIME_SHARED_LIBRARY_PATH, when set, names a library to use as it is.
set -euo pipefail

say() { echo "setup: $*" >&2; }
fail() { # exit code 4: the runtime is missing or unfit
	say "$*"
	exit 4
}

check_go() {
	command -v go >/dev/null || fail "go is missing: install Go 1.26 or newer (https://go.dev/dl) and put its bin folder on PATH"
	go version >/dev/null || fail "go does not run in $PWD: the module asks for the Go version named in go.mod"
	[ "$(go env CGO_ENABLED)" = 1 ] || fail "cgo is off: set CGO_ENABLED=1 and install a C compiler (Debian, Ubuntu: apt-get install gcc libc6-dev)"
	local cc
	cc=$(go env CC)
	echo '#include <stdlib.h>
int main(void) { return 0; }' | ${cc} -x c -o /dev/null - 2>/dev/null ||
		fail "the C compiler '$cc' does not work, cgo needs one (Debian, Ubuntu: apt-get install gcc libc6-dev; macOS: xcode-select --install)"
	say "$(go version | cut -d' ' -f3), C compiler $cc"
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
check_go
say "building yolofreeze, which takes minutes the first time"
go build -o yolofreeze ./cmd/yolofreeze
exec ./yolofreeze setup "$@"
