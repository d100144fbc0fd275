package format

import (
	"os"
	"path/filepath"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/onnx/testkit/hostile"
)

// The exports of tools whose files no other fuzzing reads, one file of each being any bytes.

func FuzzCreateML(f *testing.F) {
	fuzzExport(f, "labelImg Create ML", "a.json", `[{"image":"../a.png","annotations":[{"label":"","coordinates":{"x":1e308,"width":-1}}]}]`)
}

func FuzzDatumaro(f *testing.F) {
	fuzzExport(f, "Datumaro", "annotations/train.json", `{"categories":{"label":{"labels":[{}]}},"items":[{"id":"a","annotations":[{"type":"polygon","label_id":9,"points":[1]}]}]}`)
}

func FuzzLabelStudio(f *testing.F) {
	fuzzExport(f, "Label Studio JSON", "project-1.json", shortStudio, studio("/data/local-files/?d=..%2Fa.png"))
}

func FuzzSupervisely(f *testing.F) {
	fuzzExport(f, "Supervisely", "train/ann/a.png.json", `{"size":{"width":1e9},"objects":[{"geometryType":"rectangle","points":{"exterior":[[1]]}}]}`)
}

func FuzzSuperviselyMeta(f *testing.F) {
	fuzzExport(f, "Supervisely", "meta.json", `{"classes":[{"title":""},{}]}`)
}

func FuzzLabelMap(f *testing.F) {
	fuzzExport(f, "CVAT VOC", "labelmap.txt", "a:::\n:::\n", "#")
}

func FuzzDarknet(f *testing.F) {
	fuzzExport(f, "CVAT YOLO 1.1", "obj.data", "train = /\nnames = obj.data\n", "=")
}

// fuzzExport has a file of an export be any bytes: what is read has its boxes in the picture, or an
// error says why there is none.
func fuzzExport(f *testing.F, name, file string, further ...string) {
	e := exports[name]
	root := tree(f, e.files)
	sound, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sound)
	for _, text := range further {
		f.Add([]byte(text))
	}
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		hostile.Put(t, filepath.Join(root, file), data)
		set, err := Open(root, dataset.ReadOptions{BadLabels: dataset.Clip})
		if err != nil {
			hostile.OneLine(t, err)
			return
		}
		for _, samples := range set.Splits {
			for _, s := range samples {
				for _, l := range s.Labels {
					if !(l.X >= 0 && l.X <= 1 && l.Y >= 0 && l.Y <= 1 && l.W > 0 && l.W <= 1 && l.H > 0 && l.H <= 1) {
						t.Errorf("let %+v through", l)
					}
				}
			}
		}
	})
}
