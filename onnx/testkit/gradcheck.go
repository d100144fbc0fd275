package testkit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/grad"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ref"
)

// Function is a piece of graph under test: what its inputs are, and what it makes of them.
type Function struct {
	Inputs []*onnx.Tensor
	Fixed  []int              // float inputs without a gradient, by index; integers and booleans never have one
	Shapes map[int][]onnx.Dim // declared shapes of inputs whose size only the run knows
	Build  func(b *op.Builder, x []*onnx.Value) []*onnx.Value
}

// Smooth lists the inputs that have a gradient, by index.
func (f Function) Smooth() (list []int) {
	for i, t := range f.Inputs {
		if t.DType == onnx.Float && !slices.Contains(f.Fixed, i) {
			list = append(list, i)
		}
	}
	return list
}

// Feeds returns the inputs by their names in Graph, x0, x1, ….
func (f Function) Feeds() map[string]*ref.Array {
	feeds := map[string]*ref.Array{}
	for i, t := range f.Inputs {
		feeds[inputName(i)] = ref.FromTensor(t)
	}
	return feeds
}

func inputName(i int) string { return fmt.Sprintf("x%d", i) }

// Graph builds the function, a scalar of its outputs, "loss", and the gradients
// of that with respect to the inputs wrt, "dx0" …. The scalar is the outputs'
// sum: weighted by random numbers or plain, whose gradient is a single number
// that the rules may leave unexpanded. Outputs of unknown size are summed plainly.
func (f Function) Graph(weighted bool, wrt ...int) (*onnx.Model, error) {
	b := op.NewBuilder("gradcheck")
	x := make([]*onnx.Value, len(f.Inputs))
	for i, t := range f.Inputs {
		shape, ok := f.Shapes[i]
		if !ok {
			shape = onnx.Dims(t.Shape...)
		}
		x[i] = b.Input(inputName(i), t.DType, shape)
	}
	random := rand.New(rand.NewPCG(1, 2))
	loss := b.Float(0)
	for _, y := range f.Build(b, x) {
		if sizes, ok := y.Type.Static(); ok && weighted && b.Err() == nil {
			y = b.Mul(y, b.Const(Random(random, sizes...)))
		}
		loss = b.Add(loss, b.ReduceSum(y, false))
	}
	if b.Err() != nil {
		return nil, b.Err()
	}
	params := make([]*onnx.Value, len(wrt))
	for i, k := range wrt {
		params[i] = x[k]
	}
	grads, err := grad.Build(b, loss, params, nil)
	if err != nil {
		return nil, err
	}
	b.Output("loss", loss)
	for i, g := range grads {
		b.Output("d"+inputName(wrt[i]), g)
	}
	return b.Model, b.Err()
}

// Random returns normally distributed numbers.
func Random(r *rand.Rand, shape ...int64) *onnx.Tensor {
	data := make([]float32, onnx.NumElements(shape))
	for i := range data {
		data[i] = float32(r.NormFloat64())
	}
	return onnx.Of(data, shape...)
}

// CheckGradients holds the gradients, evaluated in float64, against central
// differences along random directions: asked for together and one by one, for
// both scalars of Graph. Inputs must stay clear of kinks by more than 1e-4.
func (f Function) CheckGradients() error {
	subsets := [][]int{f.Smooth()}
	if len(subsets[0]) > 1 {
		subsets = slices.AppendSeq(subsets, slices.Chunk(subsets[0], 1))
	}
	for _, weighted := range []bool{true, false} {
		for _, wrt := range subsets {
			if err := f.compare(weighted, wrt); err != nil {
				return fmt.Errorf("gradients of inputs %v, weighted %t: %w", wrt, weighted, err)
			}
		}
	}
	return nil
}

func (f Function) compare(weighted bool, wrt []int) error {
	m, err := f.Graph(weighted, wrt...)
	if err != nil {
		return err
	}
	if err := Sound(m); err != nil {
		return err
	}
	forward, err := f.Graph(weighted)
	if err != nil {
		return err
	}
	got, err := ref.Run(m, f.Feeds())
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(3, 4))
	for _, i := range wrt {
		g := got["d"+inputName(i)]
		for range 3 {
			direction := ref.FromTensor(Random(random, f.Inputs[i].Shape...))
			want, err := f.difference(forward, i, direction)
			if err != nil {
				return err
			}
			along, size := 0.0, 1e-3
			// Where sums cancel, as behind a normalization, what is left of the difference is
			// rounding: of the two losses, by the last bit of each value that enters.
			rounding := 0.0
			for _, in := range f.Inputs {
				rounding += 0x1p-52 * float64(onnx.NumElements(in.Shape)) / step
			}
			for k, v := range direction.Data {
				along += v * g.Data[k]
				size += math.Abs(v * g.Data[k])
			}
			if d := math.Abs(along - want); !(d <= 1e-6*size+rounding) {
				return fmt.Errorf("input %d: %.9g along a direction, by differences %.9g", i, along, want)
			}
		}
	}
	return nil
}

// step is how far a central difference goes to either side.
const step = 1e-5

// difference is the loss's central difference as input i moves along a direction.
func (f Function) difference(forward *onnx.Model, i int, direction *ref.Array) (float64, error) {
	var at [2]float64
	for side, by := range []float64{step, -step} {
		feeds := f.Feeds()
		for k, v := range direction.Data {
			feeds[inputName(i)].Data[k] += by * v
		}
		out, err := ref.Run(forward, feeds)
		if err != nil {
			return 0, err
		}
		at[side] = out["loss"].Data[0]
	}
	return (at[0] - at[1]) / (2 * step), nil
}
