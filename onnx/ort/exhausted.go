package ort

/*
#include "capi.h"
*/
import "C"

import "regexp"

// exhausted is how the runtime, its arenas and the libraries below them say
// that memory is not to be had (core/framework/bfc_arena.cc, CUDA, cuBLAS, cuDNN, Dawn, C++).
var exhausted = regexp.MustCompile(`(?i)failed to allocate|smaller than requested bytes|out of (device |host )?memory|_alloc_failed|bad[ _]alloc`)

// OutOfMemory reports whether a session failed to open or to run because a
// device's memory, or the host's, was not enough.
func OutOfMemory(err error) bool { return err != nil && exhausted.MatchString(err.Error()) }

// FreeMemory returns the bytes of a device's own memory that no program holds;
// false where that is not known. CUDA tells once a session has been tried there.
func (d Device) FreeMemory() (int64, bool) {
	if d.Kind != CUDA {
		return 0, false
	}
	var free, total C.size_t
	ok := C.capi_cuda_memory(C.int(d.Index), &free, &total) != 0
	return int64(free), ok
}
