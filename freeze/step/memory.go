package step

import "yolofreeze/onnx"

const memoryMargin = 1.6 // of what a process grew by over what the graph tells, yolov5n at 320 pixels, frozen and not

// Memory estimates the bytes of a step: fixed ones, and for each picture
// of the batch. It goes by the graphs for one picture and for two.
func Memory(spec Spec) (fixed, picture int64, err error) {
	var peaks [2]int64
	for i := range peaks {
		spec.Batch = i + 1
		graphs, err := Build(&spec)
		if err != nil {
			return 0, 0, err
		}
		peaks[i] = int64(memoryMargin * float64(peakBytes(graphs.Training)))
	}
	picture = peaks[1] - peaks[0]
	return max(peaks[0]-picture, 0), picture, nil
}

// peakBytes is the most memory that a graph's values take at one time when its
// nodes run in order and each value lives from its producer to its last user.
// Inputs, constants and outputs live all the time. Values of unknown size, such as
// those of each match, count nothing.
func peakBytes(m *onnx.Model) int64 {
	last := map[*onnx.Value]int{}
	for i, n := range m.Nodes {
		for _, v := range n.Inputs {
			last[v] = i
		}
	}
	var live int64
	for _, list := range [][]*onnx.Value{m.Inputs, m.Initializers} {
		for _, v := range list {
			live += valueBytes(v)
			last[v] = -1
		}
	}
	for _, v := range m.Outputs {
		last[v] = len(m.Nodes)
	}
	peak := live
	for i, n := range m.Nodes {
		for _, v := range n.Outputs {
			live += valueBytes(v)
		}
		peak = max(peak, live)
		seen := map[*onnx.Value]bool{}
		for _, v := range append(n.Inputs[:len(n.Inputs):len(n.Inputs)], n.Outputs...) {
			if v == nil || seen[v] {
				continue
			}
			seen[v] = true
			if at, used := last[v]; at == i || !used {
				live -= valueBytes(v)
			}
		}
	}
	return peak
}

func valueBytes(v *onnx.Value) int64 {
	if v == nil {
		return 0
	}
	shape, ok := v.Type.Static()
	if v.Const != nil {
		shape, ok = v.Const.Shape, true
	}
	if !ok {
		return 0
	}
	size := int64(v.Type.DType.Size())
	for _, d := range shape {
		size *= d
	}
	return size
}
