package yolov5_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"yolofreeze/onnx"
	"yolofreeze/onnx/testkit/hostile"
	"yolofreeze/onnx/wire"
	"yolofreeze/onnx/yolov5"
)

// FuzzFromGraph: whatever file the wire lets through is a network or an error.
func FuzzFromGraph(f *testing.F) {
	for _, name := range []string{"v3: Focus, BottleneckCSP, SPP", "ghosts"} {
		net := generation(f, name, true)
		data, err := wire.Encode(decodedGraph(f, net, started(f, net), onnx.Dims(1, 3, 32, 32)...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		m, err := wire.Decode(data)
		if err != nil {
			return
		}
		net, state, err := yolov5.FromGraph(m, evaluate)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		if params, err := net.Params(); err != nil || len(params) != len(state) {
			t.Errorf("%d tensors for a network of %d: %v", len(state), len(params), err)
		}
	})
}

// TestSpoiledGraphs: graphs with random damage are networks or errors, soon.
func TestSpoiledGraphs(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	var files [][]byte
	for _, name := range slices.Sorted(maps.Keys(generations)) {
		net := generation(t, name, true)
		data, err := wire.Encode(decodedGraph(t, net, started(t, net), onnx.Dims(1, 3, 32, 32)...))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, data)
	}
	rounds, networks := 2000, 0
	if testing.Short() {
		rounds = 200
	}
	for i := range rounds {
		m, err := wire.Decode(files[i%len(files)])
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + random.IntN(3) {
			spoil(m, random)
		}
		start := time.Now()
		_, _, err = yolov5.FromGraph(m, evaluate)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("round %d took %v", i, took)
		}
		if err == nil {
			networks++
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("round %d: error of several lines: %q", i, err)
		}
	}
	if networks == 0 || networks > rounds/2 {
		t.Errorf("%d of %d spoiled graphs are networks", networks, rounds)
	}
}

// spoil changes one thing in a graph, which then may be no graph any more.
func spoil(m *onnx.Model, random *rand.Rand) {
	pick := func(n int) int { return random.IntN(max(n, 1)) }
	n := m.Nodes[pick(len(m.Nodes))]
	var values []*onnx.Value
	for _, other := range m.Nodes {
		values = append(values, other.Inputs...)
	}
	values = slices.DeleteFunc(values, func(v *onnx.Value) bool { return v == nil })
	switch random.IntN(10) {
	case 0:
		n.Inputs = n.Inputs[:pick(len(n.Inputs)+1)]
	case 1:
		if len(n.Inputs) > 0 {
			n.Inputs[pick(len(n.Inputs))] = nil
		}
	case 2:
		if len(n.Inputs) > 0 {
			n.Inputs[pick(len(n.Inputs))] = values[pick(len(values))]
		}
	case 3:
		n.Attrs = nil
	case 4:
		for i, a := range n.Attrs {
			if v, ok := a.Value.([]int64); ok && len(v) > 0 {
				v = slices.Clone(v)
				v[pick(len(v))] = []int64{-1, 0, 7, 1 << 40, -1 << 63}[pick(5)]
				n.Attrs[i].Value = v
			}
		}
	case 5:
		n.Op = m.Nodes[pick(len(m.Nodes))].Op
	case 6:
		v := m.Initializers[pick(len(m.Initializers))]
		v.Const = []*onnx.Tensor{onnx.Scalar(float32(2)), onnx.NewTensor(onnx.Int64, 0), onnx.NewTensor(onnx.Float, 2, 2, 2, 2, 2), onnx.NewTensor(onnx.Bool, 3)}[pick(4)]
	case 7:
		shape := append(slices.Clone(m.Inputs[0].Type.Shape), onnx.Dim{Size: 9})
		shape[pick(len(shape))] = onnx.Dim{Size: []int64{-1, 0, 3, 1 << 50}[pick(4)]}
		m.Inputs[0].Type.Shape = shape[:4+pick(2)]
	case 8:
		if len(n.Outputs) > 0 {
			n.Outputs[pick(len(n.Outputs))] = nil
		}
	case 9:
		m.Outputs = append(m.Outputs[:random.IntN(2)], values[pick(len(values))])
	}
}
