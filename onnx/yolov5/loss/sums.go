package loss

import (
	"fmt"
	"math"
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/yolov5"
)

// Sums gathers the loss of some pictures without a graph, as validation
// reports it. Sums of parts of a batch, added, are the batch's.
type Sums struct {
	levels []levelSums
}

// levelSums are the numerators and denominators of one level's means.
type levelSums struct {
	box, cls, obj  float64
	matches, cells int
}

// Sum computes the loss of raw outputs, float32 [N, anchors·(5+nc), H, W]
// per level, in float64. The matches' rows count from the first picture of heads.
func Sum(net *yolov5.Network, heads []*onnx.Tensor, matches []yolov5.Matches, o Options) (Sums, error) {
	if len(heads) != len(net.Anchors) || len(matches) != len(heads) {
		return Sums{}, fmt.Errorf("compute the loss: %d outputs and %d matches for %d levels", len(heads), len(matches), len(net.Anchors))
	}
	s := Sums{make([]levelSums, len(heads))}
	for i, head := range heads {
		view, err := net.View(i, head)
		if err != nil {
			return Sums{}, fmt.Errorf("compute the loss: output %d: %w", i, err)
		}
		s.levels[i] = sumsOf(view, net.NC, matches[i], o)
	}
	return s, nil
}

// Add adds the sums of further pictures.
func (s *Sums) Add(more Sums) {
	if s.levels == nil {
		s.levels = slices.Clone(more.levels)
		return
	}
	for i, m := range more.levels {
		l := &s.levels[i]
		l.box, l.cls, l.obj = l.box+m.box, l.cls+m.cls, l.obj+m.obj
		l.matches, l.cells = l.matches+m.matches, l.cells+m.cells
	}
}

// Parts returns box, objectness and class loss after gains, of everything
// added, as one batch. o must be Scaled.
func (s Sums) Parts(net *yolov5.Network, o Options) (box, obj, cls float64) {
	weights := balance(len(s.levels))
	for i, l := range s.levels {
		obj += o.Obj * weights[i] * l.obj / float64(max(l.cells, 1))
		if l.matches == 0 {
			continue
		}
		box += o.Box * l.box / float64(l.matches)
		if net.NC > 1 {
			cls += o.Cls * l.cls / float64(l.matches*net.NC)
		}
	}
	return box, obj, cls
}

// sumsOf are the sums of one level of a network of nc classes.
func sumsOf(h *yolov5.View, nc int, m yolov5.Matches, o Options) levelSums {
	s := levelSums{cells: h.Pictures * h.Anchors * h.Cells}
	truth := map[int64]float64{}
	for i, row := range m.Row {
		if m.Weight[i] == 0 {
			continue
		}
		picture, anchor, cell := int(row)/h.Cells/h.Anchors, int(row)/h.Cells%h.Anchors, int(row)%h.Cells
		at := func(k int) float64 { return float64(h.Plane(picture, anchor, k)[cell]) }
		aw, ah := float64(m.Anchor[2*i]), float64(m.Anchor[2*i+1])
		iou := ciou(2*sigmoid(at(0))-0.5, 2*sigmoid(at(1))-0.5, 4*square(sigmoid(at(2)))*aw, 4*square(sigmoid(at(3)))*ah,
			float64(m.Box[4*i]), float64(m.Box[4*i+1]), float64(m.Box[4*i+2]), float64(m.Box[4*i+3]))
		s.matches++
		s.box += 1 - iou
		truth[row] = max(iou, 0) // the last match of a cell stays
		if nc == 1 {
			continue
		}
		for c := range nc {
			hot := o.LabelSmoothing / 2
			if c == int(m.Class[i]) {
				hot = 1 - hot
			}
			s.cls += o.crossEntropy(at(5+c), hot, o.ClsPW)
		}
	}
	row := int64(0)
	for picture := range h.Pictures {
		for anchor := range h.Anchors {
			for _, x := range h.Plane(picture, anchor, 4) {
				s.obj += o.crossEntropy(float64(x), truth[row], o.ObjPW)
				row++
			}
		}
	}
	return s
}

// crossEntropy is the scalar twin of builder's.
func (o Options) crossEntropy(x, y, positive float64) float64 {
	loss := (1-y)*softplus(x) + positive*y*softplus(-x)
	if o.FLGamma <= 0 {
		return loss
	}
	const alpha = 0.25
	p := sigmoid(x)
	return loss * (y*alpha + (1-y)*(1-alpha)) * math.Pow(1-(y*p+(1-y)*(1-p)), o.FLGamma)
}

// ciou is the complete IoU of two boxes given by centre and size.
func ciou(x, y, w, h, tx, ty, tw, th float64) float64 {
	const eps = 1e-7
	low := func(c, s float64) float64 { return c - s/2 }
	high := func(c, s float64) float64 { return c + s/2 }
	inter := max(0, min(high(x, w), high(tx, tw))-max(low(x, w), low(tx, tw))) *
		max(0, min(high(y, h), high(ty, th))-max(low(y, h), low(ty, th)))
	iou := inter / (w*h + tw*th - inter + eps)
	diagonal := square(max(high(x, w), high(tx, tw))-min(low(x, w), low(tx, tw))) +
		square(max(high(y, h), high(ty, th))-min(low(y, h), low(ty, th))) + eps
	distance := square(tx-x) + square(ty-y)
	v := 4 / (math.Pi * math.Pi) * square(math.Atan(tw/th)-math.Atan(w/h))
	return iou - (distance/diagonal + v*v/(v-iou+1+eps))
}

func square(v float64) float64   { return v * v }
func sigmoid(x float64) float64  { return 1 / (1 + math.Exp(-x)) }
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }
