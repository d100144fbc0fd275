package features

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/dataset/loader"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/testkit/hostile"
)

// FuzzIndex opens a cache with any index; where that can be read at all, its layout and checksum
// are made to fit.
func FuzzIndex(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "cache")
	layout := Layout{Layers: []int{1}, Bytes: []int64{4}, Views: 2, Images: 1, Classes: 2}
	w, err := Create(dir, layout)
	if err != nil {
		f.Fatal(err)
	}
	for view := range 2 {
		if err := w.Put(view, 0, [][]byte{[]byte("abcd")}, []loader.Target{{Class: 1, X: .5, Y: .5, W: .1, H: .1}}); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(dir, IndexFile)
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	sound, err := safetensors.Decode(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		if index, err := safetensors.Decode(data); err == nil {
			index.Metadata = map[string]string{"layout": sound.Metadata["layout"]}
			index.Metadata[SumKey] = safetensors.Sum(index, SumKey)
			if data, err = safetensors.Encode(index); err != nil {
				t.Fatal(err)
			}
		}
		hostile.Put(t, path, data)
		s, err := Open(dir, layout)
		if err != nil {
			if damage := (*DamagedError)(nil); !errors.As(err, &damage) || strings.Contains(err.Error(), "\n") {
				t.Errorf("not a DamagedError of one line: %q", err)
			}
			return
		}
		defer s.Close()
		for record := range layout.Records() {
			for _, target := range s.Targets(record) {
				if target.Class < 0 || target.Class > 1 || !(target.X >= 0 && target.X <= 1) {
					t.Errorf("let %+v through", target)
				}
			}
		}
		_ = s.Verify(t.Context()) // an error, or none
	})
}
