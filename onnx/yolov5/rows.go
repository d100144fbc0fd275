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
			h := headView{net: branch, level: i, anchors: len(branch.Anchors[i]), outputs: int(branch.Outputs())}
			t := heads[0]
			if err := h.open(t); err != nil {
				return nil, fmt.Errorf("decode: output %d: %w", net.Levels()-len(heads), err)
			}
			rows = h.rows(rows, int(t.Shape[3]), conf, zeros[:before], zeros[before:])
			heads = heads[1:]
		}
		before += branch.NC
	}
	return rows, nil
}

// rows appends a level's, with zeros for classes of other branches before and after its own.
func (h *headView) rows(rows []float32, width int, conf float64, before, after []float32) []float32 {
	stride := float64(h.net.Strides[h.level])
	least := below(conf)
	for a, anchor := range h.net.Anchors[h.level] {
		for cell, x := range h.plane(0, a, 4) {
			if x < least {
				continue
			}
			at := func(k int) float64 { return float64(h.plane(0, a, k)[cell]) }
			obj := sigmoid(float64(x))
			rows = append(rows,
				float32((2*sigmoid(at(0))-0.5+float64(cell%width))*stride),
				float32((2*sigmoid(at(1))-0.5+float64(cell/width))*stride),
				float32(4*square(sigmoid(at(2)))*anchor[0]),
				float32(4*square(sigmoid(at(3)))*anchor[1]),
				float32(obj))
			rows = append(h.classes(append(rows, before...), a, cell, below(conf/obj)), after...)
		}
	}
	return rows
}

// classes appends the probabilities of one cell, 0 for logits under least.
func (h *headView) classes(rows []float32, anchor, cell int, least float32) []float32 {
	logits := h.data[(anchor*h.outputs+5)*h.cells+cell:]
	for c := range h.outputs - 5 {
		p := float32(0)
		if x := logits[c*h.cells]; x >= least {
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
