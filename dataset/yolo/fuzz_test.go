package yolo

import (
	"path/filepath"
	"testing"
	"time"

	"yolofreeze/dataset"
	"yolofreeze/onnx/testkit/hostile"
	"yolofreeze/onnx/yaml"
)

func timed(file, cache string) (*dataset.Set, time.Duration, error) {
	start := time.Now()
	set, err := Open(file, dataset.ReadOptions{CacheDir: cache})
	return set, time.Since(start), err
}

// FuzzLabelLine holds the label reader to its promise: whatever the bytes,
// every object it lets through is a box in the picture with a class in range.
func FuzzLabelLine(f *testing.F) {
	for _, s := range []string{
		"0 .5 .5 .2 .2\n", "1 .1 .1 .5 .1 .3 .9", "-1 1e309 nan 0x1 0,5", "\xef\xbb\xbf0\t1 1 1 1\r\n\r\n", "\xff\xfe0\x00", "1.5 2 2 2 2 2",
		"0 1.0001 .5 .2 .2\n1 .5 .5 0 0", "0 .5 .5 .2 .2\n0 .5 .5 .2 .2",
	} {
		f.Add([]byte(s))
	}
	hostile.Fuzz(f, func(t *testing.T, text []byte) {
		for _, policy := range []dataset.Policy{dataset.Reject, dataset.Clip, dataset.Drop} {
			o, err := dataset.ReadOptions{BadLabels: policy}.Checked()
			if err != nil {
				t.Fatal(err)
			}
			r := dataset.NewRecorder(3, o)
			parseLabels("a.txt", text, 0, r, nil)
			for _, l := range r.Labels() {
				if l.Class < 0 || l.Class > 2 || !(l.X >= 0 && l.X <= 1 && l.Y >= 0 && l.Y <= 1 && l.W > 0 && l.W <= 1 && l.H > 0 && l.H <= 1) {
					t.Errorf("%s: let %+v through", policy, l)
				}
			}
		}
	})
}

// FuzzDataYAML: any bytes give a configuration or a one-line error, soon.
func FuzzDataYAML(f *testing.F) {
	for _, s := range []string{
		twoClasses, "path: .\ntrain: [a, b]\nnames:\n  0: x\n  1: y\nnc: 2\n", "a: &a [*a]\nnames: *a\n", "names: {0: a, 1: {}}\ntrain: ~\n",
		"train: |\n  x\n y\nnames: [1.50, yes, ~]\n", "? [a]\n: b\n", "- - - x", "%YAML 1.2\n---\n...\n", "<<: {train: a}\nnames: !!str a",
	} {
		f.Add([]byte(s))
	}
	hostile.Fuzz(f, func(t *testing.T, text []byte) {
		root, err := yaml.Parse(text)
		if err != nil {
			return
		}
		c, err := newConfig(filepath.Join("d", "data.yaml"), root)
		if err == nil && (len(c.Names) == 0 || len(c.Splits) == 0) {
			t.Errorf("accepted %+v", c)
		}
	})
}
