package export

import (
	"context"
	"fmt"
	"slices"
	"time"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/wire"
)

// Cost is what an export takes for its batch; its JSON keys are stable.
type Cost struct {
	GFLOPs       float64 `json:"gflops"` // of convolutions and matrix products, a multiplication with an addition counting as two
	Milliseconds float64 `json:"ms"`     // median of a few runs
}

// Costs counts and measures exports of a fixed size, by turns.
func Costs(ctx context.Context, graphs []*onnx.Model, o ort.Options) ([]Cost, error) {
	costs, times := make([]Cost, len(graphs)), make([][]time.Duration, len(graphs))
	var sessions []*ort.Session
	defer func() {
		for _, s := range sessions {
			s.Close()
		}
	}()
	for i, g := range graphs {
		data, err := wire.Encode(g)
		if err != nil {
			return nil, fmt.Errorf("measure: %w", err)
		}
		s, err := ort.Open(data, o)
		if err != nil {
			return nil, fmt.Errorf("measure: %w", err)
		}
		sessions = append(sessions, s)
		if costs[i].GFLOPs, err = gflops(g); err != nil {
			return nil, fmt.Errorf("measure: %w", err)
		}
	}
	const rounds = 6 // the first one does not count
	for round := range rounds {
		for i, g := range graphs {
			shape, _ := g.Inputs[0].Type.Static()
			start := time.Now()
			if _, err := sessions[i].Run(map[string]*onnx.Tensor{g.Inputs[0].Name: onnx.NewTensor(g.Inputs[0].Type.DType, shape...)}); err != nil {
				return nil, fmt.Errorf("measure: %w", err)
			}
			if round > 0 {
				times[i] = append(times[i], time.Since(start))
			}
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
		}
	}
	for i, list := range times {
		slices.Sort(list)
		costs[i].Milliseconds = list[len(list)/2].Seconds() * 1e3
	}
	return costs, nil
}

// gflops counts a graph's floating-point operations, in billions.
func gflops(g *onnx.Model) (float64, error) {
	if err := op.InferTypes(g); err != nil {
		return 0, err
	}
	total := 0.0
	for _, n := range g.Nodes {
		var each int64 // products of an output's sum
		switch n.Op {
		case "Conv":
			each = onnx.NumElements(shapeOf(n.Inputs[1])[1:])
		case "MatMul":
			s := shapeOf(n.Inputs[0])
			each = s[len(s)-1]
		default:
			continue
		}
		out, ok := n.Outputs[0].Type.Static()
		if !ok {
			return 0, fmt.Errorf("node %q puts out %v, of no fixed size", n.Name, n.Outputs[0].Type)
		}
		total += 2 * float64(each*onnx.NumElements(out))
	}
	return total / 1e9, nil
}

func shapeOf(v *onnx.Value) []int64 {
	shape, _ := v.Type.Static()
	return shape
}
