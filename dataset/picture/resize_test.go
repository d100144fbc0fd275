package picture

import (
	"path"
	"testing"

	"yolofreeze/onnx/testkit/shared"
)

// TestRecordedLetterbox holds resizing and padding against OpenCV's results on
// the pixels that OpenCV decoded.
func TestRecordedLetterbox(t *testing.T) {
	recorded := recordedImages(t, shared.Path(t, "golden", "pictures", "letterbox.safetensors"))
	letterbox := func(w, h int, o LetterboxOptions) func(src, want *Image) *Image {
		return func(src, _ *Image) *Image {
			out, _ := Letterbox(src, w, h, o)
			return out
		}
	}
	resize := func(area bool) func(src, want *Image) *Image {
		return func(src, want *Image) *Image {
			return Resize(src, want.Width, want.Height, area)
		}
	}
	ways := map[string]func(src, want *Image) *Image{
		"area320":          resize(true),
		"linear320":        resize(false),
		"letterbox320":     letterbox(320, 320, LetterboxOptions{Enlarge: true}),
		"letterbox640auto": letterbox(640, 640, LetterboxOptions{Enlarge: true, Auto: true}),
	}
	seen := map[string]int{}
	for name, want := range recorded {
		way := ways[path.Dir(name)]
		if way == nil {
			continue
		}
		seen[path.Dir(name)]++
		t.Run(name, func(t *testing.T) {
			got := way(recorded["decoded/"+path.Base(name)], want)
			mean, most, share := difference(t, got, want)
			t.Logf("mean difference %.5f, largest %d, %.3f %% of samples differ", mean, most, 100*share)
			if most > 1 {
				t.Errorf("differs from OpenCV by up to %d levels", most)
			}
		})
	}
	for way := range ways {
		if seen[way] == 0 {
			t.Errorf("no recording for %s", way)
		}
	}
}
