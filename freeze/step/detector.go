package step

import (
	"fmt"
	"runtime"

	"yolofreeze/dataset/metric"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/workers"
	"yolofreeze/onnx/yolov5"
)

// Detector runs a network on pictures and finds objects in its outputs.
type Detector struct {
	Net   *yolov5.Network
	graph *Bound
}

// NewDetector opens the evaluation graph of a network with the given weights.
func NewDetector(net *yolov5.Network, state map[string]*onnx.Tensor, o ort.Options) (*Detector, error) {
	return NewDetectorFor(net, state, Cut{}, onnx.Undefined, o)
}

// NewDetectorFor computes products in a type of 16 bits, or all in float32, and
// begins behind the cut.
func NewDetectorFor(net *yolov5.Network, state map[string]*onnx.Tensor, c Cut, products onnx.DType, o ort.Options) (*Detector, error) {
	if err := fits(o.Device, products); err != nil {
		return nil, err
	}
	m, err := buildEvalFor(net, state, c, products, TargetOf(o.Device))
	if err != nil {
		return nil, err
	}
	return OpenDetector(net, m, o)
}

// OpenDetector opens an evaluation graph m of a network.
func OpenDetector(net *yolov5.Network, m *onnx.Model, o ort.Options) (*Detector, error) {
	graph, err := Open(m, o)
	if err != nil {
		return nil, fmt.Errorf("open the evaluation graph: %w", err)
	}
	return &Detector{net, graph}, nil
}

// Close releases the session.
func (d *Detector) Close() { d.graph.Close() }

// Device says where the graph runs.
func (d *Detector) Device() ort.Device { return d.graph.session.Device() }

// ChunkOn returns how many pictures a device infers at once. A CPU is quickest when what
// one layer leaves still lies in its caches: one picture for four cores.
func ChunkOn(d ort.Device) int {
	if d.Kind == ort.CPU {
		return max(1, runtime.NumCPU()/4)
	}
	return 16
}

// Heads makes room for the outputs of n pictures of the given size.
func (d *Detector) Heads(n, height, width int) []*onnx.Tensor {
	var list []*onnx.Tensor
	for _, branch := range d.Net.Detects() {
		for i, stride := range branch.Strides {
			channels := int64(len(branch.Anchors[i])) * branch.Outputs()
			list = append(list, onnx.NewTensor(onnx.Float, int64(n), channels, int64(height)/stride, int64(width)/stride))
		}
	}
	return list
}

// Forward runs the graph on RGB planes [N,3,H,W] into heads.
func (d *Detector) Forward(images []uint8, heads []*onnx.Tensor, height, width int) error {
	in := onnx.Of(images, heads[0].Shape[0], 3, int64(height), int64(width))
	return d.ForwardFrom(map[string]*onnx.Tensor{ImagesName: in}, heads)
}

// ForwardFrom runs the graph on what it takes in, by name, into heads.
func (d *Detector) ForwardFrom(in map[string]*onnx.Tensor, heads []*onnx.Tensor) error {
	out := map[string]*onnx.Tensor{}
	for i, h := range heads {
		out[fmt.Sprintf("head%d", i)] = h
	}
	if err := d.graph.RunInto(in, out); err != nil {
		return fmt.Errorf("run the evaluation graph: %w", err)
	}
	return nil
}

// Detect finds the objects of n pictures, RGB planes [N,3,height,width], in pixels of these planes.
func (d *Detector) Detect(images []uint8, n, height, width int, o metric.NMSOptions) ([][]metric.Detection, error) {
	heads := d.Heads(n, height, width)
	if err := d.Forward(images, heads, height, width); err != nil {
		return nil, err
	}
	found, errs := make([][]metric.Detection, n), make([]error, n)
	var group workers.Group
	for i := range n {
		group.Go(func() { found[i], errs[i] = d.find(PictureOf(heads, i), o) })
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// find reduces one picture's outputs to its detections.
func (d *Detector) find(heads []*onnx.Tensor, o metric.NMSOptions) ([]metric.Detection, error) {
	rows, err := d.Net.Rows(heads, o.Conf)
	if err != nil {
		return nil, err
	}
	return metric.NMS(rows, d.Net.NC, o), nil
}

// PictureOf returns the outputs of picture i, sharing memory.
func PictureOf(heads []*onnx.Tensor, i int) []*onnx.Tensor {
	list := make([]*onnx.Tensor, len(heads))
	for k, h := range heads {
		size := len(h.Raw) / int(h.Shape[0])
		list[k] = &onnx.Tensor{DType: h.DType, Shape: append([]int64{1}, h.Shape[1:]...), Raw: h.Raw[i*size : (i+1)*size]}
	}
	return list
}
