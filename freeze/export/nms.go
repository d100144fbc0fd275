package export

import (
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// NMS puts non-maximum suppression into an export.
type NMS struct {
	Conf     float64 // least objectness × class probability
	IoU      float64 // a box overlapping a better one by more than this is dropped
	MaxDet   int     // detections a picture, padded
	Agnostic bool    // boxes of different classes suppress each other too
}

// Outputs of an export with suppression inside; pictures with fewer detections
// than MaxDet are padded with boxes of zeros, scores 0 and class -1.
const (
	OutBoxes   = "boxes"   // float32 [N, MaxDet, 4]: corners x1, y1, x2, y2 in input pixels
	OutScores  = "scores"  // float32 [N, MaxDet], falling
	OutClasses = "classes" // int64 [N, MaxDet]
	OutCount   = "count"   // int64 [N, 1]
)

// classPlane keeps classes apart: boxes are moved by this many pixels per class, as YOLOv5 does.
const classPlane = 7680

// addNMS replaces the output of decoded rows by detections: each row's best
// class, suppression by the standard operator, the best MaxDet in order.
func addNMS(m *onnx.Model, o NMS) error {
	if o.MaxDet < 1 || o.MaxDet > 10000 || !(o.IoU >= 0 && o.IoU <= 1) || !(o.Conf >= 0 && o.Conf < 1) {
		return fmt.Errorf("suppression by IoU %g, confidence %g, at most %d detections", o.IoU, o.Conf, o.MaxDet)
	}
	rows := m.Outputs[0]
	m.Outputs = nil
	rows.Name = "rows"
	b := op.Extend(m)
	b.In("nms", func() {
		if rows.Type.DType != onnx.Float {
			rows = b.Cast(rows, onnx.Float)
		}
		n := suppression{b, o, int64(o.MaxDet)}
		n.build(rows)
	})
	return b.Err()
}

type suppression struct {
	*op.Builder
	NMS
	k int64
}

func (n *suppression) build(rows *onnx.Value) {
	width := rows.Type.Shape[2].Size
	part := n.Split(rows, 2, 2, 2, 1, width-5)
	best, class := n.TopK(part[3], 1, 2)            // [N,R,1]
	score := n.Reshape(n.Mul(part[2], best), 0, -1) // [N,R]
	classes := n.Cast(n.Reshape(class, 0, -1), onnx.Float)
	centre := part[0]
	if !n.Agnostic {
		centre = n.Add(centre, n.Scale(n.Cast(class, onnx.Float), classPlane))
	}
	kept := n.kept(n.Concat(2, centre, part[1]), score) // [N,R], 0 where suppressed
	half := n.Scale(part[1], 0.5)
	table := n.Concat(2, n.Sub(part[0], half), n.Add(part[0], half), n.Reshape(classes, 0, -1, 1))
	kept, table = n.padded(kept, table)
	scores, where := n.TopK(kept, n.k, 1) // [N,k]
	chosen := n.Op("GatherElements", op.Attrs{"axis": int64(1)}, table, n.Op("Expand", nil, n.Reshape(where, 0, n.k, 1), n.Ints(1, 1, 5)))
	there := n.Op("Greater", nil, scores, n.Float(0))
	valid := n.Cast(there, onnx.Float)
	chosen = n.Mul(chosen, n.Reshape(valid, 0, n.k, 1))
	box := n.Split(chosen, 2, 4, 1)
	found := n.Op("Where", nil, there, n.Reshape(box[1], 0, n.k), n.Float(-1))
	ones := onnx.NewTensor(onnx.Float, n.k, 1)
	for i := range onnx.Data[float32](ones) {
		onnx.Data[float32](ones)[i] = 1
	}
	n.Output(OutBoxes, box[0])
	n.Output(OutScores, n.Mul(scores, valid))
	n.Output(OutClasses, n.Cast(found, onnx.Int64))
	n.Output(OutCount, n.Cast(n.MatMul(valid, n.Const(ones)), onnx.Int64))
}

// kept suppresses boxes [N,R,4] (centre and size) and returns the scores of those that stay, 0 elsewhere.
func (n *suppression) kept(boxes, score *onnx.Value) *onnx.Value {
	limit := n.Ints(n.k)
	indices := n.Op("NonMaxSuppression", op.Attrs{"center_point_box": int64(1)}, boxes,
		n.Reshape(score, 0, 1, -1), limit, n.Const(onnx.Of([]float32{float32(n.IoU)}, 1)), n.Const(onnx.Of([]float32{float32(n.Conf)}, 1)))
	at := n.Concat(1, n.Slice(indices, 1, 0, 1), n.Slice(indices, 1, 2, 3))         // picture, row
	zeros := n.Cast(n.Op("Not", nil, n.Op("Equal", nil, score, score)), onnx.Float) // of NaN 1, which no limit passes
	return n.Op("ScatterND", nil, zeros, at, n.Op("GatherND", nil, score, at))
}

// padded appends rows of zeros where there may be fewer than are asked for.
func (n *suppression) padded(kept, table *onnx.Value) (*onnx.Value, *onnx.Value) {
	if rows := kept.Type.Shape[1]; rows.Known() && rows.Size >= n.k {
		return kept, table
	}
	kept = n.Pad(kept, 0, 0, 0, n.k)
	return kept, n.Pad(table, 0, 0, 0, 0, n.k, 0)
}
