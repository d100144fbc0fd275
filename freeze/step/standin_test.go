package step

import (
	"strings"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/testkit/standin"
)

// budget is what a step may cost on CUDA; it may shrink, not grow.
type budget struct {
	freeze, bn string
	launches   int // of the training and the optimizer step
	uploads    int // copies to the device
	reduces    int // by cuDNN, one call of which counts as one launch and is several kernels
	plans      int // of cuDNN, in all
}

// stepBudgets are for yolov5s at 640 pixels, 16 pictures, stock operators.
var stepBudgets = []budget{
	{freeze: "0", bn: "batch", launches: 3811, uploads: 48, reduces: 3, plans: 119},
	{freeze: "10", bn: "eval", launches: 2151, uploads: 47, reduces: 3, plans: 86},
}

// mostStreams are those of the training, the gathering, the optimizer and the clearing graph: the provider
// makes one for each session and thread, and does not order what lies on two of them.
const mostStreams = 4

// standinSpec is yolov5s at full size with weights of zero.
func standinSpec(t *testing.T, frozen, bn string) *Spec {
	s := specOf(t, fixture.Blank(t, testkit.YOLOv5Table("s", 80)), frozen, bn, "SGD")
	s.Batch, s.Height, s.Width = 16, 640, 640
	s.Loss.Capacity = 1024 // of the batch's matches, which would have the graphs opened twice
	return s
}

// standinSteps takes steps over the stand-ins, the third between marks.
func standinSteps(t *testing.T, s *Spec, o ort.Options) {
	t.Helper()
	o.Device, o.Placement = ort.Device{Kind: ort.CUDA}, true
	e, err := NewEngine(s, o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	needNoFallback(t, e)
	images, matches := randomBatch(s)
	for i := range 3 {
		if i == 2 {
			standin.Mark(t, "step")
		}
		if _, err := e.Accumulate(images, matches); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Step(Rates{}); err != nil {
			t.Fatal(err)
		}
	}
	standin.Mark(t, "end")
}

// TestStandinStep: what a step launches, copies and waits for is within its budget, and
// every node runs on the device.
func TestStandinStep(t *testing.T) {
	for _, b := range stepBudgets {
		t.Run(b.freeze, func(t *testing.T) {
			trace := standin.Rerun(t)
			if trace == nil {
				standinSteps(t, standinSpec(t, b.freeze, b.bn), ort.Options{})
				return
			}
			step := trace.Between("step", "end")
			uploads, in := step.Copied("pageable", "device")
			pinned, more := step.Copied("pinned", "device")
			downloads, out := step.Copied("device", "pageable")
			got := budget{b.freeze, b.bn, step.Launches(), uploads + pinned, len(step.Of("reduce")), len(trace.Of("plan"))}
			t.Logf("%+v; %d bytes in from pageable memory, %d from pinned; %d allocations", got, in, more, len(trace.Of("allocate")))
			if got.launches > b.launches || got.uploads > b.uploads || got.reduces > b.reduces || got.plans > b.plans {
				t.Errorf("a step costs %+v, its budget is %+v", got, b)
			}
			if got.launches == 0 {
				t.Error("nothing was launched")
			}
			if pictures := int64(16 * 3 * 640 * 640); in > pictures/50 || more < pictures {
				t.Errorf("%d bytes come from pageable memory, %d from pinned: the %d of the pictures are to be pinned", in, more, pictures)
			}
			if s := step.Streams(); len(s) > mostStreams {
				t.Errorf("work is put on %d streams %v, want %d at most", len(s), s, mostStreams)
			}
			if streams, handles, blocks := len(step.Of("stream")), len(step.Of("handle")), len(step.Of("allocate")); streams+handles > 0 || blocks > 1 {
				t.Errorf("a later step makes %d streams, %d handles and %d blocks of memory, want none but one block", streams, handles, blocks)
			}
			if downloads != 5 || out != 20 { // four losses and the norm
				t.Errorf("%d copies with %d bytes come back, want 5 with 20", downloads, out)
			}
			if v := violations(trace); v != "" {
				t.Error(v)
			}
		})
	}
}

// violations lists what a stream's capture forbids.
func violations(trace standin.Trace) string {
	var lines []string
	for _, c := range trace.Of("violation") {
		lines = append(lines, strings.Join(c.Fields, " "))
	}
	return strings.Join(lines, "\n")
}

// TestStandinCapture: captured graphs do nothing that capture forbids, and a later step
// launches four graphs and the copies around them.
func TestStandinCapture(t *testing.T) {
	trace := standin.Rerun(t)
	if trace == nil {
		standinSteps(t, specOf(t, fixture.SmallModel(t), "2", "eval", "SGD"), ort.Options{Capture: true})
		return
	}
	if v := violations(trace); v != "" {
		t.Error(v)
	}
	step := trace.Between("step", "end")
	if n := step.Launches(); n > 20 {
		t.Errorf("a captured step launches %d times, want 20 at most", n)
	} else {
		t.Logf("%d launches, of which graphs %d", n, len(step.Of("graph")))
	}
	if n := len(step.Of("graph")); n != 4 {
		t.Errorf("a captured step launches %d graphs, want 4: clearing, training, gathering, optimizer", n)
	}
}
