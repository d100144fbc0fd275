package step

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"yolofreeze/freeze"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/pass"
)

// TestFlatState: a state in flat memory, cut into small blocks through its tensors, takes the same
// steps, to the byte, as one whose every tensor lies and is updated by itself.
func TestFlatState(t *testing.T) {
	fixture.NeedORT(t)
	m := fixture.SmallModel(t)
	for _, algorithm := range Optimizers {
		for _, scale := range []string{"", "backbone=0.1,1=0.5"} {
			if scale == "" && algorithm != "SGD" {
				continue
			}
			t.Run(algorithm+scale, func(t *testing.T) {
				s := specOf(t, m, "1", "batch", algorithm)
				s.Optimizer.ClipNorm = 0.01 // below all norms
				if scale != "" {
					s.Plan.Rates = ratesOf(t, m, scale, 0.9)
				}
				images, matches := randomBatch(s)
				var engines [2]*Engine
				for i := range engines {
					g, err := Build(s)
					if err != nil {
						t.Fatal(err)
					}
					if i == 1 {
						inSmallBlocks(t, s, g)
					}
					e, err := newEngine(s, g, ort.Options{})
					if err != nil {
						t.Fatal(err)
					}
					defer e.Close()
					for step := range 3 {
						for range 1 + step%2 {
							if _, err := e.Accumulate(images, matches); err != nil {
								t.Fatal(err)
							}
						}
						if step == 1 { // a resumed run
							snapshot, err := e.Snapshot()
							if err != nil {
								t.Fatal(err)
							}
							e.Restore(snapshot)
						}
						norm, err := e.Step(Rates{LR: [3]float64{.1, .02, .03}, Momentum: .9, EMADecay: .5})
						if err != nil || norm <= s.Optimizer.ClipNorm {
							t.Fatalf("norm %g, error %v", norm, err)
						}
					}
					if _, err := e.Accumulate(images, matches); err != nil {
						t.Fatal(err)
					}
					engines[i] = e
				}
				single, flat := engines[0], engines[1]
				for _, pair := range [][2]map[string]*onnx.Tensor{{single.Trained, flat.Trained}, {single.Optimizer, flat.Optimizer}, {single.Gradients, flat.Gradients}} {
					if len(pair[0]) == 0 || len(pair[0]) != len(pair[1]) {
						t.Fatalf("%d tensors, in flat memory %d", len(pair[0]), len(pair[1]))
					}
					for name, want := range pair[0] {
						if got := pair[1][name]; !slices.Equal(got.Shape, want.Shape) || !bytes.Equal(got.Raw, want.Raw) {
							t.Errorf("%s differs", name)
						}
					}
				}
				gradients := func(e *Engine) (n int) {
					for _, p := range e.pieces {
						if p.gradient {
							n++
						}
					}
					return n
				}
				if n := gradients(flat); n != 1 || gradients(single) != len(single.Gradients) {
					t.Errorf("gradients are %d pieces", n)
				}
			})
		}
	}
}

// ratesOf are learning rates of a model's layers.
func ratesOf(t *testing.T, m *model.Model, scale string, decay float64) freeze.Rates {
	t.Helper()
	scales, err := freeze.ParseScales([]string{scale})
	if err != nil {
		t.Fatal(err)
	}
	net, err := m.Freezable()
	if err != nil {
		t.Fatal(err)
	}
	rates, err := freeze.NewRates(net, scales, decay)
	if err != nil {
		t.Fatal(err)
	}
	return rates
}

// inSmallBlocks lays a step's state out as for the CPU provider, in blocks that are smaller than some tensors.
func inSmallBlocks(t *testing.T, s *Spec, g *Graphs) {
	t.Helper()
	l := &layout{}
	l.trainable, l.params = inBlocks("parameters", g.Trainable, s.paced(g.Trainable), 192)
	l.moving, l.averaged = inBlocks("statistics", g.Moving, optimParams(g.Moving), 192)
	l.measured = optimParams(g.Trainable)
	rule := s.Optimizer
	rule.Measured = l.measured
	o, err := optim.Build(l.params, l.averaged, rule)
	if err != nil {
		t.Fatal(err)
	}
	g.layout, g.Optimizer = l, o
}

// TestLayout: tensors are aligned, none overlaps another, and blocks hold one group each and all of it.
func TestLayout(t *testing.T) {
	m := fixture.SmallModel(t)
	s := specOf(t, m, "1", "batch", "SGD")
	s.Plan.Rates = ratesOf(t, m, "2=0.5", 1)
	g, err := Build(s)
	if err != nil {
		t.Fatal(err)
	}
	for target, block := range blockSizes {
		l := layOut(target, g.Trainable, g.Moving, s.paced(g.Trainable))
		if len(l.trainable) != 1 || len(l.moving) != 1 || len(l.params) != 3 || len(l.averaged) != 1 {
			t.Fatalf("target %v: %d and %d pieces, %d and %d blocks", target, len(l.trainable), len(l.moving), len(l.params), len(l.averaged))
		}
		group := map[string]optim.Group{}
		for _, p := range optimParams(g.Trainable) {
			group[p.Name] = p.Group
		}
		var tensors, blocks int64
		for _, p := range l.trainable[0].parts {
			if p.block {
				b := l.params[slices.IndexFunc(l.params, func(b optim.Param) bool { return b.Name == p.name })]
				if p.from != blocks || b.Size > block || !b.Factors {
					t.Errorf("block %+v begins at %d, the one before ends at %d", b, p.from, blocks)
				}
				blocks += b.Size
				continue
			}
			if p.from < tensors || p.from%alignment != 0 {
				t.Errorf("%s begins at %d, the tensor before it ends at %d", p.name, p.from, tensors)
			}
			tensors = p.from + onnx.NumElements(p.shape)
		}
		if blocks != l.trainable[0].shape[0] || tensors > blocks {
			t.Errorf("blocks end at %d, tensors at %d, the memory at %v", blocks, tensors, l.trainable[0].shape)
		}
	}
	l := layOut(pass.WebGPU, g.Trainable, g.Moving, s.paced(g.Trainable))
	if len(l.trainable) != len(g.Trainable) || strings.Contains(fmt.Sprint(l), "parameters.") {
		t.Errorf("for WebGPU: %v", l)
	}
}
