package ort

/*
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"

	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/machine"
	"yolofreeze/onnx/ort/packages"
)

// oldestMinor is of the first version whose packages carry a whole library and whose
// CUDA kernels cover opset 17.
const oldestMinor = 27

// LibraryVariable names a library to use before any other.
const LibraryVariable = "ONNXRUNTIME_SHARED_LIBRARY_PATH"

// Unavailable says that the runtime's library or an execution provider is
// missing or unfit. Programs exit with code 4 on it.
type Unavailable struct {
	What   string // "ONNX Runtime", or a device such as "cuda:0"
	Path   string // of the library, where one was found
	Reason error
	Cure   string // what a person can do
}

func (e *Unavailable) Error() string {
	text := e.What + " is not available"
	if e.Path != "" {
		text += ": " + e.Path
	}
	text += ": " + e.Reason.Error()
	if e.Cure != "" {
		text += "; " + e.Cure
	}
	return text
}

func (e *Unavailable) Unwrap() error { return e.Reason }

// ExitCode is the exit code of a program that cannot go on.
func (e *Unavailable) ExitCode() int { return 4 }

// Find returns the path of the shared library: the one that
// ONNXRUNTIME_SHARED_LIBRARY_PATH names, then one with CUDA in the user's cache folder,
// where setup puts it, then the one in lib beside the program, as archives of releases
// have it, then one without CUDA in the cache folder, then the system's.
func Find() (string, error) {
	if path := os.Getenv(LibraryVariable); path != "" {
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			return "", &Unavailable{"ONNX Runtime", path, errors.New("no such file"), "correct or unset " + LibraryVariable}
		}
		return path, nil
	}
	var searched []string
	for _, p := range libraryPlaces() {
		if found := disk.Glob(p.folder, p.pattern); len(found) > 0 {
			path := found[len(found)-1]
			if foreign := (*disk.ForeignError)(nil); p.own && errors.As(disk.Own(p.folder), &foreign) {
				return "", &Unavailable{"ONNX Runtime", path, foreign, ""}
			}
			return path, nil
		}
		searched = append(searched, p.folder)
	}
	return "", &Unavailable{What: "ONNX Runtime",
		Reason: fmt.Errorf("no library in %s", strings.Join(searched, ", ")),
		Cure:   "run yolofreeze setup, or set " + LibraryVariable}
}

type libraryPlace struct {
	folder, pattern string
	own             bool // in the user's cache folder: nobody else may have put it there
}

func libraryPlaces() []libraryPlace {
	file, exact := "libonnxruntime.so*", packages.Runtime.Library(packages.Here())
	if runtime.GOOS == "darwin" {
		file = "libonnxruntime*.dylib"
	}
	var places []libraryPlace
	cache, err := disk.CacheFolder()
	add := func(p packages.Package) {
		if err == nil {
			places = append(places, libraryPlace{filepath.Join(cache, p.Folder), exact, true})
		}
	}
	add(packages.CUDA)
	if beside := Beside(); beside != "" {
		places = append(places, libraryPlace{beside, exact, false})
	}
	add(packages.Runtime)
	if runtime.GOOS == "windows" {
		return places // the system's own may be of any age
	}
	folders := filepath.SplitList(os.Getenv("LD_LIBRARY_PATH"))
	folders = append(folders, "/usr/local/lib", "/usr/lib", "/usr/lib64", "/usr/lib/"+multiarch[runtime.GOARCH], "/opt/homebrew/lib")
	for _, folder := range folders {
		if folder != "" {
			places = append(places, libraryPlace{folder, file, false})
		}
	}
	return places
}

// Beside is the folder of libraries beside the program, as archives of releases have it; "" where
// the program's own place is not known.
func Beside() string {
	program, err := os.Executable()
	if err != nil { // as where /proc is not mounted
		if program, err = exec.LookPath(os.Args[0]); err == nil {
			program, err = filepath.Abs(program)
		}
	}
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	if err != nil {
		return ""
	}
	return filepath.Join(filepath.Dir(program), "lib")
}

var multiarch = map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}

// noTelemetry is a variable by which ONNX Runtime (seen with 1.30), and the WebGPU
// provider with a copy of its own, is told not to report what it does to its maker.
// Else each process would keep events in the user's cache folder, leave a file in
// /tmp, and have threads of theirs send it.
const noTelemetry = "ORT_DISABLE_TELEMETRY"

// addressSpace is what the library, its threads' stacks (8 MB each) and their allocators (64 MB each)
// and Go's own reserve beyond what they use. With less, Go or the library may end the process
// at any point, with a trace and nothing to be done about it.
const addressSpace = 1 << 30

var load = sync.OnceValue(func() error {
	if _, set := os.LookupEnv(noTelemetry); !set {
		os.Setenv(noTelemetry, "1")
	}
	path, err := Find()
	if err != nil {
		return err
	}
	unfit := func(reason error) error {
		return &Unavailable{"ONNX Runtime", path, reason, "run yolofreeze setup, or set " + LibraryVariable + " to another library"}
	}
	if err := guardInternals(); err != nil {
		return unfit(err)
	}
	if left := machine.AddressSpace(); left < addressSpace {
		return &Unavailable{"ONNX Runtime", "", fmt.Errorf("a limit on this process (ulimit -v or -d) leaves it %d MB of address space, and %d are needed", left>>20, addressSpace>>20),
			"raise the limit, or limit memory by a control group, which counts what is used and not what is reserved"}
	}
	cpath := C.CString(path)
	defer C.free(unsafe.Pointer(cpath))
	var version, reason *C.char
	loaded := C.capi_load(cpath, &version, &reason) != 0
	if v := C.GoString(version); v != "" && !recent(v) {
		return unfit(fmt.Errorf("version %s, 1.%d or newer is needed", v, oldestMinor))
	}
	if !loaded {
		return unfit(errors.New(C.GoString(reason)))
	}
	ort.SetSharedLibraryPath(path)
	// What the runtime would log comes back as errors too; nobody needs both.
	if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
		return unfit(err)
	}
	if err := check(C.capi_environment()); err != nil {
		return unfit(err)
	}
	loadedPath = path
	return nil
})

var loadedPath string

// recent reports whether a version such as 1.30.0 is one this package was made for.
func recent(version string) bool {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, err1 := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	return err1 == nil && err2 == nil && (a > 1 || a == 1 && b >= oldestMinor)
}

// Init loads the library, once per process; later calls return the first call's
// result. Its errors are *[Unavailable].
func Init() error { return load() }

// Version returns the loaded library's version, "" before Init has succeeded.
func Version() string {
	if loadedPath == "" {
		return ""
	}
	return ort.GetVersion()
}

// Path returns the loaded library's path, "" before Init has succeeded.
func Path() string { return loadedPath }
