package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"yolofreeze/onnx/ort"
)

// sharedFolder holds weights, pictures and recordings; "" where it is absent.
func sharedFolder() string {
	folder := os.Getenv("YOLOFREEZE_SHARED")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared")
	}
	folder, err := filepath.Abs(folder)
	if err == nil {
		_, err = os.Stat(folder)
	}
	if err != nil {
		return ""
	}
	return folder
}

// offerTools lets scripts find the shared folder as $SHARED, and the runtime,
// for which their home is too empty; what they cache goes with them.
func offerTools(e *testscript.Env) error {
	e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, ".cache"))
	e.Setenv("SHARED", sharedFolder())
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
		return sharedFolder() != "", nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}
