#!/usr/bin/env bash
# Gives the module another path, once it has a home: in go.mod and in every import.
# usage: scripts/rename-module.sh example.org/me/yolofreeze
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[ $# = 1 ] && [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9._~/-]*[A-Za-z0-9]$ ]] || usage
cd "$root"

old=$(go list -m)
go mod edit -module "$1"
find cmd onnx freeze dataset scripts -name '*.go' -exec sed -i.before "s#\"$old/#\"$1/#g; s#^import \"$old\"#import \"$1\"#" {} +
find cmd onnx freeze dataset scripts -name '*.go.before' -delete
gofmt -w cmd onnx freeze dataset scripts
say "$old is $1 now"
