package yolov5

import (
	"fmt"
	"math"

	"yolofreeze/onnx"
)

// Rows decodes raw outputs of one picture, float32 [1, anchors·(5+nc), H, W]
// per level, as Decode does, but only cells whose objectness exceeds conf: row
// after row of centre x, y, width, height in pixels, objectness, class
// probabilities. Probabilities that, times the objectness, stay below conf are 0.
func (net *Network) Rows(heads []*onnx.Tensor, conf float64) ([]float32, error) {
	if len(heads) != net.Levels() {
		return nil, fmt.Errorf("decode: %d outputs for %d levels", len(heads), net.Levels())
	}
	var rows []float32
	before := 0
	for _, branch := range net.Detects() {
		zeros := make([]float32, net.NC-branch.NC)
		for i := range branch.Anchors {
			t := heads[0]
			v, err := branch.View(i, t)
			if err != nil {
				return nil, fmt.Errorf("decode: output %d: %w", net.Levels()-len(heads), err)
			}
			rows = v.rows(rows, int(t.Shape[3]), conf, zeros[:before], zeros[before:])
			heads = heads[1:]
		}
		before += branch.NC
	}
	return rows, nil
}

// rows appends a level's, with zeros for classes of other branches before and after its own.
func (v *View) rows(rows []float32, width int, conf float64, before, after []float32) []float32 {
	stride := float64(v.net.Strides[v.level])
	least := below(conf)
	for a, anchor := range v.net.Anchors[v.level] {
		for cell, x := range v.Plane(0, a, 4) {
			if x < least {
				continue
			}
			at := func(k int) float64 { return float64(v.Plane(0, a, k)[cell]) }
			obj := sigmoid(float64(x))
			rows = append(rows,
				float32((2*sigmoid(at(0))-0.5+float64(cell%width))*stride),
				float32((2*sigmoid(at(1))-0.5+float64(cell/width))*stride),
				float32(4*square(sigmoid(at(2)))*anchor[0]),
				float32(4*square(sigmoid(at(3)))*anchor[1]),
				float32(obj))
			rows = append(v.classes(append(rows, before...), a, cell, below(conf/obj)), after...)
		}
	}
	return rows
}

// classes appends the probabilities of one cell, 0 for logits under least.
func (v *View) classes(rows []float32, anchor, cell int, least float32) []float32 {
	logits := v.data[(anchor*v.Outputs+5)*v.Cells+cell:]
	for c := range v.Outputs - 5 {
		p := float32(0)
		if x := logits[c*v.Cells]; x >= least {
			p = float32(sigmoid(float64(x)))
		}
		rows = append(rows, p)
	}
	return rows
}

// below returns a logit whose probability is surely, if barely, under p.
func below(p float64) float32 {
	switch {
	case p <= 0:
		return float32(math.Inf(-1))
	case p >= 1:
		return 10 // float32's sigmoid can round up to 1
	}
	return float32(math.Log(p/(1-p))) - 1e-3
}

func square(v float64) float64  { return v * v }
func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
