package ort

// #include "capi.h"
import "C"

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"yolofreeze/onnx/disk"
)

// cudaDefaults are the CUDA provider's options that differ from its own
// defaults or must not be left to chance. Convolution plans come from cuDNN's
// heuristics instead of trials; the arena grows by what is asked for, not by
// powers of two; copies stay on the stream of the kernels, which orders them.
var cudaDefaults = map[string]string{
	"cudnn_conv_algo_search":    "HEURISTIC",
	"do_copy_in_default_stream": "1",
	"arena_extend_strategy":     "kSameAsRequested",
	"prefer_nhwc":               "0",
}

// preloadCUDA loads what setup --cuda put beside the runtime, so that the
// provider finds it: a library comes after those it needs, hence the rounds.
func preloadCUDA(folder string) {
	waiting := disk.Glob(folder, "lib*.so*")
	for progress := true; progress; {
		progress = false
		for i := len(waiting) - 1; i >= 0; i-- {
			if preload(waiting[i]) {
				waiting, progress = slices.Delete(waiting, i, i+1), true
			}
		}
	}
}

// oldestDriver is the first NVIDIA driver for each major version of CUDA, by
// the support matrix of cuDNN.
var oldestDriver = map[int]string{12: "525.60", 13: "580.65"}

// needsCUDA reads which major version of CUDA the provider beside the runtime
// was linked with: the 13 of libcudart.so.13. It is 0 where that is not told.
func needsCUDA(folder string) int {
	f, err := elf.Open(filepath.Join(folder, "libonnxruntime_providers_cuda.so"))
	if err != nil {
		return 0
	}
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return 0
	}
	return linkedCUDA(libraries)
}

func linkedCUDA(libraries []string) int {
	for _, name := range libraries {
		for _, stem := range []string{"libcudart.so.", "libcublas.so."} {
			if major, err := strconv.Atoi(strings.TrimPrefix(name, stem)); err == nil {
				return major
			}
		}
	}
	return 0
}

// Driver is the version of the loaded NVIDIA driver, "" where there is none.
func Driver() string {
	text, err := os.ReadFile("/proc/driver/nvidia/version")
	if err != nil {
		return ""
	}
	return driverOf(string(text))
}

var driverLine = regexp.MustCompile(`(?m)^NVRM version:.* (\d+(?:\.\d+)+) `)

func driverOf(text string) string {
	if found := driverLine.FindStringSubmatch(text); found != nil {
		return found[1]
	}
	return ""
}

// driverSymbol is what the linker says when libcuda.so, whose functions are
// named so, is older than what the provider was built with.
var driverSymbol = regexp.MustCompile(`undefined symbol: cu[A-Z]`)

// older tells whether a version such as 535.104.05 comes before another.
func older(version, than string) bool {
	numbers := func(text string) (list []int) {
		for part := range strings.SplitSeq(text, ".") {
			n, _ := strconv.Atoi(part)
			list = append(list, n)
		}
		return list
	}
	return slices.Compare(numbers(version), numbers(than)) < 0
}

// What several reasons are cured by; checkDriver stands where nothing better is known.
const (
	checkDriver  = "check nvidia-smi, or use `device cpu`"
	noCode       = "this library has no code for a GPU of this generation: before Turing (compute capability 7.5) use an older library, for later ones a newer; or use `device cpu`"
	noGPU        = "no NVIDIA GPU is seen: check nvidia-smi and CUDA_VISIBLE_DEVICES, or use `device cpu`"
	held         = "another program holds the GPU's memory: nvidia-smi shows which"
	failedKernel = "a kernel failed on the GPU: dmesg shows faults of the hardware (Xid); with CUDA_LAUNCH_BLOCKING=1 the node named is the right one"
)

// unfitCUDNN names the version of cuDNN that is loaded, which is what a plan fails by.
func unfitCUDNN() string {
	version := int(C.capi_cudnn_version())
	if version == 0 {
		return "the loaded cuDNN has no plan for it: run yolofreeze setup --cuda, which installs one that fits"
	}
	return fmt.Sprintf("cuDNN %d.%d.%d, which is loaded, has no plan for it: run yolofreeze setup --cuda, which installs one that fits", version/10000, version/100%100, version%100)
}

// cudaCure says what a person can do about the reason the provider gave, for a
// provider linked with a major version of CUDA (0: not known) and a driver
// ("": none is loaded).
func cudaCure(reason string, major int, driver string) string {
	wanted := "CUDA"
	if major > 0 {
		wanted = fmt.Sprintf("CUDA %d", major)
	}
	oldest := oldestDriver[major]
	if oldest == "" {
		oldest = oldestDriver[13]
	}
	installed := "the NVIDIA driver"
	if driver != "" {
		installed += " " + driver
	}
	tooOld := fmt.Sprintf("%s is too old for this library's %s: install %s or newer", installed, wanted, oldest)
	if driverSymbol.MatchString(reason) {
		return tooOld
	}
	lower := strings.ToLower(reason)
	for _, c := range []struct{ sign, cure string }{
		{"insufficient", tooOld},
		{"forward compatibility", tooOld},
		{"unsupported display driver", installed + " and the CUDA libraries do not fit together: reboot after an update of the driver, or reinstall it"},
		{"driver/library version mismatch", installed + " is loaded, and another version's libcuda.so is installed: reboot after an update of the driver"},
		{"nokernelimage", noCode},
		{"no kernel image", noCode},
		{"no cuda-capable device", noGPU},
		{"and 0 (exclusive)", noGPU}, // the number of a device, of none
		{"invalid device", "there is no GPU of that number: nvidia-smi -L lists them, CUDA counts the fastest first unless CUDA_DEVICE_ORDER=PCI_BUS_ID"},
		{"busy or unavailable", "another program has the GPU to itself: nvidia-smi shows which, and whether its compute mode is exclusive"},
		{"out of memory", held},
		{"failed to allocate memory", held},
		{"_alloc_failed", held},
		{"cublas failure", "cuBLAS does not start, often since the GPU's memory is full: nvidia-smi shows who holds it"},
		{"libcuda.so", "the NVIDIA driver is missing: install " + oldest + " or newer, nvidia-smi must work"},
		{"version_mismatch", "the parts of cuDNN are of several versions: leave one in the library path, or run yolofreeze setup --cuda"},
		{"illegal memory access", failedKernel},
		{"launch failure", failedKernel},
		{"cudnn_fe failure", unfitCUDNN()},
		{"cudnn failure", unfitCUDNN()},
		{"libcudnn", "cuDNN 9 is missing from the library path: install it, or run yolofreeze setup --cuda"},
		{"undefined symbol", "a library of another version is found first: LD_LIBRARY_PATH must hold " + wanted + " and cuDNN 9 alone"},
		{"libcu", fmt.Sprintf("the CUDA libraries are missing from the library path, or those of another version are there: install %s, or run yolofreeze setup --cuda", wanted)},
		{"providers_shared", "a library is missing beside the runtime's: run yolofreeze setup --cuda"},
		{"providers_cuda", "the CUDA provider's library is not beside the runtime's: run yolofreeze setup --cuda"},
	} {
		if strings.Contains(lower, c.sign) {
			return c.cure
		}
	}
	if driver != "" && older(driver, oldest) {
		return tooOld
	}
	return checkDriver
}

// KnownCure says what a person can do about an error of a run on a device, "" where that is
// not known.
func KnownCure(d Device, err error) string {
	if d.Kind != CUDA {
		return ""
	}
	if cure := d.cure(err.Error()); cure != checkDriver {
		return cure
	}
	return ""
}
