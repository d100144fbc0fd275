#!/usr/bin/env bash
# Makes ready what yolofreeze needs: Go with cgo, and ONNX Runtime's shared library.
# usage: scripts/setup.sh [--cuda] [--webgpu] [--openvino] [--native] [--standin]
#   --cuda      the library with its CUDA provider, and CUDA 13 and cuDNN 9 where missing (Linux x64, about 1.2 GB)
#   --webgpu    the WebGPU provider, and on Debian and Ubuntu a software Vulkan driver for it
#   --openvino  the OpenVINO provider (Linux x64, Intel processors)
#   --native    oneDNN, which native kernels for the CPU compute with (Linux x64)
#   --standin   the CUDA provider without CUDA, for tests over stand-ins (Linux x64, 250 MB)
# Messages go to standard error; standard output is one line, the library's path.
# What is fetched is pinned, checksummed, and kept in the user's cache folder,
# one copy for all clones: ${XDG_CACHE_HOME:-~/.cache}/yolofreeze/
# ONNXRUNTIME_SHARED_LIBRARY_PATH, when set, names a library to use as it is.
set -euo pipefail

version=1.30.0 # package onnx/ort names the same versions
webgpu=0.4.0
openvino=1.8.1
onednn=2023.2.0

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

# sets: machine, platforms (tags that pip may take), node (folder in the npm package), library (file name)
choose_platform() {
	machine=$(uname -s)-$(uname -m)
	library=libonnxruntime.so.$version
	case "$machine" in
	Linux-x86_64) node=linux/x64 ;;
	Linux-aarch64 | Linux-arm64) node=linux/arm64 machine=Linux-aarch64 ;;
	Darwin-arm64) node=darwin/arm64 library=libonnxruntime.$version.dylib ;;
	*) fail "no ONNX Runtime package for $machine: build the library and set ONNXRUNTIME_SHARED_LIBRARY_PATH to it" ;;
	esac
	local tag
	platforms=()
	case "$machine" in
	Linux-*) for tag in 2_28 2_27 2_17 2_12; do platforms+=(--platform "manylinux_${tag}_${machine#Linux-}"); done ;;
	*) platforms=(--platform macosx_14_0_arm64 --platform macosx_14_0_universal2) ;;
	esac
}

# checksum PACKAGE: the SHA-256 of its wheel for this machine (CPython 3.12 where there are several)
checksum() {
	case "$1 $machine" in
	"onnxruntime Linux-x86_64") echo fa688e7891a6aa206636fe7372e27ee75fd17713289f6b4fc7b190e0a7de9328 ;;
	"onnxruntime Linux-aarch64") echo 6c32a000d5139a38ba9349030b0032e3331acb559d596b22738d9d2b343a2b83 ;;
	"onnxruntime Darwin-arm64") echo 001ed726c9bd5e2bc92faade7d37d889e9606a350b7d5529f0227df2e3bb57fd ;;
	"onnxruntime-gpu Linux-x86_64") echo 6acc0f4b3d5ac5f2984432faa59dd8fcce6775f8b43a7140afa0f322c7a703b1 ;;
	"onnxruntime-ep-webgpu Linux-x86_64") echo 5d8c961eda91a88961cad1fb7621f389f006b18497d6ea9ecf96f729f066cbfb ;;
	"onnxruntime-ep-webgpu Linux-aarch64") echo 17f660db53b1a509c63e721ac6784a2daa1c4e91a968523ee9986505ee5b0a55 ;;
	"onnxruntime-ep-webgpu Darwin-arm64") echo 8d0a91d44b43d931c3068b9134aed9770f27803e353c2b58c93e1700bb68bcca ;;
	"onnxruntime-ep-openvino Linux-x86_64") echo 3832643158c8c187fcab6db661cde2a8c06a2b3559d95d0f2411ac0e51c5e924 ;;
	"onednn-cpu-gomp Linux-x86_64") echo 2f22a54d6a890ed14bfa185d42a4be65d8b5b1df85dc1f0f3a9abe31620416fb ;;
	"nvidia-cuda-runtime Linux-x86_64") echo 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548 ;;
	"nvidia-cublas Linux-x86_64") echo ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171 ;;
	"nvidia-curand Linux-x86_64") echo 1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc ;;
	"nvidia-cuda-nvrtc Linux-x86_64") echo ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575 ;;
	"nvidia-cudnn-cu13 Linux-x86_64") echo d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf ;;
	*) return 1 ;;
	esac
}

# pip_fetch PACKAGE VERSION FOLDER: downloads a wheel, whose checksum pip verifies, and unpacks it.
pip_fetch() {
	local sum
	sum=$(checksum "$1") || { say "there is no $1 for $machine"; return 1; }
	python3 -m pip --version >/dev/null 2>&1 || { say "pip is missing"; return 1; }
	echo "$1==$2 --hash=sha256:$sum" >"$3/requirements.txt"
	say "downloading $1 $2 with pip"
	python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
		--implementation cp --python-version 312 --abi cp312 "${platforms[@]}" \
		--requirement "$3/requirements.txt" --dest "$3" >&2 &&
		python3 -m zipfile -e "$3"/*.whl "$3"
}

# npm_fetch FOLDER: the CPU library from onnxruntime-node.
npm_fetch() {
	command -v npm >/dev/null || { say "npm is missing"; return 1; }
	say "downloading onnxruntime-node $version with npm"
	(cd "$1" && npm pack --silent "onnxruntime-node@$version" >/dev/null 2>npm.log) || { cat "$1/npm.log" >&2; return 1; }
	local file=$1/onnxruntime-node-$version.tgz want=6e3390d6b783e7be946fad629292799da28d0b42f84856e50d2c1b0383291e75
	[ "$(sha256 "$file")" = "$want" ] || { say "onnxruntime-node $version: its checksum is not $want"; return 1; }
	tar -xzf "$file" -C "$1"
	mkdir -p "$1/onnxruntime"
	mv "$1/package/bin/napi-v6/$node" "$1/onnxruntime/capi"
	[ -e "$1/onnxruntime/capi/$library" ] || mv "$1/onnxruntime/capi/libonnxruntime.so.1" "$1/onnxruntime/capi/$library"
}

# debian_vulkan FOLDER: the Vulkan loader and SwiftShader, a Vulkan driver in
# software, out of a Debian package that apt verifies; nothing is installed.
debian_vulkan() {
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
	say "downloading the files of a software Vulkan driver with apt-get"
	(
		cd "$1" && chmod 755 .
		apt-get download -qq chromium-common >/dev/null 2>&1 ||
			{ [ "$(id -u)" = 0 ] && apt-get update -qq >/dev/null 2>&1 && apt-get download -qq chromium-common >/dev/null 2>&1; }
		dpkg-deb --fsys-tarfile chromium-common_*.deb | tar -x --strip-components=4 ./usr/lib/chromium/libvulkan.so.1 \
			./usr/lib/chromium/libvk_swiftshader.so ./usr/lib/chromium/vk_swiftshader_icd.json
	)
}

# make_tmp, settle: files are gathered in a folder of the same file system and
# renamed into place; the one that is looked for comes last, so what is found is whole.
make_tmp() {
	mkdir -p "$cache" || fail "cannot make $cache: set XDG_CACHE_HOME to a folder that can be written"
	tmp=$(mktemp -d "$cache/.setup.XXXXXX")
}
settle() { # settle FOLDER LAST FILES…
	local target=$1 last=$2 file
	shift 2
	mkdir -p "$target"
	for file in "$@"; do
		[ ! -f "$file" ] || [ "$(basename "$file")" = "$last" ] || mv -f "$file" "$target/"
	done
	for file in "$@"; do
		[ "$(basename "$file")" != "$last" ] || mv -f "$file" "$target/"
	done
	[ -s "$target/$last" ] || fail "the package holds no $last"
	rm -rf "$tmp"
	say "installed in $target"
}

# install_library FOLDER PACKAGE: ONNX Runtime itself.
install_library() {
	if [ -s "$1/$library" ]; then
		say "$2 $version is there already"
		return
	fi
	make_tmp
	pip_fetch "$2" "$version" "$tmp" || { [ "$2" = onnxruntime ] && npm_fetch "$tmp"; } ||
		fail "$2 $version could not be had: install pip or npm and a network, or set ONNXRUNTIME_SHARED_LIBRARY_PATH to a library of version 1.27 or newer"
	local capi=$tmp/onnxruntime/capi
	settle "$1" "$library" "$tmp"/onnxruntime/LICENSE "$tmp"/onnxruntime/ThirdPartyNotices.txt "$capi"/libonnxruntime_providers_{shared,cuda}.so "$capi/$library"
}

# install_cuda FOLDER: the libraries of CUDA that the provider needs and the machine lacks.
install_cuda() {
	local needs package number file
	needs=$({ ldd "$1/libonnxruntime_providers_cuda.so" | grep 'not found'; ldconfig -p 2>/dev/null | grep -q 'libcudnn.so.9' || echo libcudnn; } || true)
	while read -r package number file; do
		case "$needs" in *"${file%%.*}"*) ;; *) continue ;; esac
		[ ! -s "$1/cuda/$file" ] || continue
		make_tmp
		pip_fetch "$package" "$number" "$tmp" || fail "$package $number could not be had: install CUDA 13 and cuDNN 9"
		rm -f "$tmp"/nvidia/*/lib/libnvblas.so* # it would answer for every BLAS in the process
		settle "$1/cuda" "$file" "$tmp"/nvidia/*/lib/*.so*
	done <<-'LIST'
		nvidia-cuda-runtime 13.0.96 libcudart.so.13
		nvidia-cublas 13.1.0.3 libcublas.so.13
		nvidia-curand 10.4.0.35 libcurand.so.10
		nvidia-cudnn-cu13 9.19.0.56 libcudnn.so.9
	LIST
	if [ -d "$1/cuda" ] && [ ! -s "$1/cuda/libnvrtc.so.13" ]; then # which cuDNN compiles kernels with
		make_tmp
		pip_fetch nvidia-cuda-nvrtc 13.0.88 "$tmp" || fail "nvidia-cuda-nvrtc could not be had"
		settle "$1/cuda" libnvrtc.so.13 "$tmp"/nvidia/cu13/lib/libnvrtc{,-builtins}.so*
	fi
	ldconfig -p 2>/dev/null | grep -q 'libcuda.so.1' || say "no NVIDIA driver is seen (libcuda.so.1): CUDA will not start before one of 580.65 or newer is installed"
}

install_webgpu() {
	local target=$cache/onnxruntime-ep-webgpu-$webgpu file=libonnxruntime_providers_webgpu.so
	[ "$machine" != Darwin-arm64 ] || file=libonnxruntime_providers_webgpu.dylib
	if [ -s "$target/$file" ]; then
		say "onnxruntime-ep-webgpu $webgpu is there already"
	else
		make_tmp
		pip_fetch onnxruntime-ep-webgpu "$webgpu" "$tmp" || fail "onnxruntime-ep-webgpu $webgpu could not be had"
		settle "$target" "$file" "$tmp/onnxruntime_ep_webgpu/$file"
	fi
	[ "$machine" != Darwin-arm64 ] && [ ! -s "$target/vk_swiftshader_icd.json" ] || return 0
	make_tmp
	if debian_vulkan "$tmp"; then
		settle "$target" vk_swiftshader_icd.json "$tmp"/*.{so,so.1,json}
	else
		say "no software Vulkan driver could be had (it comes from Debian's package chromium-common): WebGPU needs the machine's own, libvulkan.so.1 and a driver"
	fi
}

install_openvino() {
	local target=$cache/onnxruntime-ep-openvino-$openvino file=libonnxruntime_providers_openvino_plugin.so
	if [ -s "$target/$file" ]; then
		say "onnxruntime-ep-openvino $openvino is there already"
		return
	fi
	make_tmp
	pip_fetch onnxruntime-ep-openvino "$openvino" "$tmp" || fail "onnxruntime-ep-openvino $openvino could not be had"
	settle "$target" "$file" "$tmp"/onnxruntime_ep_openvino/{*.so*,cache.json,*.txt}
}

# Apart from --cuda's folder, where programs would find it and miss CUDA.
install_standin() {
	[ ! -s "$cache/onnxruntime-gpu-$version/$library" ] || { say "--cuda has installed what --standin would"; return; }
	install_library "$cache/cuda-standin-$version" onnxruntime-gpu
}

install_native() {
	local target=$cache/onednn-$onednn file=libdnnl.so.3
	if [ -s "$target/$file" ]; then
		say "onednn-cpu-gomp $onednn is there already"
		return
	fi
	make_tmp
	platforms+=(--platform manylinux1_x86_64)
	pip_fetch onednn-cpu-gomp "$onednn" "$tmp" || fail "onednn-cpu-gomp $onednn could not be had"
	settle "$target" "$file" "$tmp"/*.data/data/lib/"$file" "$tmp"/*.data/data/share/doc/onednn/{LICENSE,THIRD-PARTY-PROGRAMS}
}

cuda=
extras=()
for argument in "$@"; do
	case "$argument" in
	--cuda) cuda=1 ;;
	--webgpu | --openvino | --native | --standin) extras+=("install_${argument#--}") ;;
	*) say "unknown argument $argument; see the head of $0"; exit 2 ;;
	esac
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
check_go
choose_platform
cache=${XDG_CACHE_HOME:-"$(echo ~)/.cache"}/yolofreeze # bash takes ~ from the password file when HOME is not set
tmp=
trap '[ -z "$tmp" ] || rm -rf "$tmp"' EXIT

if [ -n "${ONNXRUNTIME_SHARED_LIBRARY_PATH:-}" ]; then
	[ -s "$ONNXRUNTIME_SHARED_LIBRARY_PATH" ] || fail "ONNXRUNTIME_SHARED_LIBRARY_PATH names $ONNXRUNTIME_SHARED_LIBRARY_PATH, which is not there: correct or unset it"
	say "using ONNXRUNTIME_SHARED_LIBRARY_PATH"
	found=$ONNXRUNTIME_SHARED_LIBRARY_PATH
elif [ -n "$cuda" ] || [ -s "$cache/onnxruntime-gpu-$version/$library" ]; then
	folder=$cache/onnxruntime-gpu-$version
	install_library "$folder" onnxruntime-gpu
	[ -z "$cuda" ] || install_cuda "$folder"
	found=$folder/$library
else
	install_library "$cache/onnxruntime-$version" onnxruntime
	found=$cache/onnxruntime-$version/$library
fi
for extra in ${extras[@]+"${extras[@]}"}; do
	"$extra"
done
echo "$found"
