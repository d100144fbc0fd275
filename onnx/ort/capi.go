package ort

/*
#cgo !windows LDFLAGS: -ldl
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"
)

// check turns an OrtStatus into an error and releases it.
func check(status unsafe.Pointer) error {
	if status == nil {
		return nil
	}
	text := C.GoString(C.capi_message(status))
	C.capi_release_status(status)
	return errors.New(tidy(text))
}

// statusNoise is what the runtime and onnxruntime_go put around a message: layers it
// crossed, its own source places and functions, CUDA's state.
var statusNoise = regexp.MustCompile(`^(?:.*\[ONNXRuntimeError\] : \d+ : \w+ : )?(?:Error creating C session: )?(?:\S*\.(?:h|cc):\d+ )?` +
	`(?:[\w:<>{}&* ]*::[\w:<>{}&* ]*\([^()]*\)(?: const)? )?| ; GPU=-?\d+ ; hostname=.*$`)

// callNoise is what its checks of CUDA's calls put in the midst of one, once for each layer,
// and how it says that the number of a device is none.
var callNoise = regexp.MustCompile(`(?:\S*\.(?:h|cc):\d+ )?std::conditional_t<[^>]*> onnxruntime::CudaCall\([^)]*\) \[with [^]]*\] |` +
	`\S*\.(?:h|cc):\d+ (?:operator\(\) )?|Parse Failed to parse provider option "device_id": `)

// tidy makes a message of the runtime one line without its noise.
func tidy(text string) string {
	line := callNoise.ReplaceAllString(strings.Join(strings.Fields(text), " "), "")
	return statusNoise.ReplaceAllString(line, "")
}

// sessionOf returns the OrtSession of an onnxruntime_go session, which guardInternals has looked at.
func sessionOf(s *ort.DynamicAdvancedSession) unsafe.Pointer {
	return **(**unsafe.Pointer)(unsafe.Pointer(s))
}

// optionsOf returns the OrtSessionOptions of onnxruntime_go's, which guardInternals has looked at.
func optionsOf(o *ort.SessionOptions) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(o)) }

// guardInternals makes sure that the fields of onnxruntime_go which this package
// reads are what they were in v1.27.0, so that another version fails at start-up
// with a message instead of in memory.
func guardInternals() error {
	return cmp.Or(begins[ort.DynamicAdvancedSession]("s", reflect.TypeFor[*ort.AdvancedSession]()),
		begins[ort.AdvancedSession]("ortSession", nil), begins[ort.SessionOptions]("o", nil))
}

// begins says how a struct begins otherwise than with a pointer of that name, and of
// that type: nil is one of C's, whose name here is cgo's affair.
func begins[T any](name string, typ reflect.Type) error {
	t, first := reflect.TypeFor[T](), "nothing"
	if t.NumField() > 0 {
		f := t.Field(0)
		if f.Name == name && f.Type.Kind() == reflect.Pointer && (typ == nil || f.Type == typ) {
			return nil
		}
		first = fmt.Sprintf("%s %v", f.Name, f.Type)
	}
	return fmt.Errorf("onnxruntime_go is of a version that is not known: %v begins with %s, not with the pointer %s", t, first, name)
}
