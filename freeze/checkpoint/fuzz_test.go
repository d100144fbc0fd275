package checkpoint

import (
	"path/filepath"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/options"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/testkit/hostile"
)

// FuzzRead reads checkpoints with any state, whose checksum fits.
func FuzzRead(f *testing.F) {
	file, err := fixture.SmallModel(f).File()
	if err != nil {
		f.Fatal(err)
	}
	state, err := describe(&State{Options: options.Defaults(), Progress: Progress{Epoch: 1, Batch: 2, Iteration: 6, LastStep: 5, Steps: 6}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(state))
	f.Add([]byte(`{"options":"a: &a [*a]","progress":{"epoch":-5,"batch":1e99}}`))
	path := filepath.Join(f.TempDir(), LastFile)
	hostile.Fuzz(f, func(t *testing.T, state []byte) {
		file.Metadata[stateKey] = string(state)
		file.Metadata[sumKey] = safetensors.Sum(file, sumKey)
		data, err := safetensors.Encode(file)
		if err != nil {
			return // not a text
		}
		hostile.Put(t, path, data)
		s, err := Read(path)
		if err != nil {
			hostile.OneLine(t, err)
			return
		}
		if err := s.Progress.check(); err != nil {
			t.Error(err)
		}
	})
}
