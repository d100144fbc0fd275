package step

import (
	"fmt"

	"yolofreeze/freeze"
	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/yolov5"
)

// Cut takes the first layers out of a training graph: it takes in what they
// put out instead of pictures. The zero Cut takes none out.
type Cut struct {
	Layers int        // how many; all their parameters and statistics must be frozen
	DType  onnx.DType // of what is taken in: Float or Float16
}

// FeatureName names what a layer puts out, where a graph hands it out or takes it in.
func FeatureName(layer int) string { return fmt.Sprintf("features/%d", layer) }

// Shapes returns, for n pictures of height×width, the shape of the output of
// each layer that those behind the cut read.
func (c Cut) Shapes(net *yolov5.Network, n, height, width int) (map[int][]int64, error) {
	b := op.NewBuilder("shapes")
	g := yolov5.Graph{Builder: b, Net: net, Param: func(p yolov5.Param) *onnx.Value {
		return b.Input(p.Name, onnx.Float, onnx.Dims(p.Shape...))
	}}
	outs := map[int]*onnx.Value{yolov5.Images: b.Input("images", onnx.Float, onnx.Dims(int64(n), 3, int64(height), int64(width)))}
	if err := g.Run(0, c.Layers, outs); err != nil {
		return nil, fmt.Errorf("build the first %d layers: %w", c.Layers, err)
	}
	shapes := map[int][]int64{}
	for _, layer := range net.Cut(c.Layers) {
		shape, ok := outs[layer].Type.Static()
		if !ok {
			return nil, fmt.Errorf("the output of layer %d is %v, of no known size", layer, outs[layer].Type)
		}
		shapes[layer] = shape
	}
	return shapes, nil
}

// inputs makes room for what a step's training graph takes in besides state and matches.
func (s *Spec) inputs() (map[string]*onnx.Tensor, error) {
	if s.Cut.Layers == 0 {
		return map[string]*onnx.Tensor{ImagesName: onnx.NewTensor(onnx.Uint8, int64(s.Batch), 3, int64(s.Height), int64(s.Width))}, nil
	}
	shapes, err := s.Cut.Shapes(s.Net, s.Batch, s.Height, s.Width)
	if err != nil {
		return nil, err
	}
	in := map[string]*onnx.Tensor{}
	for layer, shape := range shapes {
		in[FeatureName(layer)] = onnx.NewTensor(s.Cut.DType, shape...)
	}
	return in, nil
}

// ImagesName is the input of graphs that take pictures: uint8 [N,3,H,W], RGB.
const ImagesName = "images"

// sources are the values that the layers behind the cut read, by layer.
func (s *Spec) sources(b *op.Builder) (map[int]*onnx.Value, error) {
	if s.Cut.Layers == 0 {
		images := b.Input(ImagesName, onnx.Uint8, onnx.Dims(int64(s.Batch), 3, int64(s.Height), int64(s.Width)))
		return map[int]*onnx.Value{yolov5.Images: b.FromBytes(images, onnx.Float)}, nil
	}
	shapes, err := s.Cut.Shapes(s.Net, s.Batch, s.Height, s.Width)
	if err != nil {
		return nil, err
	}
	outs := map[int]*onnx.Value{}
	for _, layer := range s.Net.Cut(s.Cut.Layers) { // in order: equal specs make equal graphs
		v := b.Input(FeatureName(layer), s.Cut.DType, onnx.Dims(shapes[layer]...))
		if s.Cut.DType != onnx.Float {
			v = b.Cast(v, onnx.Float)
		}
		outs[layer] = v
	}
	return outs, nil
}

// largestHalf is the largest finite float16.
const largestHalf = 65504

// BuildFeatures writes the first layers of a network with constant weights:
// pictures, as uint8 of the given shape [n,3,height,width], in; what the layers
// behind the cut read out, by FeatureName.
func BuildFeatures(net *yolov5.Network, state map[string]*onnx.Tensor, c Cut, shape []onnx.Dim) (*onnx.Model, error) {
	b, g, images := inference(net, state, onnx.Uint8, shape)
	outs := map[int]*onnx.Value{yolov5.Images: images}
	if err := g.Run(0, c.Layers, outs); err != nil {
		return nil, fmt.Errorf("build the first %d layers: %w", c.Layers, err)
	}
	for _, layer := range net.Cut(c.Layers) {
		v := outs[layer]
		if c.DType == onnx.Float16 {
			v = b.Cast(b.Op("Clip", nil, v, b.Float(-largestHalf), b.Float(largestHalf)), onnx.Float16)
		}
		b.Output(FeatureName(layer), v)
	}
	return simplified(b)
}

// buildEval writes what BuildEval writes, without the first layers: what they
// put out in, by FeatureName, of pictures of any size.
func buildEval(net *yolov5.Network, state map[string]*onnx.Tensor, c Cut) (*onnx.Model, error) {
	if c.Layers == 0 {
		return BuildEval(net, state)
	}
	side := 2 * int(net.MaxStride())
	shapes, err := c.Shapes(net, 1, side, side)
	if err != nil {
		return nil, err
	}
	b, g := constants(net, state)
	outs := map[int]*onnx.Value{}
	for _, layer := range net.Cut(c.Layers) {
		v := b.Input(FeatureName(layer), c.DType, []onnx.Dim{onnx.Sym("batch"), {Size: shapes[layer][1]}, {Size: onnx.Unknown}, {Size: onnx.Unknown}})
		if c.DType != onnx.Float {
			v = b.Cast(v, onnx.Float)
		}
		outs[layer] = v
	}
	heads, err := g.ForwardFrom(c.Layers, outs)
	return evalModel(b, heads, err)
}

// Extractor runs the layers before a cut on a fixed number of pictures at once.
type Extractor struct {
	Images  *onnx.Tensor   // what goes in: uint8 [n,3,height,width]
	Outputs []*onnx.Tensor // what has come out, in the order of the cut's layers
	graph   *Bound
}

// NewExtractor opens the layers before a cut for n pictures of one size.
func NewExtractor(net *yolov5.Network, state map[string]*onnx.Tensor, c Cut, n, height, width int, o ort.Options) (*Extractor, error) {
	shape := []int64{int64(n), 3, int64(height), int64(width)}
	m, err := BuildFeatures(net, state, c, onnx.Dims(shape...))
	if err != nil {
		return nil, err
	}
	x := &Extractor{Images: onnx.NewTensor(onnx.Uint8, shape...)}
	if x.graph, err = Open(m, o); err != nil {
		return nil, fmt.Errorf("open the graph of frozen layers: %w", err)
	}
	if err := x.bind(m); err != nil {
		x.Close()
		return nil, err
	}
	return x, nil
}

func (x *Extractor) bind(m *onnx.Model) error {
	err := x.graph.input(ImagesName, x.Images)
	for _, out := range m.Outputs {
		shape, _ := out.Type.Static()
		to := onnx.NewTensor(out.Type.DType, shape...)
		x.Outputs = append(x.Outputs, to)
		if err == nil {
			err = x.graph.output(out.Name, to)
		}
	}
	return err
}

// Run takes Images to Outputs.
func (x *Extractor) Run() error {
	if err := x.graph.binding.Run(); err != nil {
		return fmt.Errorf("run the graph of frozen layers: %w", err)
	}
	return nil
}

// Close releases the session.
func (x *Extractor) Close() { x.graph.Close() }

// CutOf is how many first layers a cache can stand for: up to the last one that has parameters.
func CutOf(plan *freeze.Plan) int {
	cut, fixed := 0, plan.FixedPrefix()
	for _, e := range plan.Entries {
		if layer := freeze.Layer(e.Name); layer < fixed {
			cut = max(cut, layer+1)
		}
	}
	return cut
}
