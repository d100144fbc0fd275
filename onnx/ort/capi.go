package ort

/*
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
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

// statusNoise is what the runtime puts around a message: layers it crossed, its
// own source places, CUDA's state.
var statusNoise = regexp.MustCompile(`^(?:.*\[ONNXRuntimeError\] : \d+ : \w+ : )?(?:\S*\.(?:h|cc):\d+ )?| ; GPU=-?\d+ ; hostname=.*$`)

// tidy makes a message of the runtime one line without its noise.
func tidy(text string) string {
	return statusNoise.ReplaceAllString(strings.Join(strings.Fields(text), " "), "")
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
	session := reflect.TypeFor[ort.DynamicAdvancedSession]().Field(0)
	if session.Type != reflect.TypeFor[*ort.AdvancedSession]() {
		return fmt.Errorf("onnxruntime_go: DynamicAdvancedSession begins with %s %v, not with its session", session.Name, session.Type)
	}
	if f := reflect.TypeFor[ort.AdvancedSession]().Field(0); f.Type.Kind() != reflect.Pointer || f.Name != "ortSession" {
		return fmt.Errorf("onnxruntime_go: AdvancedSession begins with %s %v, not with the runtime's session", f.Name, f.Type)
	}
	if f := reflect.TypeFor[ort.SessionOptions]().Field(0); f.Type.Kind() != reflect.Pointer || f.Name != "o" {
		return fmt.Errorf("onnxruntime_go: SessionOptions begins with %s %v, not with the runtime's options", f.Name, f.Type)
	}
	return nil
}
