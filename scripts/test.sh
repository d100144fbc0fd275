#!/usr/bin/env bash
# Everything that must hold of a change: formatting, vet, staticcheck, tests.
# usage: scripts/test.sh [further flags of go test]
# oneDNN, and WebGPU with a Vulkan driver in software, are fetched too, where there are any. Tests that
# need what is not there (recordings, a GPU, a browser) are skipped, counted, and named by reason at the end.
# A plain clone, without ../shared, cannot check what is held against PyTorch and real files: recorded steps
# and runs, official checkpoints, photographs' boxes, and the --smoke of scripts.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2

smoke=$(mktemp -d)
trap 'rm -rf "$smoke"' EXIT

"$root/scripts/setup.sh" --native >/dev/null || say "skipped: tests of native kernels (tier native), since oneDNN cannot be had here"
"$root/scripts/setup.sh" --mpi >/dev/null || say "skipped: tests of several ranks (tier mpi), since mpich cannot be had here"
"$root/scripts/setup.sh" --webgpu >/dev/null || say "skipped: tests on WebGPU, which cannot be had here"
"$root/scripts/setup.sh" --standin >/dev/null || say "skipped: tests over stand-ins for CUDA, whose provider cannot be had here"
make_ready

say gofmt
unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || { echo "$unformatted" >&2; say "these files are not formatted: gofmt -w ."; exit 1; }

say go vet
go vet ./...

say staticcheck
if go run "$staticcheck" -version >/dev/null 2>&1; then
	go run "$staticcheck" ./...
else
	say "skipped: $staticcheck cannot be had without a network"
fi

# ONNX Runtime's last package for on-device training holds the folders that we write against
# its own API; in Python because it has no other that is still published.
if YOLOFREEZE_ORT_TRAINING=$(python_with onnxruntime-training --no-deps --require-hashes <<-'LIST'
	onnxruntime-training==1.19.2 --hash=sha256:31bf977bfe9b0dbdea5bd349a21d498741195b3094ee1fe4abdba3ebbec17d3b --hash=sha256:848da8184d0d5dbfac1f144541c572f62455f5c8c6a5fe7350cc748e827b8b37 --hash=sha256:6bfa1c02e6986947b18c502669beb9f1246bb52239394f7a5a3b99c10967eacf
	numpy==1.26.4 --hash=sha256:f870204a840a60da0b12273ef34f7051e98c3b5961b61b0c2c1be6dfd64fbcd3 --hash=sha256:ffa75af20b44f8dba823498024771d5ac50620e6915abac414251bd971b4529f --hash=sha256:666dbfb6ec68962c033a450943ded891bed2d54e6755e35e5835d63f4f6931d5
LIST
); then
	export YOLOFREEZE_ORT_TRAINING
else
	say "skipped: tests against onnxruntime-training, which cannot be had here (it needs Linux x64, Python 3.9 to 3.11 and a network)"
	unset YOLOFREEZE_ORT_TRAINING
fi

# MLflow's own server hears of a run; the small package of it, with what a server takes.
if YOLOFREEZE_MLFLOW=$(python_with mlflow-server <<-'LIST'
	mlflow-skinny==2.22.5
	Flask==3.1.3
	SQLAlchemy==2.0.58
	alembic==1.20.1
	gunicorn==27.0.1
LIST
); then
	export YOLOFREEZE_MLFLOW
else
	say "skipped: tests against MLflow's server, which cannot be had here (it needs Python and a network)"
	unset YOLOFREEZE_MLFLOW
fi

say go test
go build -o "$smoke/skips" ./scripts/skips
go test -json -count=1 -timeout 60m "$@" ./... | "$smoke/skips" # no cached results: recordings lie outside of the module
say "faults --smoke"
"$root/scripts/faults.sh" --smoke >"$smoke/log" 2>&1 || { cat "$smoke/log" >&2; say "faults --smoke failed"; exit 1; }
tail -n 6 "$smoke/log"
if [ -d "$shared/models" ]; then
	for job in convert-and-freeze voc-finetune compare-frozen keep-classes; do
		say "$job --smoke"
		TMPDIR=$smoke "scripts/$job.sh" --smoke >"$smoke/log" 2>&1 || { cat "$smoke/log" >&2; say "$job --smoke failed"; exit 1; }
	done
	say "gpu kit, in small"
	{
		scripts/gpu/pack.sh --shared "$shared" --cpu-only --unpacked --output "$smoke/kit" &&
			"$smoke/kit/check.sh" --device cpu --only "machine doctor steps train"
	} >"$smoke/log" 2>&1 || { cat "$smoke/log" >&2; say "the gpu kit failed"; exit 1; }
else
	say "skipped: --smoke of the scripts needs real files, $shared is absent"
fi
[ -d "$shared/models" ] || say "nothing was held against PyTorch's recordings and real files, which a plain clone lacks"
say "all passed"
