#!/usr/bin/env bash
# Puts ONNX Runtime with its CUDA provider beside stand-ins for CUDA's libraries, so that the
# provider runs without a GPU: every call is counted, nothing is computed.
# usage: onnx/testkit/standin/build.sh PROVIDER FOLDER
#   PROVIDER  folder that scripts/setup.sh --standin (or --cuda) has filled
#   FOLDER    gets links to its libraries, and the stand-ins in cuda/
# Programs then run with ONNXRUNTIME_SHARED_LIBRARY_PATH=FOLDER/libonnxruntime.so.VERSION and
#   STANDIN_TRACE=FILE      calls are appended there      STANDIN_MEMORY=BYTES  memory of a device (80 GiB)
#   STANDIN_DEVICES=N       devices (1)                   STANDIN_FAULT=CALL=CODE[@N]  the call fails, from its Nth on
set -euo pipefail
provider=$(cd "${1:?folder of the provider}" && pwd) folder=${2:?folder to make}
cd "$(dirname "${BASH_SOURCE[0]}")/src"
mkdir -p "$folder/cuda"
ln -sf "$provider"/libonnxruntime.so.* "$provider"/libonnxruntime_providers_{shared,cuda}.so "$folder/"
compile() { # NAME SOURCE [flags]
	echo "$1 { global: *; };" >"$folder/$1.map" # versioned as the provider asks for it
	"${CC:-cc}" -O1 -w -std=gnu11 -fPIC -shared -Wl,-soname,"$1" -Wl,--version-script="$folder/$1.map" -o "$folder/cuda/$1" "$2" "${@:3}"
	rm "$folder/$1.map"
}
compile libcudart.so.13 cudart.c -lpthread
compile libcublas.so.13 cublas.c "$folder/cuda/libcudart.so.13"
compile libcublasLt.so.13 cublaslt.c "$folder/cuda/libcudart.so.13"
compile libcudnn.so.9 cudnn.c "$folder/cuda/libcudart.so.13"
compile libcurand.so.10 driver.c
compile libcuda.so.1 driver.c
