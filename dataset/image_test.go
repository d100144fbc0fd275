package dataset_test

import (
	"strings"
	"testing"

	"yolofreeze/dataset"
)

func TestRecordedDecode(t *testing.T) {
	recorded := recordedImages(t, sharedPath(t, "golden", "pictures", "letterbox.safetensors"))
	for name, want := range recorded {
		id, ok := strings.CutPrefix(name, "decoded/")
		if !ok {
			continue
		}
		t.Run(id, func(t *testing.T) {
			got, err := dataset.Decode(sharedPath(t, "data", "coco256", "images", "val2017", id+".jpg"), dataset.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			mean, most, share := difference(t, got, want)
			t.Logf("mean difference %.4f, largest %d, %.2f %% of samples differ", mean, most, 100*share)
			if mean > 0.1 || most > 6 {
				t.Errorf("decoded pixels differ from OpenCV's: mean %.4f, largest %d", mean, most)
			}
		})
	}
}
