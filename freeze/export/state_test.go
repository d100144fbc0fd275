package export

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx/torch"
)

// TestStateFile: what goes to PyTorch comes back, counters and anchors beside it.
func TestStateFile(t *testing.T) {
	m := fixture.SmallModel(t)
	for _, toHalf := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "small.pt")
		if err := WriteTorch(path, m, toHalf, StateFile); err != nil {
			t.Fatal(err)
		}
		c, err := torch.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		named, counters := model.TensorsOf(c), 0
		for name, got := range named {
			want := m.State[name]
			switch {
			case strings.HasSuffix(name, ".num_batches_tracked"):
				counters++
			case name == "model.4.anchors":
				if v := got.Float64s(); !slices.Equal(v, []float64{10. / 4, 13. / 4, 16. / 4, 30. / 4}) {
					t.Errorf("anchors %v", v)
				}
			case toHalf:
				if !slices.Equal(got.Raw, want.ToFloat16().Raw) {
					t.Errorf("half: %s differs", name)
				}
			case !slices.Equal(got.Raw, want.Raw):
				t.Errorf("%s differs", name)
			}
		}
		if counters != 9 || len(named) != len(m.State)+counters+1 {
			t.Errorf("half %t: %d tensors with %d counters", toHalf, len(named), counters)
		}
	}
	m.Net.Anchors = append(m.Net.Anchors, m.Net.Anchors[0][:1])
	if _, err := StateFile(m, false); err == nil || !strings.Contains(err.Error(), "level 1 has 1 anchors, level 0 2") {
		t.Errorf("anchors unlike: %v", err)
	}
}
