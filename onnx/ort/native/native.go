//go:build !windows

// Package native computes whole layers of a training step on the CPU, forward and
// backward: oneDNN's convolutions and loops that do in one pass over memory what
// single operators do in ten. ONNX Runtime calls it for the nodes of domain
// yolofreeze; which these are, package op says. oneDNN's library is loaded when a
// session first wants it.
package native

/*
#cgo CFLAGS: -O3
#cgo LDFLAGS: -ldl -lpthread -lm
#include <stdlib.h>
#include "ort.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"
)

var (
	lock   sync.Mutex
	loaded string // path of the library
)

// Load loads oneDNN from a path, once for the process: another path later is an error.
func Load(path string) error {
	lock.Lock()
	defer lock.Unlock()
	if loaded != "" {
		if loaded != path {
			return fmt.Errorf("oneDNN is loaded already, from %s", loaded)
		}
		return nil
	}
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	if reason := C.dnnl_load(name); reason != nil {
		return errors.New(C.GoString(reason))
	}
	loaded = path
	return nil
}

// Path is that of the library that is loaded, "" where none is.
func Path() string {
	lock.Lock()
	defer lock.Unlock()
	return loaded
}

// Register adds the operators to session options (an OrtSessionOptions), through the
// runtime's table of functions; that many threads work on one, at most pool_most. Load must have
// succeeded. It returns the runtime's status, nil for success.
func Register(api, options unsafe.Pointer, threads int) unsafe.Pointer {
	lock.Lock()
	defer lock.Unlock()
	return unsafe.Pointer(C.ort_register(api, options, C.int(min(max(threads, 1), C.pool_most))))
}
