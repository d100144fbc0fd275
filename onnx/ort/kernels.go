package ort

// #include "capi.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"

	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/ort/native"
	"yolofreeze/onnx/ort/packages"
)

// dnnlVariable names a library to use instead of the one that setup installs.
const (
	dnnlVariable = "YOLOFREEZE_DNNL"
	cureNative   = "run yolofreeze setup --native, or set " + dnnlVariable + " to the library of oneDNN 3"
)

// findNative returns the path of oneDNN's library, with which native kernels compute: the
// one that YOLOFREEZE_DNNL names, then that of yolofreeze setup.
func findNative() (string, error) {
	if path := os.Getenv(dnnlVariable); path != "" {
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			return "", noNative(path, errors.New("no such file"), "correct or unset "+dnnlVariable)
		}
		return path, nil
	}
	cache, err := disk.CacheFolder()
	if err != nil {
		return "", noNative("", err, "set "+dnnlVariable)
	}
	path := filepath.Join(cache, packages.OneDNN.Folder, packages.OneDNN.Library(packages.LinuxX64))
	if _, err := os.Stat(path); err != nil {
		return "", noNative("", fmt.Errorf("no library in %s", filepath.Dir(path)), cureNative)
	}
	if foreign := (*disk.ForeignError)(nil); errors.As(disk.Own(filepath.Dir(path)), &foreign) {
		return "", noNative(path, foreign, "")
	}
	return path, nil
}

func noNative(path string, reason error, cure string) error {
	return &Unavailable{"oneDNN", path, reason, cure}
}

// InitNative finds and loads oneDNN's library, once per process. Its errors are *[Unavailable].
func InitNative() error {
	path, err := findNative()
	if err != nil {
		return err
	}
	if err := native.Load(path); err != nil {
		return noNative(path, err, cureNative)
	}
	return nil
}

// NativePath is the library that InitNative has loaded, "" before.
func NativePath() string { return native.Path() }

func (o Options) addNative(s *ort.SessionOptions) error {
	if !o.Native {
		return nil
	}
	if err := InitNative(); err != nil {
		return err
	}
	threads := o.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0) // no more than the process may have at once
	}
	return check(native.Register(unsafe.Pointer(C.capi_table()), optionsOf(s), threads))
}
