#!/usr/bin/env bash
# Builds the archives of a release: the program with ONNX Runtime beside it, for users without Go or Python.
# usage: scripts/release.sh [--output FOLDER] [TARGET…]
#   TARGET  linux-x64, linux-arm64, macos-arm64, windows-x64 (all four)
#   FOLDER  where the archives and SHA256SUMS go (dist)
# The version is git's: the tag, or the newest tag and the commits since. Each archive holds the
# program; lib/ with ONNX Runtime and its notices; LICENSE and CHANGELOG.md; NOTICE, the licences of all
# that is compiled in, gathered by go-licenses; and sbom.json (CycloneDX), by cyclonedx-gomod.
# C is compiled by Zig, from Python's package ziglang. All tools are pinned and had by their clients.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

golicenses=github.com/google/go-licenses@v1.6.0
cyclonedx=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
unread=(github.com/golang/freetype github.com/ajstarks/svgo) # go-licenses does not know their licences: read here

output=$root/dist targets=()
while [ $# -gt 0 ]; do
	case "$1" in
	--output) output=${2:?a folder} && shift ;;
	linux-x64 | linux-arm64 | macos-arm64 | windows-x64) targets+=("$1") ;;
	*) usage ;;
	esac
	shift
done
[ ${#targets[@]} -gt 0 ] || targets=(linux-x64 linux-arm64 macos-arm64 windows-x64)
mkdir -p "$output"
output=$(cd "$output" && pwd)
make_ready
cd "$root"
version=$(git describe --tags --always --dirty)
stamp=$(git log -1 --format=%ct)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=$(python_with release --require-hashes  <<-'LIST'
	ziglang==0.17.1 --hash=sha256:ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54 --hash=sha256:b7c5f02fccd40f89b999ee16a1f5ddced56e6182370f8affe494bcf8a28cf07e --hash=sha256:09953b6af7f64168b915180a42774f520f92d86ef6331b28e33915c7e1f0bb23
LIST
)
say "building the tools"
GOBIN=$work/bin GOFLAGS= go install "$golicenses"
GOBIN=$work/bin GOFLAGS= go install "$cyclonedx"
GOROOT=$(go env GOROOT) # by which go-licenses tells the standard library
export GOROOT

# notice PROGRAM FOLDER: the licences of the modules that a program was built of, which go-licenses
# has saved in FOLDER, of Go, and of what Zig links in; fails where one of a module is missing.
notice() {
	local file path v dir found
	for path in "${unread[@]}"; do
		dir=$(go list -m -f '{{.Dir}}' "$path")
		mkdir -p "$2/$path"
		cp "$dir"/LICENSE* "$2/$path/"
		[ ! -d "$dir/licenses" ] || cp "$dir"/licenses/* "$2/$path/"
	done
	mkdir -p "$2/go" "$2/zig"
	cp "$GOROOT/LICENSE" "$2/go/"
	cp "$("$python" -c 'import os, ziglang; print(os.path.dirname(ziglang.__file__))')"/LICENSE "$2/zig/LICENSE"
	case "$1" in *.exe) cp "$("$python" -c 'import os, ziglang; print(os.path.dirname(ziglang.__file__))')"/lib/libc/mingw/COPYING "$2/zig/mingw-w64-COPYING" ;; esac
	chmod -R u+w "$2"
	go version -m "$1" | awk '$1 == "dep" { print $2, $3 }' | while read -r path v; do
		found=$(find "$2/$path" -type f 2>/dev/null | head -n 1)
		[ -n "$found" ] || { say "no licence of $path $v was found"; return 1; }
	done
	echo "yolofreeze is built of what follows, under the licences of its authors."
	echo "ONNX Runtime's own licence and notices lie in lib."
	(cd "$2" && find . -type f | LC_ALL=C sort) | while read -r file; do
		printf '\n======== %s\n\n' "${file#./}"
		cat "$2/$file"
	done
}

# sbom PROGRAM: what a program consists of, and ONNX Runtime.
sbom() {
	"$work/bin/cyclonedx-gomod" bin -json -licenses -std -noserial -version "$version" "$1" 2>"$work/sbom.log" >"$work/sbom.json" || { cat "$work/sbom.log" >&2; return 1; }
	"$python" - "$work/sbom.json" "$(sed -n 's/^const runtimeVersion = "\(.*\)"/\1/p' onnx/ort/packages/packages.go)" "$2" <<-'PY'
		import hashlib, json, sys
		bom, version, library = json.load(open(sys.argv[1])), sys.argv[2], sys.argv[3]
		digest = hashlib.sha256(open(library, "rb").read()).hexdigest()
		bom["components"].append({"bom-ref": "pkg:pypi/onnxruntime@" + version, "type": "library", "name": "onnxruntime", "version": version,
		    "purl": "pkg:pypi/onnxruntime@" + version, "hashes": [{"alg": "SHA-256", "content": digest}],
		    "licenses": [{"license": {"id": "MIT"}}]})
		json.dump(bom, sys.stdout, indent=1)
	PY
}

build() { # TARGET
	local os arch zig ending='' library called=yolofreeze-$version-$1
	local folder=$work/$called licences=$work/licences-$1
	case "$1" in
	linux-x64) os=linux arch=amd64 zig=x86_64-linux-gnu.2.28 ;;
	linux-arm64) os=linux arch=arm64 zig=aarch64-linux-gnu.2.28 ;;
	macos-arm64) os=darwin arch=arm64 zig=aarch64-macos.14.0 ;;
	windows-x64) os=windows arch=amd64 zig=x86_64-windows-gnu ending=.exe ;;
	esac
	say "building $called"
	local cc=${python%/bin/python}/cc-$1 # at one place, or nothing that was compiled would serve the next time
	printf '#!/bin/sh\nexec "%s" -m ziglang cc -target %s "$@"\n' "$python" "$zig" >"$cc"
	chmod +x "$cc"
	mkdir -p "$folder"
	local go=(env GOOS="$os" GOARCH="$arch" CGO_ENABLED=1 CC="$cc")
	"${go[@]}" go build -trimpath -ldflags "-s -w -X main.release=$version" -o "$folder/yolofreeze$ending" ./cmd/yolofreeze
	library=$("$yolofreeze" setup --platform "$1" --output "$folder/lib")
	"${go[@]}" "$work/bin/go-licenses" save ./cmd/yolofreeze --save_path "$licences" --ignore "$(go list -m)" $(printf -- '--ignore %s ' "${unread[@]}") 2>"$work/licences.log" ||
		{ grep -v '^W\|^/' "$work/licences.log" >&2; return 1; }
	notice "$folder/yolofreeze$ending" "$licences" >"$folder/NOTICE"
	sbom "$folder/yolofreeze$ending" "$library" >"$folder/sbom.json"
	cp LICENSE scripts/release/CHANGELOG.md "$folder/"
	find "$folder" -exec touch -d "@$stamp" {} +
	if [ "$os" = windows ]; then
		(cd "$work" && "$python" -m zipfile -c "$output/$called.zip" "$called")
	else
		tar -C "$work" --owner=0 --group=0 --numeric-owner --sort=name -cf - "$called" | gzip -9n >"$output/$called.tar.gz"
	fi
}

for target in "${targets[@]}"; do
	build "$target"
done
cd "$output"
for file in yolofreeze-"$version"-*.tar.gz yolofreeze-"$version"-*.zip; do
	if [ -e "$file" ]; then echo "$(sha256 "$file")  $file"; fi
done | tee SHA256SUMS
