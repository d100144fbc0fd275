package export

import (
	"flag"
	"fmt"
	"path/filepath"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/wire"
)

var emit = flag.String("emit", "", "folder to write the exports of yolov5n into, for scripts/check-onnx.sh")

// TestPlacementOfExports: every node of the exports of the five models has a
// kernel on CUDA and on the CPU.
func TestPlacementOfExports(t *testing.T) {
	table := fixture.Kernels(t)
	for variant := range testkit.Variants {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			m := fixture.Blank(t, testkit.YOLOv5Table(variant, 20))
			exports := []Options{{Batch: 1, Height: 64, Width: 96}, {Batch: 1, Height: 64, Width: 96, Half: true}}
			if variant == "n" { // the larger ones add nothing here but time
				exports = append(exports, Options{Dynamic: true}, Options{Dynamic: true, Half: true}, Options{Dynamic: true, Int8: someRanges(t, m)})
			}
			for _, o := range exports {
				name := fmt.Sprintf("export-dynamic%t-half%t-int8%t", o.Dynamic, o.Half, o.Int8 != nil)
				g, err := ONNX(m, artifact.Source{File: "blank.pt"}, o)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				for _, line := range fixture.Misplaced(table, g) {
					t.Errorf("%s: %s", name, line)
				}
				if *emit == "" || variant != "n" {
					continue
				}
				if err := wire.Write(filepath.Join(*emit, name+".onnx"), g); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
