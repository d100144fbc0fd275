package yolov5

import (
	"fmt"
	"math"
	"slices"

	"yolofreeze/onnx"
)

// LossSums gathers the loss of some pictures without a graph, as validation
// reports it. Sums of parts of a batch, added, are the batch's.
type LossSums struct {
	levels []levelSums
}

// levelSums are the numerators and denominators of one level's means.
type levelSums struct {
	box, cls, obj  float64
	matches, cells int
}

// LossSums computes the loss of raw outputs, float32 [N, anchors·(5+nc), H, W]
// per level, in float64. The matches' rows count from the first picture of heads.
func (net *Network) LossSums(heads []*onnx.Tensor, matches []Matches, o LossOptions) (LossSums, error) {
	if len(heads) != len(net.Anchors) || len(matches) != len(heads) {
		return LossSums{}, fmt.Errorf("compute the loss: %d outputs and %d matches for %d levels", len(heads), len(matches), len(net.Anchors))
	}
	s := LossSums{make([]levelSums, len(heads))}
	for i, head := range heads {
		h := headView{net: net, level: i, anchors: len(net.Anchors[i]), outputs: int(net.Outputs())}
		if err := h.open(head); err != nil {
			return LossSums{}, fmt.Errorf("compute the loss: output %d: %w", i, err)
		}
		s.levels[i] = h.sums(matches[i], o)
	}
	return s, nil
}

// Add adds the sums of further pictures.
func (s *LossSums) Add(more LossSums) {
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
func (s LossSums) Parts(net *Network, o LossOptions) (box, obj, cls float64) {
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

// headView reads one level's raw output.
type headView struct {
	net              *Network
	level            int
	anchors, outputs int
	n, cells         int // pictures; cells of a picture and anchor
	data             []float32
}

func (h *headView) open(t *onnx.Tensor) error {
	if t.DType != onnx.Float || len(t.Shape) != 4 || t.Shape[1] != int64(h.anchors*h.outputs) {
		return fmt.Errorf("%v %v, want float32 [N %d H W]", t.DType, t.Shape, h.anchors*h.outputs)
	}
	h.n, h.cells = int(t.Shape[0]), int(t.Shape[2]*t.Shape[3])
	h.data = onnx.Data[float32](t)
	return nil
}

// plane returns value k of all cells of one picture and anchor.
func (h *headView) plane(picture, anchor, k int) []float32 {
	start := ((picture*h.anchors+anchor)*h.outputs + k) * h.cells
	return h.data[start : start+h.cells]
}

func (h *headView) sums(m Matches, o LossOptions) levelSums {
	s := levelSums{cells: h.n * h.anchors * h.cells}
	truth := map[int64]float64{}
	for i, row := range m.Row {
		if m.Weight[i] == 0 {
			continue
		}
		picture, anchor, cell := int(row)/h.cells/h.anchors, int(row)/h.cells%h.anchors, int(row)%h.cells
		at := func(k int) float64 { return float64(h.plane(picture, anchor, k)[cell]) }
		aw, ah := float64(m.Anchor[2*i]), float64(m.Anchor[2*i+1])
		iou := ciou(2*sigmoid(at(0))-0.5, 2*sigmoid(at(1))-0.5, 4*square(sigmoid(at(2)))*aw, 4*square(sigmoid(at(3)))*ah,
			float64(m.Box[4*i]), float64(m.Box[4*i+1]), float64(m.Box[4*i+2]), float64(m.Box[4*i+3]))
		s.matches++
		s.box += 1 - iou
		truth[row] = max(iou, 0) // the last match of a cell stays
		if h.net.NC == 1 {
			continue
		}
		for c := range h.net.NC {
			hot := o.LabelSmoothing / 2
			if c == int(m.Class[i]) {
				hot = 1 - hot
			}
			s.cls += o.crossEntropy(at(5+c), hot, o.ClsPW)
		}
	}
	row := int64(0)
	for picture := range h.n {
		for anchor := range h.anchors {
			for _, x := range h.plane(picture, anchor, 4) {
				s.obj += o.crossEntropy(float64(x), truth[row], o.ObjPW)
				row++
			}
		}
	}
	return s
}

// crossEntropy is the scalar twin of lossBuilder's.
func (o LossOptions) crossEntropy(x, y, positive float64) float64 {
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
