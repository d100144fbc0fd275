package main

import (
	"fmt"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit/shared"
)

// offerTools lets scripts find the shared folder as $SHARED, and the runtime,
// for which their home is too empty; what they cache goes with them.
func offerTools(e *testscript.Env) error {
	e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, ".cache"))
	e.Setenv("SHARED", shared.Root())
	if library, err := ort.Find(); err == nil {
		e.Setenv("ONNXRUNTIME_SHARED_LIBRARY_PATH", library)
	}
	return nil
}

// condition answers [ort], the runtime loads, and [shared], the folder is there.
func condition(name string) (bool, error) {
	switch name {
	case "ort":
		return ort.Init() == nil, nil
	case "shared":
		return shared.Root() != "", nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}
