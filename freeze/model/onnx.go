package model

import (
	"errors"
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/ref"
	"yolofreeze/onnx/wire"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/branch"
	"yolofreeze/onnx/yolov5/names"
)

func loadONNX(path string) (*Model, error) {
	g, err := wire.Read(path)
	if err != nil {
		return nil, err
	}
	if hasIntegers(g) {
		return nil, &disk.InputError{Path: path, Err: errors.New("it computes on 8-bit integers: it can be inspected, validated and find objects, but be neither trained nor written anew; take the weights that it was made from")}
	}
	return modelOfONNX(path, g)
}

// modelOfONNX reads the network from an export's graph. What yolofreeze wrote of
// it in the metadata, with the backbone's end and exact anchors, goes before
// what the graph shows.
func modelOfONNX(path string, g *onnx.Model) (*Model, error) {
	var described *Model
	if about, ok := g.Metadata[ModelKey]; ok {
		var err error
		if described, err = describedModel(path, about); err != nil {
			return nil, err
		}
		if len(described.Net.Branches) > 0 {
			return described, described.fromBranches(g)
		}
	}
	net, state, err := yolov5.FromGraph(g, evaluate)
	if err != nil {
		return nil, &disk.InputError{Path: path, Err: err}
	}
	m := &Model{Path: path, Net: net, State: state, Metadata: travelling(g.Metadata)}
	if described != nil {
		described.Net.SetFolded(net.Folded)
		if m.State, err = described.Net.Pick(state); err != nil {
			return nil, &disk.InputError{Path: path, Err: fmt.Errorf("metadata %s does not fit the graph: %w", ModelKey, err)}
		}
		m.Net, m.Names = described.Net, described.Names
		return m, nil
	}
	if text, ok := g.Metadata["names"]; ok {
		if m.Names, err = names.Parse(text); err != nil {
			return nil, &disk.InputError{Path: path, Err: fmt.Errorf("metadata: %w", err)}
		}
	}
	return m, m.CheckNames()
}

// fromBranches reads the weights of a described model's branches from their graphs.
func (m *Model) fromBranches(g *onnx.Model) error {
	graphs, err := branch.Alone(g, len(m.Net.Branches))
	if err != nil {
		return m.fault(err)
	}
	named := map[string]*onnx.Tensor{}
	for i, one := range graphs {
		net, state, err := yolov5.FromGraph(one, evaluate)
		if err != nil {
			return m.fault(fmt.Errorf("branch %d: %w", i, err))
		}
		m.Net.SetFolded(net.Folded)
		_, inAll, err := branch.Of(m.Net, i)
		if err != nil {
			return m.fault(err)
		}
		for name, t := range state {
			named[inAll(name)] = t
		}
	}
	if m.State, err = m.Net.Pick(named); err != nil {
		return m.fault(fmt.Errorf("metadata %s does not fit the graph: %w", ModelKey, err))
	}
	m.Metadata = travelling(g.Metadata)
	return nil
}

// evaluate runs a graph by the operators' definitions, in float64.
func evaluate(g *onnx.Model, feeds map[string]*onnx.Tensor) (map[string]*onnx.Tensor, error) {
	in := make(map[string]*ref.Array, len(feeds))
	for name, t := range feeds {
		in[name] = ref.FromTensor(t)
	}
	out, err := ref.Run(g, in)
	if err != nil {
		return nil, err
	}
	answers := make(map[string]*onnx.Tensor, len(out))
	for name, a := range out {
		answers[name] = a.Tensor(onnx.Double)
	}
	return answers, nil
}
