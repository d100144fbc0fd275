package finetune

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"yolofreeze/onnx"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/yolov5"
)

// ExportOptions say what a model is exported as.
type ExportOptions struct {
	Version       string // of the program
	Batch         int
	Height, Width int   // multiples of the largest stride
	Dynamic       bool  // batch, height and width are left to the run
	Half          bool  // float16 throughout, inputs and output too
	Opset         int64 // 11 to 20; 0: op.Opset
	Uint8         bool  // images are uint8 [N,H,W,3], scaled inside
	NMS           *ExportNMS
	Int8          Ranges // of the activations: convolutions on 8-bit integers, in QDQ form
}

// The opsets that an export can be written in: below 11 Resize means
// something else, above 20 CUDA builds of ONNX Runtime lack kernels.
const (
	OldestOpset = 11
	NewestOpset = 20
)

// versionKey holds the version of the program that wrote a file.
const versionKey = metadataPrefix + "version"

// Export writes the model as YOLOv5's own exporter lays it out: images
// [N,3,H,W], RGB in 0…1, to output0 [N, rows, 5+nc] as Decode has it, Conv and
// BatchNorm folded; stride and names in the metadata as YOLOv5 writes them,
// and yolofreeze.* entries of what the weights come from. source names the
// weights. Uint8 and NMS change the input and the outputs.
func Export(m *Model, source artifact.Source, o ExportOptions) (*onnx.Model, error) {
	if o.Opset == 0 {
		o.Opset = op.Opset
	}
	batch, height, width := o.Batch, o.Height, o.Width
	if o.Dynamic {
		batch, height, width = int(onnx.Unknown), int(onnx.Unknown), int(onnx.Unknown)
	}
	g, err := BuildExport(m.Net, m.State, batch, height, width)
	if err != nil {
		return nil, err
	}
	nameFolded(g)
	if o.Int8 != nil {
		if err := toInt8(g, o); err != nil {
			return nil, fmt.Errorf("export as int8: %w", err)
		}
	}
	if o.Half {
		if err := toHalf(g); err != nil {
			return nil, fmt.Errorf("export as float16: %w", err)
		}
	}
	if o.Dynamic {
		g.Inputs[0].Type.Shape = anyPictures()
		if err := op.InferTypes(g); err != nil {
			return nil, err
		}
		g.Outputs[0].Type.Shape = []onnx.Dim{onnx.Sym("batch"), onnx.Sym("anchors"), {Size: m.Net.Outputs()}}
	}
	if o.NMS != nil {
		if err := addNMS(g, *o.NMS); err != nil {
			return nil, fmt.Errorf("export with suppression: %w", err)
		}
	}
	if o.Uint8 {
		if err := takePixels(g); err != nil {
			return nil, fmt.Errorf("export for pixels: %w", err)
		}
	}
	if err := toOpset(g, o.Opset); err != nil {
		return nil, err
	}
	if g.Metadata, err = m.exportMetadata(source, o.Version); err != nil {
		return nil, err
	}
	return g, nil
}

// exportMetadata is what an export says of itself.
func (m *Model) exportMetadata(source artifact.Source, version string) (map[string]string, error) {
	about, err := m.about()
	if err != nil {
		return nil, err
	}
	all := map[string]string{
		"stride":      strconv.FormatInt(m.Net.MaxStride(), 10),
		"names":       yolov5.FormatNames(m.Names),
		modelKey:      about,
		sourceFileKey: source.File,
		sourceHashKey: source.SHA256,
		versionKey:    version,
	}
	for _, key := range []string{frozenKey, bnKey, headKey} {
		if value, ok := m.Metadata[key]; ok {
			all[key] = value
		}
	}
	return all, nil
}

// ExportWeights returns the model as SaveModel takes it, with an export's metadata.
func ExportWeights(m *Model, source artifact.Source, o ExportOptions) (*Model, error) {
	all, err := m.exportMetadata(source, o.Version)
	if err != nil {
		return nil, err
	}
	out := *m
	out.Metadata, out.State = all, maps.Clone(m.State)
	for name, t := range out.State {
		if !o.Half {
			break
		}
		if out.State[name], err = half(name, t); err != nil {
			return nil, fmt.Errorf("export as float16: %w", err)
		}
	}
	return &out, nil
}

// half rounds a tensor to float16, unless that makes a number infinite.
func half(name string, t *onnx.Tensor) (*onnx.Tensor, error) {
	const largest = 65504
	for i, v := range t.Float32s() {
		if v > largest || v < -largest {
			return nil, fmt.Errorf("%s holds %g at %d, float16 ends at ±%d", name, v, i, largest)
		}
	}
	return t.ToFloat16(), nil
}

// nameFolded gives what folding made of a Conv and its BatchNorm the names that
// YOLOv5's exporter gives it, those of the Conv: readers of exports find layers by them.
func nameFolded(m *onnx.Model) {
	for _, n := range m.Nodes {
		module, _, folded := strings.Cut(n.Name, ".bn/")
		if n.Op != "Conv" || !folded {
			continue
		}
		n.Name = module + ".conv/Conv"
		n.Outputs[0].Name = n.Name
		for i, part := range []string{".conv.weight", ".conv.bias"} {
			v := &onnx.Value{Name: module + part, Type: n.Inputs[i+1].Type, Const: n.Inputs[i+1].Const}
			n.Inputs[i+1] = v // equal constants were one until now
			m.Initializers = append(m.Initializers, v)
		}
	}
}

// toHalf turns a model's float32 into float16, its inputs and outputs too. The
// scales of Resize stay float32, as its schema asks.
func toHalf(m *onnx.Model) error {
	scales := map[*onnx.Value]bool{}
	for _, n := range m.Nodes {
		if n.Op == "Resize" {
			scales[n.Input(2)] = true
		}
		for i, a := range n.Attrs {
			if n.Op == "Cast" && a.Name == "to" && a.Value == int64(onnx.Float) {
				n.Attrs[i].Value = int64(onnx.Float16)
			}
		}
	}
	for _, v := range m.Initializers {
		if v.Const.DType != onnx.Float || scales[v] {
			continue
		}
		t, err := half(v.Name, v.Const)
		if err != nil {
			return err
		}
		v.Const, v.Type = t, onnx.TypeOf(t)
	}
	for _, v := range m.Inputs {
		if v.Type.DType == onnx.Float {
			v.Type.DType = onnx.Float16
		}
	}
	return op.InferTypes(m)
}

// takePixels lets a model take what cameras and decoders give: uint8 [N,H,W,3].
func takePixels(m *onnx.Model) error {
	images, nodes := m.Inputs[0], m.Nodes
	s := images.Type.Shape
	m.Inputs, m.Nodes = nil, nil
	b := op.Extend(m)
	raw := b.Input("images", onnx.Uint8, []onnx.Dim{s[0], s[2], s[3], s[1]})
	b.In("pixels", func() {
		white := onnx.Scalar(float32(255))
		if images.Type.DType == onnx.Float16 {
			white = white.ToFloat16()
		}
		x := b.Div(b.Cast(b.Transpose(raw, 0, 3, 1, 2), images.Type.DType), b.Const(white))
		for _, n := range nodes {
			for i, in := range n.Inputs {
				if in == images {
					n.Inputs[i] = x
				}
			}
		}
	})
	m.Nodes = append(m.Nodes, nodes...)
	return b.Err()
}

// spellHardSwish writes HardSwish, which opset 14 brought, as x·HardSigmoid(x).
func spellHardSwish(m *onnx.Model) {
	var nodes []*onnx.Node
	for _, n := range m.Nodes {
		if n.Op == "HardSwish" {
			gate := &onnx.Value{Name: n.Outputs[0].Name + "/gate", Type: n.Outputs[0].Type}
			gate.Node = &onnx.Node{Name: gate.Name, Op: "HardSigmoid", Inputs: n.Inputs[:1:1], Outputs: []*onnx.Value{gate},
				Attrs: []onnx.Attr{{Name: "alpha", Value: float32(1) / 6}, {Name: "beta", Value: float32(0.5)}}}
			nodes = append(nodes, gate.Node)
			n.Op, n.Inputs = "Mul", []*onnx.Value{n.Inputs[0], gate}
		}
		nodes = append(nodes, n)
	}
	m.Nodes = nodes
}

// toOpset restates a model in another version of ai.onnx.
func toOpset(m *onnx.Model, opset int64) error {
	if opset < OldestOpset || opset > NewestOpset {
		return fmt.Errorf("opset %d: want %d to %d", opset, OldestOpset, NewestOpset)
	}
	if opset < 14 {
		spellHardSwish(m)
	}
	roi := &onnx.Value{Name: "roi", Type: onnx.Type{DType: onnx.Float, Shape: onnx.Dims(0)}, Const: onnx.NewTensor(onnx.Float, 0)}
	m.Initializers = append(m.Initializers, roi)
	for _, n := range m.Nodes {
		if _, ok := op.Since(n.Op, opset); !ok {
			return fmt.Errorf("opset %d has no %s, which node %q is", opset, n.Op, n.Name)
		}
		switch {
		case opset >= 13:
		case n.Op == "Split": // its sizes were an attribute
			n.Attrs = append(n.Attrs, onnx.Attr{Name: "split", Value: n.Inputs[1].Const.Int64s()})
			n.Inputs = n.Inputs[:1]
		case n.Op == "Resize": // its region was not optional
			n.Inputs[1] = roi
		}
	}
	m.Opset = opset
	return pass.DropUnused(m)
}
