#!/usr/bin/env bash
# Makes ready what yolofreeze needs: Go with cgo, and ONNX Runtime's shared library.
# usage: scripts/setup.sh
# Messages go to standard error; standard output is one line, the library's path.
# The library is kept in the user's cache folder, one copy for all clones:
#   ${XDG_CACHE_HOME:-~/.cache}/yolofreeze/onnxruntime-VERSION/
# ONNXRUNTIME_SHARED_LIBRARY_PATH, when set, names a library to use as it is.
set -euo pipefail

version=1.30.0 # package onnx/ort names the same version

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

sha256() { if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1; }

# sets: platform (pip's tag), wheel (its SHA-256), node (folder in the npm package), lib (file name)
choose_platform() {
	lib=libonnxruntime.so.$version
	case "$(uname -s)-$(uname -m)" in
	Linux-x86_64)
		platform=manylinux_2_28_x86_64 node=linux/x64
		wheel=fa688e7891a6aa206636fe7372e27ee75fd17713289f6b4fc7b190e0a7de9328
		;;
	Linux-aarch64 | Linux-arm64)
		platform=manylinux_2_28_aarch64 node=linux/arm64
		wheel=6c32a000d5139a38ba9349030b0032e3331acb559d596b22738d9d2b343a2b83
		;;
	Darwin-arm64)
		platform=macosx_14_0_arm64 node=darwin/arm64 lib=libonnxruntime.$version.dylib
		wheel=001ed726c9bd5e2bc92faade7d37d889e9606a350b7d5529f0227df2e3bb57fd
		;;
	*) fail "no ONNX Runtime package for $(uname -s) $(uname -m): build the library and set ONNXRUNTIME_SHARED_LIBRARY_PATH to it" ;;
	esac
}

# pip_fetch PACKAGE==VERSION SHA256 FOLDER: downloads a wheel, whose checksum pip verifies, and unpacks it.
pip_fetch() {
	python3 -m pip --version >/dev/null 2>&1 || { say "pip is missing"; return 1; }
	echo "$1 --hash=sha256:$2" >"$3/requirements.txt"
	say "downloading $1 with pip"
	python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
		--implementation cp --python-version 312 --abi cp312 --platform "$platform" \
		--requirement "$3/requirements.txt" --dest "$3" >&2 &&
		python3 -m zipfile -e "$3"/*.whl "$3"
}

# npm_fetch FOLDER: the same library from onnxruntime-node.
npm_fetch() {
	command -v npm >/dev/null || { say "npm is missing"; return 1; }
	say "downloading onnxruntime-node@$version with npm"
	(cd "$1" && npm pack --silent "onnxruntime-node@$version" >/dev/null 2>npm.log) || { cat "$1/npm.log" >&2; return 1; }
	local file=$1/onnxruntime-node-$version.tgz want=6e3390d6b783e7be946fad629292799da28d0b42f84856e50d2c1b0383291e75
	[ "$(sha256 "$file")" = "$want" ] || { say "onnxruntime-node@$version: checksum is not $want"; return 1; }
	tar -xzf "$file" -C "$1"
}

cache_folder() {
	# Bash takes ~ from the password file when HOME is not set.
	echo "${XDG_CACHE_HOME:-"$(echo ~)/.cache"}/yolofreeze"
}

install_library() {
	choose_platform
	local cache target from=
	cache=$(cache_folder)
	target=$cache/onnxruntime-$version
	if [ -s "$target/$lib" ]; then
		say "ONNX Runtime $version is there already"
		echo "$target/$lib"
		return
	fi
	mkdir -p "$target" || fail "cannot make $target: set XDG_CACHE_HOME to a folder that can be written"
	tmp=$(mktemp -d "$cache/.setup.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	if pip_fetch "onnxruntime==$version" "$wheel" "$tmp"; then
		from=$tmp/onnxruntime/capi
	elif npm_fetch "$tmp"; then
		from=$tmp/package/bin/napi-v6/$node
		[ -e "$from/$lib" ] || mv "$from/libonnxruntime.so.1" "$from/$lib"
	else
		fail "ONNX Runtime $version could not be had: install pip or npm and a network, or set ONNXRUNTIME_SHARED_LIBRARY_PATH to a library of version 1.27 or newer"
	fi
	# Renames within one file system; the library comes last, so what is found is whole.
	for file in "$tmp"/onnxruntime/LICENSE "$tmp"/onnxruntime/ThirdPartyNotices.txt "$from"/libonnxruntime_providers_*.so "$from/$lib"; do
		[ ! -e "$file" ] || mv -f "$file" "$target/"
	done
	[ -s "$target/$lib" ] || fail "the package holds no $lib"
	say "ONNX Runtime $version installed in $target"
	echo "$target/$lib"
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
check_go
if [ -n "${ONNXRUNTIME_SHARED_LIBRARY_PATH:-}" ]; then
	[ -s "$ONNXRUNTIME_SHARED_LIBRARY_PATH" ] || fail "ONNXRUNTIME_SHARED_LIBRARY_PATH names $ONNXRUNTIME_SHARED_LIBRARY_PATH, which is not there: correct or unset it"
	say "using ONNXRUNTIME_SHARED_LIBRARY_PATH"
	echo "$ONNXRUNTIME_SHARED_LIBRARY_PATH"
else
	install_library
fi
