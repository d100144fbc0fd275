// Package packages says how ONNX Runtime and what goes with it is called where it is published,
// and where it lies once it is installed: names, versions, checksums. It is the one table for
// those who install (cmd/setup) and those who look for what is installed (onnx/ort).
package packages

import (
	"runtime"
	"strings"
)

// Platform is a system and a processor, as releases name them: linux-x64.
type Platform string

const (
	LinuxX64   Platform = "linux-x64"
	LinuxARM64 Platform = "linux-arm64"
	MacARM64   Platform = "macos-arm64"
	WindowsX64 Platform = "windows-x64"
)

// Platforms are those that ONNX Runtime is had for.
var Platforms = []Platform{LinuxX64, LinuxARM64, MacARM64, WindowsX64}

// Here is the platform of this process, whether anything is had for it or not.
func Here() Platform {
	system, processor := runtime.GOOS, runtime.GOARCH
	if system == "darwin" {
		system = "macos"
	}
	if processor == "amd64" {
		processor = "x64"
	}
	return Platform(system + "-" + processor)
}

func (p Platform) system() string {
	system, _, _ := strings.Cut(string(p), "-")
	return system
}

// Package is one of Python's packages, of which the libraries alone are used.
type Package struct {
	Name, Version string
	Folder        string              // where it is installed, in the cache folder
	Libraries     map[string]string   // by system: the file by which it is found
	Files         []string            // patterns of what is taken out of the wheel
	Sums          map[Platform]string // SHA-256 of the wheels (CPython 3.12 where there are several)
}

// Library is the file by which the package is found in its folder, "" where there is none for a platform.
func (p *Package) Library(on Platform) string { return p.Libraries[on.system()] }

const runtimeVersion = "1.30.0"

var runtimeLibraries = map[string]string{
	"linux": "libonnxruntime.so." + runtimeVersion, "macos": "libonnxruntime." + runtimeVersion + ".dylib", "windows": "onnxruntime.dll",
}

// runtimeFiles has what the libraries are called on all systems.
var runtimeFiles = []string{
	"onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt",
	"onnxruntime/capi/libonnxruntime_providers_shared.so", "onnxruntime/capi/libonnxruntime_providers_cuda.so",
	"onnxruntime/capi/onnxruntime_providers_shared.dll",
	"onnxruntime/capi/libonnxruntime.so.*", "onnxruntime/capi/libonnxruntime.*.dylib", "onnxruntime/capi/onnxruntime.dll",
}

// Runtime is ONNX Runtime, with the CPU provider.
var Runtime = Package{
	"onnxruntime", runtimeVersion, "onnxruntime-" + runtimeVersion, runtimeLibraries, runtimeFiles,
	map[Platform]string{
		LinuxX64:   "fa688e7891a6aa206636fe7372e27ee75fd17713289f6b4fc7b190e0a7de9328",
		LinuxARM64: "6c32a000d5139a38ba9349030b0032e3331acb559d596b22738d9d2b343a2b83",
		MacARM64:   "001ed726c9bd5e2bc92faade7d37d889e9606a350b7d5529f0227df2e3bb57fd",
		WindowsX64: "f3501472571f1b1eee50e017851e7929f5ea37312d2d8c2494a19e8fc58b4a38",
	},
}

// CUDA is ONNX Runtime with the CUDA provider, too.
var CUDA = Package{
	"onnxruntime-gpu", runtimeVersion, "onnxruntime-gpu-" + runtimeVersion, runtimeLibraries, runtimeFiles,
	map[Platform]string{LinuxX64: "6acc0f4b3d5ac5f2984432faa59dd8fcce6775f8b43a7140afa0f322c7a703b1"},
}

// StandIn is the same in a folder apart, where programs would not take it for one that works:
// for tests over stand-ins for CUDA.
var StandIn = Package{CUDA.Name, CUDA.Version, "cuda-standin-" + CUDA.Version, CUDA.Libraries, CUDA.Files, CUDA.Sums}

// CUDALibraries are what the CUDA provider needs of NVIDIA's libraries.
var CUDALibraries = []Package{
	nvidia("nvidia-cuda-runtime", "13.0.96", "libcudart.so.13", "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"),
	nvidia("nvidia-cublas", "13.1.0.3", "libcublas.so.13", "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171"),
	nvidia("nvidia-curand", "10.4.0.35", "libcurand.so.10", "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc"),
	nvidia("nvidia-cudnn-cu13", "9.19.0.56", "libcudnn.so.9", "d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf"),
}

// NVRTC is what cuDNN compiles kernels with.
var NVRTC = nvidia("nvidia-cuda-nvrtc", "13.0.88", "libnvrtc.so.13", "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575")

func nvidia(name, version, library, sum string) Package {
	return Package{name, version, CUDA.Folder + "/cuda", map[string]string{"linux": library},
		[]string{"nvidia/*/lib/*.so*"}, map[Platform]string{LinuxX64: sum}}
}

// WebGPU is a provider in a library of its own.
var WebGPU = Package{
	"onnxruntime-ep-webgpu", "0.4.0", "onnxruntime-ep-webgpu-0.4.0",
	map[string]string{"linux": "libonnxruntime_providers_webgpu.so", "macos": "libonnxruntime_providers_webgpu.dylib"},
	[]string{"onnxruntime_ep_webgpu/libonnxruntime_providers_webgpu.*"},
	map[Platform]string{
		LinuxX64:   "5d8c961eda91a88961cad1fb7621f389f006b18497d6ea9ecf96f729f066cbfb",
		LinuxARM64: "17f660db53b1a509c63e721ac6784a2daa1c4e91a968523ee9986505ee5b0a55",
		MacARM64:   "8d0a91d44b43d931c3068b9134aed9770f27803e353c2b58c93e1700bb68bcca",
	},
}

// OpenVINO is another.
var OpenVINO = Package{
	"onnxruntime-ep-openvino", "1.8.1", "onnxruntime-ep-openvino-1.8.1",
	map[string]string{"linux": "libonnxruntime_providers_openvino_plugin.so"},
	[]string{"onnxruntime_ep_openvino/*.so*", "onnxruntime_ep_openvino/cache.json", "onnxruntime_ep_openvino/*.txt"},
	map[Platform]string{LinuxX64: "3832643158c8c187fcab6db661cde2a8c06a2b3559d95d0f2411ac0e51c5e924"},
}

// OneDNN is what native kernels for the CPU compute with.
var OneDNN = Package{
	"onednn-cpu-gomp", "2023.2.0", "onednn-2023.2.0", map[string]string{"linux": "libdnnl.so.3"},
	[]string{"*.data/data/lib/libdnnl.so.3", "*.data/data/share/doc/onednn/LICENSE", "*.data/data/share/doc/onednn/THIRD-PARTY-PROGRAMS"},
	map[Platform]string{LinuxX64: "2f22a54d6a890ed14bfa185d42a4be65d8b5b1df85dc1f0f3a9abe31620416fb"},
}

// MPI is mpich: the library by which the ranks of a run talk, and the launcher that starts them.
var MPI = Package{
	"mpich", "5.0.2", "mpich-5.0.2", map[string]string{"linux": "libmpi_abi.so.1", "macos": "libmpi_abi.1.dylib"},
	[]string{"*.data/data/bin/mpiexec", "*.data/data/bin/mpiexec.hydra", "*.data/data/bin/hydra_pmi_proxy",
		"*.data/data/lib/lib*mpi_abi.*1*", "*.data/data/lib/mpich/*.so*", "*.dist-info/licenses/*"},
	map[Platform]string{
		LinuxX64:   "8fed465ebff269ea2ebac179a25de02671ddf8df476e0f115be089015015cfd4",
		LinuxARM64: "992ae6ebb0da97d49d7a67000ae8112da9a3825da1bb1e6f1d196428a0410f2d",
		MacARM64:   "fa6611d3efa2d5a5f624976458d25988bfd5626afc09402f662ff0defbb45cd4",
	},
}

// NCCL sums what lies in the memory of CUDA devices.
var NCCL = Package{
	"nvidia-nccl-cu13", "2.32.3", "nccl-2.32.3", map[string]string{"linux": "libnccl.so.2"},
	[]string{"nvidia/nccl/lib/libnccl.so.2", "*.dist-info/licenses/*"},
	map[Platform]string{LinuxX64: "1459723080ac889d73a26edfa3e04383a7928ab31ac8f0ec43b3ea9548b04ff3"},
}

// Node is the package of Node that holds ONNX Runtime for all platforms, for machines without Python.
var Node = struct {
	Name, Version, Sum string
	Libraries          map[Platform]string // Runtime's library in the package
}{
	"onnxruntime-node", runtimeVersion, "6e3390d6b783e7be946fad629292799da28d0b42f84856e50d2c1b0383291e75",
	map[Platform]string{
		LinuxX64:   "package/bin/napi-v6/linux/x64/libonnxruntime.so.1",
		LinuxARM64: "package/bin/napi-v6/linux/arm64/libonnxruntime.so.1",
		MacARM64:   "package/bin/napi-v6/darwin/arm64/libonnxruntime." + runtimeVersion + ".dylib",
	},
}
