// Package loss is what YOLOv5's training makes less: as a graph, and as numbers that
// validation reports.
package loss

import (
	"fmt"
	"math"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/yolov5"
)

// Options are the hyperparameters that the loss depends on, by YOLOv5's names and before scaling.
type Options struct {
	Box, Obj, Cls  float64 // gains
	ObjPW, ClsPW   float64 // weights of positive targets in the two cross-entropies
	FLGamma        float64 // focal loss (Lin et al., arXiv:1708.02002); 0: none
	LabelSmoothing float64
	AnchorT        float64 // largest ratio of a target's side to its anchor's
	Weight         float64 // what Total is multiplied by; 0: 1
	Capacity       int     // matches that a level takes, no more and no fewer (Matches.Pad); 0: any number
}

// Scaled returns the options with the gains adapted to the number of levels
// and classes and to the picture's side, as training does before it starts.
func (o Options) Scaled(net *yolov5.Network, imageSize int64) Options {
	return o.ScaledTo(net, imageSize, imageSize)
}

// ScaledTo is Scaled for pictures of two sides, whose area counts.
func (o Options) ScaledTo(net *yolov5.Network, height, width int64) Options {
	levels := 3 / float64(len(net.Anchors))
	o.Box *= levels
	o.Cls *= float64(net.NC) / 80 * levels
	o.Obj *= float64(height) / 640 * (float64(width) / 640) * levels
	return o
}

// balance weighs the objectness of each level.
func balance(levels int) []float64 {
	if levels == 3 {
		return []float64{4, 1, 0.4}
	}
	return []float64{4, 1, 0.25, 0.06, 0.02}[:levels]
}

// matchInputs adds the inputs of yolov5.MatchNames to the graph. Their length is the
// capacity or, without one, a dimension of its own per level.
func matchInputs(b *op.Builder, level, capacity int) []*onnx.Value {
	m := onnx.Sym(fmt.Sprintf("matches%d", level))
	if capacity > 0 {
		m = onnx.Dim{Size: int64(capacity)}
	}
	names := yolov5.MatchNames(level)
	return []*onnx.Value{
		b.Input(names[0], onnx.Int64, []onnx.Dim{m}),
		b.Input(names[1], onnx.Float, []onnx.Dim{m, {Size: 4}}),
		b.Input(names[2], onnx.Float, []onnx.Dim{m, {Size: 2}}),
		b.Input(names[3], onnx.Int64, []onnx.Dim{m}),
		b.Input(names[4], onnx.Float, []onnx.Dim{m}),
		b.Input(names[5], onnx.Int64, []onnx.Dim{m}),
	}
}

// Losses are scalars of a training or evaluation graph.
type Losses struct {
	Total         *onnx.Value   // (box + objectness + class) · batch size · weight: what is differentiated
	Box, Obj, Cls *onnx.Value   // after gains
	Rows          []*onnx.Value // per level, the raw outputs as [N·anchors·H·W, 5+nc]
	Detached      []*onnx.Value // treated as constants by differentiation
}

// Build appends YOLOv5's loss for the raw outputs of Forward, and the inputs
// that carry the matches. o must be Scaled. Box: mean of 1-CIoU over matches
// (Zheng et al., arXiv:1911.08287); objectness: cross-entropy of every cell
// against the detached CIoU of its match; class: cross-entropy of matches.
// What a teacher, where there is one, adds to each is said at Teacher.
func Build(b *op.Builder, net *yolov5.Network, heads []*onnx.Value, o Options, teacher *Teacher) (Losses, error) {
	var sum Losses
	if err := teacher.check(net); err != nil {
		return sum, err
	}
	l := builder{b, net, o, &sum}
	add := func(to **onnx.Value, v *onnx.Value, gain float64) {
		if v = b.Scale(v, gain); *to != nil {
			v = b.Add(*to, v)
		}
		*to = v
	}
	weights := balance(len(heads))
	for i, head := range heads {
		b.In(fmt.Sprintf("loss/level%d", i), func() {
			rows := l.rows(head, i)
			if b.Err() != nil {
				return
			}
			m := matchInputs(b, i, o.Capacity)
			box, obj, cls := l.level(rows, m, l.soft(teacher, i))
			add(&sum.Box, box, o.Box)
			add(&sum.Obj, obj, o.Obj*weights[i])
			if cls != nil {
				add(&sum.Cls, cls, o.Cls)
			}
			sum.Rows = append(sum.Rows, rows)
		})
	}
	if b.Err() != nil {
		return sum, b.Err()
	}
	b.In("loss", func() {
		if sum.Cls == nil {
			sum.Cls = b.Float(0)
		}
		batch := heads[0].Type.Shape[0]
		if !batch.Known() {
			b.Fail("the batch size is not fixed")
		}
		weight := float64(batch.Size)
		if o.Weight > 0 {
			weight *= o.Weight
		}
		sum.Total = b.Scale(b.Add(b.Add(sum.Box, sum.Obj), sum.Cls), weight)
	})
	return sum, b.Err()
}

type builder struct {
	*op.Builder
	net  *yolov5.Network
	o    Options
	sums *Losses
}

// detach makes v a constant to differentiation.
func (l builder) detach(v *onnx.Value) { l.sums.Detached = append(l.sums.Detached, v) }

// rows lays a level's output out as [N·anchors·H·W, 5+nc].
func (l builder) rows(head *onnx.Value, level int) *onnx.Value {
	s, ok := head.Type.Static()
	if !ok {
		return l.Fail("the loss needs static shapes, not %v", head.Type)
	}
	na, no := int64(len(l.net.Anchors[level])), l.net.Outputs()
	x := l.Reshape(head, s[0], na, no, s[2]*s[3])
	return l.Reshape(l.Transpose(x, 0, 1, 3, 2), -1, no)
}

// level is the loss of one level's rows; s is what a teacher says of them, nil without one.
func (l builder) level(rows *onnx.Value, m []*onnx.Value, s *soft) (box, obj, cls *onnx.Value) {
	row, target, anchor, class, weight, winner := m[0], m[1], m[2], m[3], m[4], m[5]
	nc := int64(l.net.NC)
	objectness := l.Slice(rows, 1, 4, 5)
	matched := l.Gather(rows, row, 0)
	parts := l.Split(matched, 1, 2, 2, 1, nc)
	xy := l.Shift(l.Scale(l.Sigmoid(parts[0]), 2), -0.5)
	wh := l.Mul(l.Square(l.Scale(l.Sigmoid(parts[1]), 2)), anchor)
	iou := l.ciou(xy, wh, target)
	box = l.ReduceSum(l.Mul(weight, l.OneMinus(iou)), false)

	// A cell takes the IoU of the last match that names it (winner); matches
	// of weight 0 are padding.
	value := l.Mul(l.Max(iou, l.Float(0)), l.Op("Sign", nil, weight))
	value = l.Unsqueeze(l.Gather(value, winner, 0), 1)
	n, _ := rows.Type.Static()
	zeros := l.Op("Expand", nil, l.Float(0), l.Ints(n[0], 1))
	truth := l.Op("ScatterND", nil, zeros, l.Unsqueeze(row, 1), value)
	if s != nil {
		truth = l.Max(truth, s.objectness)
	}
	l.detach(truth)
	obj = l.ReduceMean(s.scaled(l, l.crossEntropy(objectness, truth, l.o.ObjPW)), false)

	if nc == 1 {
		return box, obj, nil
	}
	positive, negative := 1-l.o.LabelSmoothing/2, l.o.LabelSmoothing/2
	ids := make([]int64, nc)
	for i := range ids {
		ids[i] = int64(i)
	}
	hot := l.Cast(l.Op("Equal", nil, l.Unsqueeze(class, 1), l.Const(onnx.Of(ids, 1, nc))), onnx.Float)
	hot = l.Shift(l.Scale(hot, positive-negative), negative)
	perMatch := l.ReduceSum(s.labelled(l, l.crossEntropy(parts[3], hot, l.o.ClsPW)), false, 1)
	cls = l.Scale(l.ReduceSum(l.Mul(weight, perMatch), false), 1/float64(nc))
	if s != nil {
		matched := l.Gather(l.Op("Sign", nil, weight), winner, 0)
		matched = l.Op("ScatterND", nil, zeros, l.Unsqueeze(row, 1), l.Unsqueeze(matched, 1))
		softBox, softCls := l.distil(rows, truth, matched, s)
		box, cls = l.Add(box, softBox), l.Add(cls, softCls)
	}
	return box, obj, cls
}

// ciou is the complete IoU of predictions (xy, wh) [M,2] and targets [M,4], both centre and size in cells: [M].
func (l builder) ciou(xy, wh, target *onnx.Value) *onnx.Value {
	const eps = 1e-7
	t := l.Split(target, 1, 2, 2)
	low := func(c, s *onnx.Value) *onnx.Value { return l.Sub(c, l.Scale(s, 0.5)) }
	high := func(c, s *onnx.Value) *onnx.Value { return l.Add(c, l.Scale(s, 0.5)) }
	pl, ph, tl, th := low(xy, wh), high(xy, wh), low(t[0], t[1]), high(t[0], t[1])

	product := func(v *onnx.Value) *onnx.Value { // of width and height
		p := l.Split(v, 1, 1, 1)
		return l.Squeeze(l.Mul(p[0], p[1]), 1)
	}
	overlap := l.Op("Clip", nil, l.Sub(l.Min(ph, th), l.Max(pl, tl)), l.Float(0))
	inter := product(overlap)
	union := l.Shift(l.Sub(l.Add(product(wh), product(t[1])), inter), eps)
	iou := l.Div(inter, union)

	norm2 := func(v *onnx.Value) *onnx.Value { return l.ReduceSum(l.Square(v), false, 1) }
	diagonal := l.Shift(norm2(l.Sub(l.Max(ph, th), l.Min(pl, tl))), eps)
	distance := norm2(l.Sub(t[0], xy))

	angle := func(v *onnx.Value) *onnx.Value {
		p := l.Split(v, 1, 1, 1)
		return l.Op("Atan", nil, l.Div(p[0], p[1]))
	}
	v := l.Squeeze(l.Scale(l.Square(l.Sub(angle(t[1]), angle(wh))), 4/(math.Pi*math.Pi)), 1)
	alpha := l.Div(v, l.Shift(l.Sub(v, iou), 1+eps))
	l.detach(alpha)
	return l.Sub(iou, l.Add(l.Div(distance, diagonal), l.Mul(v, alpha)))
}

// crossEntropy is binary cross-entropy of logits x against targets y, positives
// weighted: (1-y)·softplus(x) + w·y·softplus(-x), as focal loss where asked
// for. Softplus of x rather than of -x keeps the many gradients of cells
// without an object, close to 0, from being differences of numbers close to 1.
func (l builder) crossEntropy(x, y *onnx.Value, positive float64) *onnx.Value {
	softplus := func(v *onnx.Value) *onnx.Value { return l.Op("Softplus", nil, v) }
	var loss *onnx.Value
	if positive == 1 {
		loss = l.Sub(softplus(x), l.Mul(y, x))
	} else {
		loss = l.Add(l.Mul(l.OneMinus(y), softplus(x)), l.Mul(l.Scale(y, positive), softplus(l.Neg(x))))
	}
	if l.o.FLGamma <= 0 {
		return loss
	}
	const alpha = 0.25
	p := l.Sigmoid(x)
	// 1-p_t and the balance factor, both linear in y
	miss := l.Sub(l.Add(p, y), l.Scale(l.Mul(p, y), 2))
	factor := l.Shift(l.Scale(y, 2*alpha-1), 1-alpha)
	return l.Mul(loss, l.Mul(factor, l.Op("Pow", nil, miss, l.Float(l.o.FLGamma))))
}
