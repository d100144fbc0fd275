package step

import (
	"fmt"
	"math"
	"math/rand/v2"

	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/loss"
)

// trialSteps are enough for a loss that depends on an update of every tensor.
const trialSteps = 3

// Try trains a tiny network on a device for a few steps and holds its losses
// against the CPU provider's. It returns the nodes that fell back to the CPU
// provider; an error says that the device cannot train here.
func Try(device ort.Device) ([]Fallback, error) {
	return try("on "+device.String(), ort.Options{Device: device, Placement: true})
}

func try(where string, o ort.Options) ([]Fallback, error) {
	want, _, err := trialLosses(ort.Options{})
	if err != nil {
		return nil, fmt.Errorf("a training step on the CPU provider: %w", err)
	}
	got, list, err := trialLosses(o)
	if err != nil {
		return nil, fmt.Errorf("a training step %s: %w", where, err)
	}
	for i := range want {
		if d := math.Abs(got[i] - want[i]); !(d <= 0.01*want[i]) {
			return nil, fmt.Errorf("training steps %s go wrong: the loss of step %d is %g, on the CPU provider %g", where, i, got[i], want[i])
		}
	}
	return list, nil
}

// trialLosses trains a network with a layer of every usual kind.
func trialLosses(o ort.Options) (losses [trialSteps]float64, list []Fallback, err error) {
	s, err := trialSpec()
	if err != nil {
		return losses, nil, err
	}
	e, err := NewEngine(s, o)
	if err != nil {
		return losses, nil, err
	}
	defer e.Close()
	random := rand.New(rand.NewPCG(0, 0))
	images := make([]uint8, s.Batch*3*s.Height*s.Width)
	for i := range images {
		images[i] = uint8(random.UintN(256))
	}
	targets := []yolov5.Target{{Image: 0, Class: 0, X: .5, Y: .5, W: .3, H: .4}, {Image: 1, Class: 1, X: .3, Y: .6, W: .2, H: .2}}
	matches := s.Net.Assign(targets, s.Height, s.Width, s.Loss.AnchorT)
	for i := range losses {
		l, err := e.Accumulate(images, matches)
		if err != nil {
			return losses, nil, err
		}
		if losses[i] = l.Total; !l.Finite() {
			return losses, nil, fmt.Errorf("the loss is %g", l.Total)
		}
		if _, err := e.Step(Rates{LR: [3]float64{1e-2, 1e-2, 1e-2}, Momentum: .9, EMADecay: .5}); err != nil {
			return losses, nil, err
		}
	}
	list, err = e.Fallbacks()
	return losses, list, err
}

func trialSpec() (*Spec, error) {
	type row = []any
	layer := func(module string, args ...any) any { return row{int64(-1), int64(1), module, args} }
	net, err := yolov5.ParseTable(map[string]any{
		"nc": int64(2), "depth_multiple": 1.0, "width_multiple": 1.0,
		"anchors":  row{row{int64(10), int64(13), int64(16), int64(30)}},
		"backbone": row{layer("Conv", int64(8), int64(6), int64(2), int64(2)), layer("C3", int64(8)), layer("SPPF", int64(16), int64(5))},
		"head": row{layer("Conv", int64(8), int64(3), int64(2)), layer("nn.Upsample", nil, int64(2), "nearest"),
			row{row{int64(-1), int64(1)}, int64(1), "Concat", row{int64(1)}}, row{row{int64(-1)}, int64(1), "Detect", row{"nc", "anchors"}}},
	}, 0)
	if err != nil {
		return nil, err
	}
	state, err := net.Init(1)
	if err != nil {
		return nil, err
	}
	s := &Spec{Net: net, State: state, Batch: 2, Height: 32, Width: 32,
		Loss: loss.Options{Box: .05, Obj: 1, Cls: .5, ObjPW: 1, ClsPW: 1, AnchorT: 4}}
	s.Optimizer.Algorithm, s.Optimizer.ClipNorm = "SGD", ClipNorm
	return s, nil
}
