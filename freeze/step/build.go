package step

import (
	"fmt"
	"slices"

	"yolofreeze/dataset"
	"yolofreeze/freeze"
	"yolofreeze/onnx"
	"yolofreeze/onnx/grad"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/loss"
)

// Spec says what a training graph is built for.
type Spec struct {
	Net                  *yolov5.Network
	State                map[string]*onnx.Tensor // the state dict, float32, by name
	Plan                 *freeze.Plan            // nil: everything trains
	Batch, Height, Width int                     // of one step's pictures
	Loss                 loss.Options            // scaled (see its Scaled)
	Optimizer            optim.Options
	Predictions          bool        // also output each level's raw prediction: pred0, pred1, …
	Cut                  Cut         // layers that run beforehand
	Teacher              *Teacher    // whose outputs are targets, too; nil: labels alone are
	AMP                  onnx.DType  // of products, float16 or bfloat16; Undefined: all in float32
	Native               bool        // whole layers as composite operators, for sessions with ort.Options.Native
	Target               pass.Target // the training graph is written for
}

// Outputs of the training graph besides state: scalars.
const (
	OutTotal = "loss" // (box + objectness + class) · batch size
	OutBox   = "box_loss"
	OutObj   = "obj_loss"
	OutCls   = "cls_loss"
)

// lossScale is the scalar input of a training graph with products in float16
// that multiplies the loss before it is differentiated.
const lossScale = "loss_scale"

// frozen reports whether a tensor is a constant of the training graph:
// frozen parameters, and the statistics of BatchNorms that use the running ones.
func (s *Spec) frozen(p yolov5.Param) bool {
	if p.Kind.Buffer() {
		return !s.batchStats(module(p.Name))
	}
	return s.Plan != nil && s.Plan.Frozen(p.Name)
}

func (s *Spec) batchStats(module string) bool {
	return s.Plan == nil || s.Plan.BNMode(module) == freeze.Batch
}

// module drops the last segment of a tensor's name.
func module(name string) string {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '.' {
			return name[:i]
		}
	}
	return ""
}

// Graphs are the models of a training step, and what their state is.
type Graphs struct {
	Training  *onnx.Model    // images and matches to losses; gradients and running statistics are updated
	Gather    *onnx.Model    // what a batch yields into gradients and running statistics; nil where Training does it
	Optimizer *onnx.Model    // clipping, update, moving average
	Trainable []yolov5.Param // inputs of Training, and of Optimizer by themselves or in blocks
	Moving    []yolov5.Param // running statistics that the training graph updates
	layout    *layout        // of the state
}

// Build writes the graphs. Trainable parameters are inputs of the training
// graph, frozen ones constants without any backward node. Gradients add up
// into the state gradient/<name> until whoever runs the optimizer clears it.
func Build(s *Spec) (*Graphs, error) {
	b := op.NewBuilder("training")
	g := &Graphs{Training: b.Model}
	sources, err := s.sources(b)
	if err != nil {
		return nil, err
	}
	var trainable []*onnx.Value
	net := yolov5.Graph{Builder: b, Net: s.Net, BatchStats: s.batchStats, Param: func(p yolov5.Param) *onnx.Value {
		t, err := s.tensor(p)
		if err != nil {
			return b.Fail("%w", err)
		}
		if s.frozen(p) {
			return b.Param(p.Name, t)
		}
		v := b.Input(p.Name, onnx.Float, onnx.Dims(p.Shape...))
		if p.Kind.Buffer() {
			g.Moving = append(g.Moving, p)
		} else {
			g.Trainable, trainable = append(g.Trainable, p), append(trainable, v)
		}
		return v
	}}
	heads, err := net.ForwardFrom(s.Cut.Layers, sources)
	if err != nil {
		return nil, fmt.Errorf("build the training graph: %w", err)
	}
	teacher, err := s.teach(b, sources)
	if err != nil {
		return nil, err
	}
	loss, err := loss.Build(b, s.Net, heads, s.Loss, teacher)
	if err != nil {
		return nil, fmt.Errorf("build the loss: %w", err)
	}
	if s.Native {
		if b, err = compose(b, heads, trainable); err != nil {
			return nil, err
		}
	}
	differentiated := loss.Total
	if s.scaled() {
		differentiated = b.Mul(loss.Total, b.Input(lossScale, onnx.Float, []onnx.Dim{}))
	}
	grads, err := grad.Build(b, differentiated, trainable, loss.Detached)
	if err != nil {
		return nil, fmt.Errorf("build the gradients: %w", err)
	}
	for _, out := range []struct {
		name string
		v    *onnx.Value
	}{{OutTotal, loss.Total}, {OutBox, loss.Box}, {OutObj, loss.Obj}, {OutCls, loss.Cls}} {
		b.Output(out.name, out.v)
	}
	for i, h := range heads {
		if s.Predictions {
			b.Output(fmt.Sprintf("pred%d", i), h)
		}
	}
	if gathers(s.Target) {
		g.yield(b, grads, net.Added)
	} else {
		g.add(b, grads, net.Moved)
	}
	if b.Err() != nil {
		return nil, fmt.Errorf("build the training graph: %w", b.Err())
	}
	passes, rule := pass.For(s.Target), s.Optimizer
	rule.Scaled = s.scaled()
	if s.AMP != onnx.Undefined {
		passes = slices.Concat(passes, pass.Mixed(s.AMP, s.Target))
	}
	if err := pass.Run(b.Model, passes...); err != nil {
		return nil, err
	}
	g.layout = layOut(s.Target, g.Trainable, g.Moving, s.paced(g.Trainable))
	if gathers(s.Target) {
		g.leaveMoving()
		if g.Gather, err = optim.BuildGather(whole(g.layout.trainable), whole(g.layout.moving), yolov5.Momentum); err != nil {
			return nil, fmt.Errorf("build the graph that gathers gradients: %w", err)
		}
	}
	rule.Measured = g.layout.measured
	if g.Optimizer, err = optim.Build(g.layout.params, g.layout.averaged, rule); err != nil {
		return nil, fmt.Errorf("build the optimizer graph: %w", err)
	}
	return g, nil
}

// add has the training graph update gradients and running statistics.
func (g *Graphs) add(b *op.Builder, grads []*onnx.Value, moved map[string]*onnx.Value) {
	for i, p := range g.Trainable {
		name := optim.Gradient(p.Name)
		sum := b.Input(name, onnx.Float, onnx.Dims(p.Shape...))
		b.Output(optim.Out(name), b.Add(sum, grads[i]))
	}
	for _, p := range g.Moving {
		b.Output(optim.Out(p.Name), moved[p.Name])
	}
}

// yield leaves that to the graph Gather. Gradients come in the shapes that they are made in, since a
// runtime would copy what is reshaped last to where it is to lie.
func (g *Graphs) yield(b *op.Builder, grads []*onnx.Value, added map[string]*onnx.Value) {
	for i, p := range g.Trainable {
		v := grads[i]
		for v.Node != nil && v.Node.Op == "Reshape" {
			v = v.Node.Inputs[0]
		}
		b.Output(optim.Batch(optim.Gradient(p.Name)), v)
	}
	for _, p := range g.Moving {
		b.Output(optim.Batch(p.Name), added[p.Name])
	}
}

// leaveMoving takes running statistics from the training graph's inputs, where Gather alone reads them.
func (g *Graphs) leaveMoving() {
	rest := map[string]bool{}
	for _, p := range g.Moving {
		rest[p.Name] = true
	}
	for _, n := range g.Training.Nodes {
		for _, v := range n.Inputs {
			if v != nil {
				delete(rest, v.Name)
			}
		}
	}
	g.Training.Inputs = slices.DeleteFunc(g.Training.Inputs, func(v *onnx.Value) bool { return rest[v.Name] })
}

// compose makes composite operators of a forward pass with its loss.
func compose(b *op.Builder, heads, trainable []*onnx.Value) (*op.Builder, error) {
	if b.Err() != nil {
		return nil, b.Err()
	}
	if err := pass.FoldBatchNorm(b.Model); err != nil {
		return nil, err
	}
	instead, err := pass.Compose(b.Model, trainable)
	if err != nil {
		return nil, fmt.Errorf("compose layers: %w", err)
	}
	for i, h := range heads {
		if r := instead[h]; r != nil {
			heads[i] = r
		}
	}
	return op.Extend(b.Model), nil
}

// tensor returns a tensor of the state dict, checked against the network.
func (s *Spec) tensor(p yolov5.Param) (*onnx.Tensor, error) {
	t := s.State[p.Name]
	switch {
	case t == nil:
		return nil, fmt.Errorf("the weights lack %s %v", p.Name, p.Shape)
	case !slices.Equal(t.Shape, p.Shape):
		return nil, fmt.Errorf("%s is %v in the weights, %v in the network", p.Name, t.Shape, p.Shape)
	case t.DType != onnx.Float:
		return nil, fmt.Errorf("%s is %v, want float32", p.Name, t.DType)
	}
	return t, nil
}

// optimParams sorts parameters into the optimizer's groups.
func optimParams(params []yolov5.Param) []optim.Param {
	groups := map[yolov5.Kind]optim.Group{yolov5.Weight: optim.Weights, yolov5.NormScale: optim.Norms}
	list := make([]optim.Param, len(params))
	for i, p := range params {
		list[i] = optim.Param{Name: p.Name, Size: onnx.NumElements(p.Shape), Group: groups[p.Kind]} // biases and buffers: 0
	}
	return list
}

// Groups counts the trainable tensors by optim.Group.
func (g *Graphs) Groups() (counts [3]int) {
	for _, p := range optimParams(g.Trainable) {
		counts[p.Group]++
	}
	return counts
}

// paced is optimParams with the factors of the learning rate that the plan states.
func (s *Spec) paced(params []yolov5.Param) []optim.Param {
	list := optimParams(params)
	if s.Plan != nil {
		for i, p := range list {
			list[i].Factor = s.Plan.Rates.Of(p.Name)
		}
	}
	return list
}

// Inference builds the network with constant weights: images in, raw outputs
// of each level ("head0" …) out; of the given input type, with the dimensions
// given (unknown ones by name).
func Inference(net *yolov5.Network, state map[string]*onnx.Tensor, dtype onnx.DType, shape []onnx.Dim) (*op.Builder, []*onnx.Value, error) {
	b, g, images := inference(net, state, dtype, shape)
	heads, err := g.Forward(images)
	return b, heads, err
}

// inference starts a graph with constant weights; images are pictures in 0…1.
func inference(net *yolov5.Network, state map[string]*onnx.Tensor, dtype onnx.DType, shape []onnx.Dim) (b *op.Builder, g *yolov5.Graph, images *onnx.Value) {
	b, g = constants(net, state)
	images = b.Input(ImagesName, dtype, shape)
	if dtype == onnx.Uint8 {
		images = b.FromBytes(images, onnx.Float)
	}
	return b, g, images
}

// constants starts a graph whose weights are those of state.
func constants(net *yolov5.Network, state map[string]*onnx.Tensor) (*op.Builder, *yolov5.Graph) {
	b, s := op.NewBuilder("yolov5"), Spec{State: state}
	return b, &yolov5.Graph{Builder: b, Net: net, Param: func(p yolov5.Param) *onnx.Value {
		t, err := s.tensor(p)
		if err != nil {
			return b.Fail("%w", err)
		}
		return b.Param(p.Name, t)
	}}
}

// buildEvalFor writes the evaluation graph behind a cut for a provider, with products in a type.
func buildEvalFor(net *yolov5.Network, state map[string]*onnx.Tensor, c Cut, products onnx.DType, target pass.Target) (*onnx.Model, error) {
	m, err := buildEval(net, state, c)
	if err == nil && products != onnx.Undefined {
		err = pass.Run(m, pass.Mixed(products, target)...)
	}
	return m, err
}

// BuildEval writes the model that validation and detection run: uint8
// pictures of any size in, each level's raw output out as head0, head1, ….
func BuildEval(net *yolov5.Network, state map[string]*onnx.Tensor) (*onnx.Model, error) {
	b, heads, err := Inference(net, state, onnx.Uint8, pass.AnyPictures())
	return evalModel(b, heads, err)
}

// evalModel ends an evaluation graph whose heads were built with err.
func evalModel(b *op.Builder, heads []*onnx.Value, err error) (*onnx.Model, error) {
	if err != nil {
		return nil, fmt.Errorf("build the evaluation graph: %w", err)
	}
	for i, h := range heads {
		b.Output(fmt.Sprintf("head%d", i), h)
	}
	return simplified(b)
}

// BuildExport writes the model as YOLOv5's exporter lays it out: images
// [N,3,H,W] in 0…1 to output0 [N, rows, 5+nc], Conv and BatchNorm folded.
func BuildExport(net *yolov5.Network, state map[string]*onnx.Tensor, batch, height, width int) (*onnx.Model, error) {
	b, heads, err := Inference(net, state, onnx.Float, onnx.Dims(int64(batch), 3, int64(height), int64(width)))
	if err != nil {
		return nil, fmt.Errorf("build the export: %w", err)
	}
	return decodedModel(b, net, heads, "build the export")
}

// decodedModel ends a graph with the decoded boxes as output0; doing is what its errors begin with.
func decodedModel(b *op.Builder, net *yolov5.Network, heads []*onnx.Value, doing string) (*onnx.Model, error) {
	rows, err := net.Decode(b, heads)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	b.Output("output0", rows)
	return simplified(b)
}

// simplified is the graph that a builder wrote, after the standard passes.
func simplified(b *op.Builder) (*onnx.Model, error) {
	if err := pass.Run(b.Model, pass.Standard...); err != nil {
		return nil, err
	}
	return b.Model, b.Err()
}

// Optimizers are the names that Optimizer options take.
var Optimizers = []string{"SGD", "Adam", "AdamW"}

// ClipNorm is YOLOv5's largest global norm of the gradients.
const ClipNorm = 10

// LossOf picks the loss's hyperparameters.
func LossOf(h dataset.Hyp) loss.Options {
	return loss.Options{Box: h.Box, Obj: h.Obj, Cls: h.Cls, ObjPW: h.ObjPW, ClsPW: h.ClsPW,
		FLGamma: h.FLGamma, LabelSmoothing: h.LabelSmoothing, AnchorT: h.AnchorT}
}
