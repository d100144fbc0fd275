package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"yolofreeze/dataset/synth"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx"
	"yolofreeze/onnx/collective"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit/shared"
	"yolofreeze/onnx/torch"
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
	if library, err := collective.FindMPI(); err == nil {
		e.Setenv("MPI", library)
	}
	releases := httptest.NewServer(http.HandlerFunc(serveReleases))
	e.Defer(releases.Close)
	e.Setenv("RELEASES", releases.URL)
	small := filepath.Join(e.WorkDir, ".small.safetensors")
	e.Setenv("SMALL", small)
	return smallModel(small)
}

// serveReleases is a mirror of YOLOv5's releases, and a proxy: it has yolov5n of v7.0 where
// the shared folder is there, a checkpoint under yolov5n6's name, and something else for yolov5s.
func serveReleases(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/v7.0/yolov5n.pt") && shared.Root() != "":
		http.ServeFile(w, r, filepath.Join(shared.Root(), "models", "yolov5n-v7.0.pt"))
	case strings.HasSuffix(r.URL.Path, "/v7.0/yolov5n6.pt"):
		data, err := torch.EncodeState([]torch.NamedTensor{{Name: "model.0.conv.weight", Tensor: onnx.Of([]float32{1}, 1, 1, 1, 1), Parameter: true}})
		if err != nil {
			panic(err)
		}
		w.Write(data)
	case strings.HasSuffix(r.URL.Path, "/v7.0/yolov5s.pt"):
		fmt.Fprint(w, "not what was asked for")
	default:
		http.NotFound(w, r)
	}
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

// condition answers [ort], the runtime loads, [mpi], its library is there, and [shared], the folder is.
func condition(name string) (bool, error) {
	switch name {
	case "ort":
		return ort.Init() == nil, nil
	case "mpi":
		_, err := collective.FindMPI()
		return err == nil, nil
	case "shared":
		return shared.Root() != "", nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}
