package yolov5

import (
	"fmt"
	"slices"
	"strings"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// pattern is a layer as this package builds it, to be found in a file.
type pattern struct {
	*skeleton
	inputs []*onnx.Value
	output *onnx.Value
}

func newPattern(net *Network, l Layer) (*pattern, error) {
	b := op.NewBuilder("pattern")
	g := Graph{Builder: b, Net: net, Param: func(p Param) *onnx.Value { return b.Input(p.Name, onnx.Float, onnx.Dims(p.Shape...)) }}
	p := &pattern{}
	some := onnx.Dim{Size: onnx.Unknown}
	for i, c := range l.In {
		p.inputs = append(p.inputs, b.Input(fmt.Sprintf("input%d", i), onnx.Float, []onnx.Dim{some, {Size: c}, some, some}))
	}
	y := g.layer(l, p.inputs)
	p.skeleton = newSkeleton(b.Model.Nodes)
	p.output = p.root(y)
	return p, b.Err()
}

// pair is a unit of a pattern and what it was found to be.
type pair struct{ pattern, file *unit }

// search matches a pattern's units one after another against a file's.
type search struct {
	*pattern
	file  *skeleton
	avoid func(*unit) bool // units that are spoken for
	to    map[*onnx.Value]*onnx.Value
	pairs []pair
	steps int // taken so far; a graph of many equal parts could ask for endless ones
}

const maxSteps = 100_000

// find looks for the pattern from the given inputs on. Inner values must be read
// by the pattern's own units only. Any activation counts as any other.
func (p *pattern) find(file *skeleton, inputs []*onnx.Value, avoid func(*unit) bool) ([]pair, bool) {
	s := &search{pattern: p, file: file, avoid: avoid, to: map[*onnx.Value]*onnx.Value{}}
	for i, in := range p.inputs {
		s.to[in] = inputs[i]
	}
	found := s.next(0)
	return s.pairs, found
}

func (s *search) next(i int) bool {
	if i == len(s.units) {
		return s.closed()
	}
	p := s.units[i]
	for _, f := range s.file.users[s.to[p.in[0]]] {
		if s.steps++; s.steps > maxSteps {
			return false
		}
		if s.avoid(f) || s.uses(f) || !s.alike(p, f) {
			continue
		}
		s.to[p.out] = f.out
		s.pairs = append(s.pairs, pair{p, f})
		if s.next(i + 1) {
			return true
		}
		s.pairs = s.pairs[:i]
	}
	return false
}

func (s *search) uses(f *unit) bool {
	return slices.ContainsFunc(s.pairs, func(p pair) bool { return p.file == f })
}

func (s *search) alike(p, f *unit) bool {
	if p.kind != f.kind || len(p.in) != len(f.in) || p.kind != unitAct && p.detail != f.detail {
		return false
	}
	if p.kind == unitConv && p.node.Input(2) == nil && f.node.Input(2) != nil {
		return false
	}
	same := true
	for i, in := range p.in {
		same = same && s.to[in] == f.in[i]
	}
	return same || p.kind == unitAdd && s.to[p.in[0]] == f.in[1] && s.to[p.in[1]] == f.in[0]
}

func (s *search) closed() bool {
	for _, p := range s.pairs {
		if p.pattern.out == s.output {
			continue
		}
		for _, user := range s.file.users[p.file.out] {
			if !s.uses(user) {
				return false
			}
		}
	}
	return true
}

// params yields the tensors of a matched unit by their names in the pattern. A
// convolution whose bias a simplifier left out has one of zeros.
func (p pair) params(yield func(name string, t *onnx.Tensor)) {
	for i, v := range p.pattern.node.Inputs {
		if i == 0 || v == nil || p.pattern.kind != unitConv && p.pattern.kind != unitNorm {
			continue
		}
		t := constant(p.file.node.Input(i))
		if t == nil && i == 2 {
			shape, _ := v.Type.Static()
			t = onnx.NewTensor(onnx.Float, shape...)
		}
		yield(v.Name, t)
	}
}

// module is the name of the module that a matched activation ends.
func (p pair) module() string {
	name, _, _ := strings.Cut(p.pattern.node.Name, ".act/")
	return name
}
