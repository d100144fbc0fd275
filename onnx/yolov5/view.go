package yolov5

import (
	"fmt"

	"yolofreeze/onnx"
)

// View reads one level's raw output.
type View struct {
	Anchors, Outputs int // anchors of the level, and values of each (Network.Outputs)
	Pictures, Cells  int // cells of one picture and anchor

	net   *Network
	level int
	data  []float32
}

// View opens the raw output of a level, float32 [N, anchors·(5+nc), H, W].
func (net *Network) View(level int, t *onnx.Tensor) (*View, error) {
	v := &View{Anchors: len(net.Anchors[level]), Outputs: int(net.Outputs()), net: net, level: level}
	if t.DType != onnx.Float || len(t.Shape) != 4 || t.Shape[1] != int64(v.Anchors*v.Outputs) {
		return nil, fmt.Errorf("%v %v, want float32 [N %d H W]", t.DType, t.Shape, v.Anchors*v.Outputs)
	}
	v.Pictures, v.Cells = int(t.Shape[0]), int(t.Shape[2]*t.Shape[3])
	v.data = onnx.Data[float32](t)
	return v, nil
}

// Plane returns value k of all cells of one picture and anchor.
func (v *View) Plane(picture, anchor, k int) []float32 {
	start := ((picture*v.Anchors+anchor)*v.Outputs + k) * v.Cells
	return v.data[start : start+v.Cells]
}
