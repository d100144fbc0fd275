package loss

import (
	"fmt"
	"math"

	"yolofreeze/onnx"
	"yolofreeze/onnx/yolov5"
)

// Teacher is an older network whose outputs are targets for the classes that the
// labels say nothing of, so that they are not unlearnt while others are learnt.
//
// The terms are those of objectness scaled distillation (Mehta and Ozturk, Object
// detection at 200 frames per second, arXiv:1805.06361, section 4), with YOLOv5's own
// measures in them: the teacher's box and classes count as far as it sees an object. As in
// incremental learning (Shmelkov et al., arXiv:1708.06977) it answers for the old classes, the
// labels for the others. With the teacher's objectness o, class probabilities p and box b of a
// cell, and t the label's CIoU where a match is, 0 elsewhere:
//
//   - objectness: cross-entropy against y = max(t, o), which YOLOv5 takes against t alone: an old
//     object without a label is not punished as background. A cell weighs 1+(Weight-1)·o.
//   - class: the labels' cross-entropy is that of the classes they know. To it comes Weight times
//     the mean, weighed by y, of every cell's cross-entropy against p·o/y in the old classes, so
//     that the confidence of an old class stays o·p where a label raises objectness, and against 0
//     in the others but for cells with a match, where the label has told.
//   - box: to the labels' comes Weight times the mean, weighed by o, of 1-CIoU between the
//     network's box and b in cells without a match.
//
// Sums of weights under 1 count as 1: a batch in which the teacher sees next to nothing
// teaches next to nothing. Class targets are met without positive weights and focal loss, since
// the least loss would then lie beside them.
type Teacher struct {
	Net     *yolov5.Network
	Heads   []*onnx.Value // its raw outputs for the same pictures, per level
	Columns []int         // of each of its classes, the class of the network that learns; -1: labels decide on it
	Weight  float64       // of its terms; 1 is as if its finds were labels
}

// check refuses a teacher whose cells are not those of a network.
func (t *Teacher) check(net *yolov5.Network) error {
	if t == nil {
		return nil
	}
	if err := SameCells(t.Net, net); err != nil {
		return err
	}
	if len(t.Heads) != len(net.Anchors) || len(t.Columns) != t.Net.NC {
		return fmt.Errorf("a teacher of %d classes has %d outputs and columns for %d", t.Net.NC, len(t.Heads), len(t.Columns))
	}
	kept := 0
	for class, column := range t.Columns {
		if column >= net.NC {
			return fmt.Errorf("the teacher's class %d is class %d of %d", class, column, net.NC)
		}
		if column >= 0 {
			kept++
		}
	}
	if kept == 0 || !(t.Weight >= 0 && t.Weight <= math.MaxFloat32) {
		return fmt.Errorf("a teacher of weight %g keeps %d classes", t.Weight, kept)
	}
	return nil
}

// SameCells tells whether the outputs of two networks speak of the same cells: by
// strides and anchors, which may differ by what float16 rounds.
func SameCells(net, other *yolov5.Network) error {
	if len(net.Anchors) != len(other.Anchors) {
		return fmt.Errorf("%d levels, not %d", len(net.Anchors), len(other.Anchors))
	}
	for i, level := range net.Anchors {
		if net.Strides[i] != other.Strides[i] || len(level) != len(other.Anchors[i]) {
			return fmt.Errorf("level %d has stride %d and %d anchors, not %d and %d", i, net.Strides[i], len(level), other.Strides[i], len(other.Anchors[i]))
		}
		for k, a := range level {
			for side, v := range a {
				if w := other.Anchors[i][k][side]; !(math.Abs(v-w) <= 1e-3*w) {
					return fmt.Errorf("anchors %.4g, not %.4g", net.Anchors, other.Anchors)
				}
			}
		}
	}
	return nil
}

// soft is what a teacher says of the rows of one level.
type soft struct {
	*Teacher
	level      int
	objectness *onnx.Value // [rows, 1], as a probability
	classes    *onnx.Value // [rows, nc], probabilities of old classes, 0 in other columns
	xy, wh     *onnx.Value // [rows, 2], boxes in cells
	labels     *onnx.Value // [1, nc]: 1 where labels decide, 0 for old classes
}

// soft reads a teacher's output of a level; nil without one.
func (l builder) soft(t *Teacher, level int) *soft {
	if t == nil {
		return nil
	}
	s := &soft{Teacher: t, level: level}
	of := builder{Builder: l.Builder, net: t.Net}
	rows := of.rows(t.Heads[level], level)
	if l.Err() != nil {
		return s
	}
	nc := int64(l.net.NC)
	from, labels, old := make([]int64, nc), make([]float32, nc), make([]float32, nc)
	for i := range labels {
		labels[i] = 1
	}
	for class, column := range t.Columns {
		if column >= 0 {
			from[column], labels[column], old[column] = int64(class), 0, 1
		}
	}
	s.labels = l.Const(onnx.Of(labels, 1, nc))
	parts := l.Split(rows, 1, 2, 2, 1, int64(t.Net.NC))
	s.objectness = l.Sigmoid(parts[2])
	s.classes = l.Mul(l.Gather(l.Sigmoid(parts[3]), l.Ints(from...), 1), l.Const(onnx.Of(old, 1, nc)))
	s.xy, s.wh = of.boxes(parts[0], parts[1], t.Heads[level], level)
	return s
}

// scaled weighs cells by how surely the teacher sees an object in them.
func (s *soft) scaled(l builder, v *onnx.Value) *onnx.Value {
	if s == nil || s.Weight == 1 {
		return v
	}
	return l.Mul(v, l.Shift(l.Scale(s.objectness, s.Weight-1), 1))
}

// labelled leaves of a loss by class what labels decide.
func (s *soft) labelled(l builder, v *onnx.Value) *onnx.Value {
	if s == nil {
		return v
	}
	return l.Mul(v, s.labels)
}

// boxes decodes the box logits of a level's rows, [rows, 2] each: centre relative to the cell, and size, in cells.
func (l builder) boxes(x, size, head *onnx.Value, level int) (xy, wh *onnx.Value) {
	s, _ := head.Type.Static()
	stride, anchors := float64(l.net.Strides[level]), l.net.Anchors[level]
	cells := make([]float32, 0, 2*len(anchors))
	for _, a := range anchors {
		cells = append(cells, float32(a[0]/stride), float32(a[1]/stride))
	}
	n := int64(len(anchors))
	xy = l.Shift(l.Scale(l.Sigmoid(x), 2), -0.5)
	wh = l.Reshape(l.Square(l.Scale(l.Sigmoid(size), 2)), s[0], n, s[2]*s[3], 2)
	return xy, l.Reshape(l.Mul(wh, l.Const(onnx.Of(cells, 1, n, 1, 2))), -1, 2)
}

// distil is what the teacher adds to a level's box and class loss: truth is the target of
// objectness and matched 1 where a label is, both [rows, 1].
func (l builder) distil(rows, truth, matched *onnx.Value, s *soft) (box, cls *onnx.Value) {
	nc := int64(l.net.NC)
	parts := l.Split(rows, 1, 2, 2, 1, nc)
	mean := func(v, weight *onnx.Value) *onnx.Value { // v may have several columns, whose sum counts
		total := l.Max(l.ReduceSum(weight, false), l.Float(1))
		return l.Scale(l.Div(l.ReduceSum(l.Mul(v, weight), false), total), s.Weight)
	}
	xy, wh := l.boxes(parts[0], parts[1], s.Heads[s.level], s.level)
	iou := l.ciou(xy, wh, l.Concat(1, s.xy, s.wh))
	box = mean(l.Unsqueeze(l.OneMinus(iou), 1), l.Mul(s.objectness, l.OneMinus(matched)))

	// o/y; where the teacher's objectness is 0 in float32, so is the target.
	share := l.Div(s.objectness, l.Max(truth, l.Float(1e-30)))
	target := l.Mul(s.classes, share)
	entropy := l.Sub(l.Op("Softplus", nil, parts[3]), l.Mul(target, parts[3]))
	told := l.OneMinus(l.Mul(matched, s.labels))
	cls = l.Scale(mean(l.Mul(entropy, told), truth), 1/float64(nc))
	return box, cls
}
