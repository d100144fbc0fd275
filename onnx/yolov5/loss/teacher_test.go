package loss_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ref"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/loss"
)

// taught is a teacher of a loss case.
type taught struct {
	columns []int
	weight  float64
	shift   float32 // of its objectness
}

func (c *taught) net() *yolov5.Network { return twoLevels(len(c.columns)) }

// heads are the teacher's raw outputs of two pictures.
func (c *taught) heads() []*onnx.Tensor {
	heads := rawOutputs(rand.New(rand.NewPCG(7, 8)), c.net(), 2, lossHeight, lossWidth)
	for i, h := range heads {
		for a := range c.net().Anchors[i] {
			for n := range 2 {
				for k := range value(h, c.net(), n, a, 4) {
					value(h, c.net(), n, a, 4)[k] += c.shift
				}
			}
		}
	}
	return heads
}

// graph is the teacher as the loss takes it, its outputs inputs of the graph.
func (c *taught) graph(b *op.Builder, feeds map[string]*ref.Array) *loss.Teacher {
	if c == nil {
		return nil
	}
	t := &loss.Teacher{Net: c.net(), Columns: c.columns, Weight: c.weight}
	for i, h := range c.heads() {
		v := b.Input(fmt.Sprintf("teacher%d", i), onnx.Float, onnx.Dims(h.Shape...))
		feeds[v.Name] = ref.FromTensor(h)
		t.Heads = append(t.Heads, v)
	}
	return t
}

// value is what all cells of a picture and an anchor have in place k.
func value(head *onnx.Tensor, net *yolov5.Network, picture, anchor, k int) []float32 {
	cells := int(head.Shape[2] * head.Shape[3])
	at := (picture*int(head.Shape[1]) + anchor*int(net.Outputs()) + k) * cells
	return onnx.Data[float32](head)[at : at+cells]
}

// cell is one cell of a level: logits of the network and of its teacher, and what labels say.
type cell struct {
	x, t   []float64
	match  bool
	truth  float64 // the label's CIoU, at least 0
	anchor [2]float64
}

func (c *cell) box(v []float64) [4]float64 {
	return [4]float64{2*logistic(v[0]) - .5, 2*logistic(v[1]) - .5, 4 * c.anchor[0] * math.Pow(logistic(v[2]), 2), 4 * c.anchor[1] * math.Pow(logistic(v[3]), 2)}
}

// parts computes the losses with the teacher cell by cell, by the words of loss.Teacher.
func (c *taught) parts(net *yolov5.Network, heads []*onnx.Tensor, matches []yolov5.Matches, o loss.Options) (box, obj, cls float64) {
	labelled := map[int]bool{}
	for i := range net.NC {
		labelled[i] = true
	}
	of := map[int]int{} // the teacher's class of a column
	for class, column := range c.columns {
		if column >= 0 {
			labelled[column], of[column] = false, class
		}
	}
	entropy := func(x, y, positive, gamma float64) float64 {
		p := logistic(x)
		loss := -(positive*y*math.Log(p) + (1-y)*math.Log(1-p))
		if gamma > 0 {
			loss *= (y*.25 + (1-y)*.75) * math.Pow(1-(y*p+(1-y)*(1-p)), gamma)
		}
		return loss
	}
	for level, m := range matches {
		cells := c.cells(net, heads[level], level)
		var sum struct{ box, cls, obj, boxSoft, boxWeight, clsSoft, clsWeight float64 }
		for i, row := range m.Row {
			if m.Weight[i] == 0 {
				continue
			}
			at := cells[row]
			b := at.box(at.x)
			iou := ciouByDefinition(b, [4]float64{float64(m.Box[4*i]), float64(m.Box[4*i+1]), float64(m.Box[4*i+2]), float64(m.Box[4*i+3])})
			at.match, at.truth = true, max(iou, 0)
			sum.box += (1 - iou) * float64(m.Weight[i])
			for k := range net.NC {
				y := o.LabelSmoothing / 2
				if int(m.Class[i]) == k {
					y = 1 - y
				}
				if labelled[k] {
					sum.cls += entropy(at.x[5+k], y, o.ClsPW, o.FLGamma) * float64(m.Weight[i]) / float64(net.NC)
				}
			}
		}
		for _, at := range cells {
			sees := logistic(at.t[4])
			y := max(at.truth, sees)
			sum.obj += (1 + (c.weight-1)*sees) * entropy(at.x[4], y, o.ObjPW, o.FLGamma) / float64(len(cells))
			if !at.match {
				sum.boxSoft += sees * (1 - ciouByDefinition(at.box(at.x), at.box(at.t)))
				sum.boxWeight += sees
			}
			sum.clsWeight += y
			for k := range net.NC {
				switch {
				case !labelled[k]:
					sum.clsSoft += y * entropy(at.x[5+k], logistic(at.t[5+of[k]])*sees/max(y, 1e-30), 1, 0) / float64(net.NC)
				case !at.match:
					sum.clsSoft += y * entropy(at.x[5+k], 0, 1, 0) / float64(net.NC)
				}
			}
		}
		box += o.Box * (sum.box + c.weight*sum.boxSoft/max(sum.boxWeight, 1))
		obj += o.Obj * []float64{4, 1}[level] * sum.obj
		cls += o.Cls * (sum.cls + c.weight*sum.clsSoft/max(sum.clsWeight, 1))
	}
	return box, obj, cls
}

// cells lays a level out in the order of matches' rows.
func (c *taught) cells(net *yolov5.Network, head *onnx.Tensor, level int) (list []*cell) {
	theirs := c.heads()[level]
	for n := range 2 {
		for a, anchor := range net.Anchors[level] {
			stride := float64(net.Strides[level])
			for i := range value(head, net, n, a, 0) {
				at := &cell{anchor: [2]float64{anchor[0] / stride, anchor[1] / stride}}
				for k := range int(net.Outputs()) {
					at.x = append(at.x, float64(value(head, net, n, a, k)[i]))
				}
				for k := range int(c.net().Outputs()) {
					at.t = append(at.t, float64(value(theirs, c.net(), n, a, k)[i]))
				}
				list = append(list, at)
			}
		}
	}
	return list
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// ciouByDefinition is the complete IoU of two boxes by centre and size.
func ciouByDefinition(a, b [4]float64) float64 {
	const eps = 1e-7
	overlap := func(k int) float64 {
		return max(0, min(a[k]+a[k+2]/2, b[k]+b[k+2]/2)-max(a[k]-a[k+2]/2, b[k]-b[k+2]/2))
	}
	reach := func(k int) float64 {
		return max(a[k]+a[k+2]/2, b[k]+b[k+2]/2) - min(a[k]-a[k+2]/2, b[k]-b[k+2]/2)
	}
	inter := overlap(0) * overlap(1)
	iou := inter / (a[2]*a[3] + b[2]*b[3] - inter + eps)
	far := (math.Pow(a[0]-b[0], 2) + math.Pow(a[1]-b[1], 2)) / (math.Pow(reach(0), 2) + math.Pow(reach(1), 2) + eps)
	v := 4 / math.Pow(math.Pi, 2) * math.Pow(math.Atan(b[2]/b[3])-math.Atan(a[2]/a[3]), 2)
	return iou - far - v*v/(v-iou+1+eps)
}

// TestTeacherItself: the network that is its own teacher has no gradient in old classes and
// boxes, and in objectness, so that nothing old moves where no label is.
func TestTeacherItself(t *testing.T) {
	c := lossCase{nc: 3, o: plain, taught: &taught{columns: []int{1, 2}, weight: 1}}
	net, old := twoLevels(3), c.taught.net()
	var heads []*onnx.Tensor
	theirs := c.taught.heads()
	for i, h := range rawOutputs(rand.New(rand.NewPCG(3, 4)), net, 2, lossHeight, lossWidth) {
		for n := range 2 {
			for a := range net.Anchors[i] {
				for k := range 5 {
					copy(value(h, net, n, a, k), value(theirs[i], old, n, a, k))
				}
				for class, column := range c.taught.columns {
					copy(value(h, net, n, a, 5+column), value(theirs[i], old, n, a, 5+class))
				}
			}
		}
		heads = append(heads, h)
	}
	got := gradients(t, net, c, heads)
	for i, h := range heads {
		d := got[fmt.Sprintf("d%d", i)].Data
		cells := int(h.Shape[2] * h.Shape[3])
		pushed := 0
		for at, v := range d {
			switch k := at / cells % int(net.Outputs()); {
			case k == 5: // the new class, which is not there
				if v > 0 {
					pushed++
				}
			case k >= 4 && math.Abs(v) > 1e-9: // 1-CIoU has a kink at equal boxes
				t.Errorf("level %d: gradient %g in place %d", i, v, k)
			}
		}
		if pushed != len(d)/int(net.Outputs()) {
			t.Errorf("level %d: the new class is pushed down in %d cells of %d", i, pushed, len(d)/int(net.Outputs()))
		}
	}
}

func TestTeacherRefused(t *testing.T) {
	for want, change := range map[string]func(*loss.Teacher){
		"the teacher's class 1 is class 3 of 3":                       func(t *loss.Teacher) { t.Columns[1] = 3 },
		"a teacher of weight 1 keeps 0 classes":                       func(t *loss.Teacher) { t.Columns[0], t.Columns[1] = -1, -1 },
		"a teacher of weight NaN keeps 2 classes":                     func(t *loss.Teacher) { t.Weight = math.NaN() },
		"a teacher of 2 classes has 1 outputs and columns for 2":      func(t *loss.Teacher) { t.Heads = t.Heads[:1] },
		"level 1 has stride 32 and 2 anchors, not 16 and 2":           func(t *loss.Teacher) { t.Net.Strides[1] = 32 },
		"anchors [[[10 14]] [[30 61] [62 45]]], not [[[10 13]] [[30 ": func(t *loss.Teacher) { t.Net.Anchors[0][0][1] = 14 },
		"1 levels, not 2": func(t *loss.Teacher) { t.Net.Anchors = t.Net.Anchors[:1] },
	} {
		b, net := op.NewBuilder("loss"), twoLevels(3)
		teacher := (&taught{columns: []int{1, 2}, weight: 1}).graph(b, map[string]*ref.Array{})
		change(teacher)
		if _, err := loss.Build(b, net, teacher.Heads, plain, teacher); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
