package main

import (
	"fmt"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"yolofreeze/dataset/synth"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit/shared"
	"yolofreeze/onnx/yolov5"
)

// offerTools lets scripts find the shared folder as $SHARED, and the runtime,
// for which their home is too empty; what they cache goes with them.
func offerTools(e *testscript.Env) error {
	e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, ".cache"))
	e.Setenv("SHARED", shared.Root())
	if library, err := ort.Find(); err == nil {
		e.Setenv("ONNXRUNTIME_SHARED_LIBRARY_PATH", library)
	}
	small := filepath.Join(e.WorkDir, ".small.safetensors")
	e.Setenv("SMALL", small)
	return smallModel(small)
}

// smallModel writes a model for data sets of dataset synth, which scripts find as $SMALL.
func smallModel(path string) error {
	names, err := synth.Parse("plain")
	if err != nil {
		return err
	}
	net, err := yolov5.ParseTable(demoTable(), len(names))
	if err != nil {
		return err
	}
	state, err := net.Init(0)
	if err != nil {
		return err
	}
	return model.Save(path, &model.Model{Net: net, State: state, Names: names})
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
