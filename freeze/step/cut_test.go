package step

import (
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/yolov5"
)

// cachedRunner runs the frozen layers first, then trains from what they put out.
type cachedRunner struct {
	float32Runner
	graph *Bound
}

func (c cachedRunner) Accumulate(images []uint8, matches []yolov5.Matches) (Losses, error) {
	s := c.spec
	out, err := c.graph.Run(map[string]*onnx.Tensor{ImagesName: onnx.Of(images, int64(s.Batch), 3, int64(s.Height), int64(s.Width))})
	if err != nil {
		return Losses{}, err
	}
	feed := Inputs{}
	for name, features := range out {
		feed[name] = features.Raw
	}
	return c.AccumulateSized(feed, s.Batch, s.Height, s.Width, matches)
}

// TestRecordedStepsFeatures: ten steps from what frozen layers put out, kept in
// float32, are those of the recordings.
func TestRecordedStepsFeatures(t *testing.T) {
	eachRecording(t, func(t *testing.T, r *recording) {
		fixture.NeedORT(t)
		s := r.spec(t)
		if s.Plan == nil || CutOf(s.Plan) == 0 {
			t.Skip("no first layers are frozen with fixed statistics")
		}
		s.Cut = Cut{CutOf(s.Plan), onnx.Float}
		m, err := BuildFeatures(s.Net, s.State, s.Cut, onnx.Dims(int64(s.Batch), 3, int64(s.Height), int64(s.Width)))
		if err != nil {
			t.Fatal(err)
		}
		graph, err := Open(m, ort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer graph.Close()
		e, err := NewEngine(s, ort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		for _, in := range e.Graphs.Training.Inputs {
			if in.Name == ImagesName {
				t.Error("the training graph takes pictures")
			}
		}
		r.outcomeLimit().check(t, replay(t, r, cachedRunner{float32Runner{e}, graph}, r.Limit), r)
	})
}

// TestPlacementOfFeatures: both sides of a cut run on CUDA and the CPU, whichever type lies between.
func TestPlacementOfFeatures(t *testing.T) {
	table := fixture.Kernels(t)
	m := fixture.Blank(t, testkit.YOLOv5Table("n", 20))
	for _, frozen := range []string{"10", "24"} {
		for name, dtype := range map[string]onnx.DType{"fp16": onnx.Float16, "fp32": onnx.Float} {
			s := specOf(t, m, frozen, "eval", "SGD")
			s.Cut = Cut{CutOf(s.Plan), dtype}
			g, err := Build(s)
			if err != nil {
				t.Fatal(err)
			}
			before, err := BuildFeatures(m.Net, m.State, s.Cut, onnx.Dims(int64(s.Batch), 3, int64(s.Height), int64(s.Width)))
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range append(fixture.Misplaced(table, before), fixture.Misplaced(table, g.Training)...) {
				t.Errorf("frozen %s, %s: %s", frozen, name, line)
			}
			if nodes := len(g.Training.Nodes); nodes >= len(mustBuild(t, m, frozen).Training.Nodes) {
				t.Errorf("frozen %s, %s: %d nodes, no fewer than without the cut", frozen, name, nodes)
			}
		}
	}
}

func mustBuild(t *testing.T, m *model.Model, frozen string) *Graphs {
	t.Helper()
	g, err := Build(specOf(t, m, frozen, "eval", "SGD"))
	if err != nil {
		t.Fatal(err)
	}
	return g
}
