package yolov5

import (
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// recogniser finds the layers of a graph one after another: it guesses a row of
// the table, builds that layer, and looks for what it built in the file.
type recogniser struct {
	file  *skeleton
	table tableParser // the rows found, parsed
	rows  []any
	made  []*onnx.Value // the output of each layer
	index map[*onnx.Value]int
	image *onnx.Value
	taken map[*unit]bool // by layers, and the head's convolutions
	state map[string]*onnx.Tensor
	acts  map[string]activation // by the module that ends in it
}

// guess is a row of the table without its inputs.
type guess struct {
	repeat int
	kind   string
	args   []any
	act    string // "Identity": a Conv that ends in none
}

// maxLayers is far above any table's rows, and the repeats of one of them.
const maxLayers = 1000

// layers reads the table's rows up to the Detect layer.
func (r *recogniser) layers() error {
	for len(r.made) < maxLayers {
		u, inputs := r.next()
		if u == nil {
			return r.rest()
		}
		if err := r.layer(u, inputs); err != nil {
			return err
		}
	}
	return unfit("the graph goes on after %d layers", maxLayers)
}

// next returns the unit that the next layer starts with, and that layer's
// inputs: one that follows the layer before if there is such, else the file's
// next whose inputs are there. That is how YOLOv5 numbers layers.
func (r *recogniser) next() (*unit, []*onnx.Value) {
	var found *unit
	for _, u := range r.file.units {
		if r.taken[u] || slices.ContainsFunc(u.in, func(v *onnx.Value) bool { _, made := r.index[v]; return v != r.image && !made }) {
			continue
		}
		if len(r.made) == 0 || slices.Contains(u.in, r.made[len(r.made)-1]) {
			return u, u.in
		}
		if found == nil {
			found = u
		}
	}
	if found == nil {
		return nil, nil
	}
	return found, found.in
}

// rest makes sure that every unit is part of a layer.
func (r *recogniser) rest() error {
	for _, u := range r.file.units {
		for _, in := range u.in {
			switch {
			case r.taken[u] || in == r.image || r.file.made[in] != nil:
			case in.Node != nil:
				return unfit("node %q (%s) is no part of a layer of YOLOv5 that yolofreeze knows", in.Node.Name, in.Node.Op)
			default:
				return unfit("node %q (%s) reads %q, not the picture", u.node.Name, u.node.Op, in.Name)
			}
		}
	}
	return nil
}

func (r *recogniser) layer(u *unit, inputs []*onnx.Value) error {
	from := make([]any, len(inputs))
	for i, v := range inputs {
		at, made := r.index[v]
		if !made {
			at = -1 // the picture
		}
		if !made && len(r.made) > 0 {
			return unfit("node %q (%s) reads the picture after %d layers", u.node.Name, u.node.Op, len(r.made))
		}
		if at == len(r.made)-1 {
			at = -1
		}
		from[i] = int64(at)
	}
	var cell any = from
	if len(from) == 1 {
		cell = from[0]
	}
	for _, g := range r.guesses(u) {
		row := []any{cell, int64(g.repeat), g.kind, g.args}
		l, _, err := r.table.row(row)
		if err != nil {
			continue
		}
		if g.act != "" {
			r.table.net.Acts[l.Name()] = g.act
		}
		p, err := newPattern(r.table.net, l)
		if err == nil {
			pairs, ok := p.find(r.file, inputs, func(u *unit) bool { return r.taken[u] })
			if ok && len(pairs) > 0 {
				return r.accept(row, p, pairs)
			}
		}
		delete(r.table.net.Acts, l.Name())
	}
	return unfit("layer %d starts at node %q (%s) and is none that yolofreeze knows", len(r.made), u.node.Name, u.node.Op)
}

func (r *recogniser) accept(row []any, p *pattern, pairs []pair) error {
	if err := r.table.layer(row); err != nil {
		return unfit("%v", err)
	}
	r.rows = append(r.rows, row)
	for _, pair := range pairs {
		r.taken[pair.file] = true
		pair.params(func(name string, t *onnx.Tensor) { r.state[name] = t })
		if pair.pattern.kind == unitAct {
			r.acts[pair.module()] = pair.file.detail.(activation)
		}
		if pair.pattern.out == p.output {
			r.index[pair.file.out] = len(r.made)
			r.made = append(r.made, pair.file.out)
		}
	}
	return nil
}

// guesses lists what a layer may be that starts with a unit, the wider ones first.
func (r *recogniser) guesses(u *unit) []guess {
	switch u.kind {
	case unitConcat:
		return []guess{{1, "Concat", []any{int64(1)}, ""}}
	case unitUpsample:
		return []guess{{1, "nn.Upsample", []any{nil, int64(2), "nearest"}, ""}}
	case unitFocus:
		if conv := r.only(u.out, unitConv); conv != nil {
			return []guess{{1, "Focus", convArgs(conv), ""}}
		}
		return nil
	case unitConv:
	default:
		return nil
	}
	var list []guess
	k := u.detail.(kernelDetail)
	if k.window == op.Square(1, 1, 0) {
		list = append(r.stages(u, k.out), r.pyramids(u)...)
		if add := r.after(u, unitAct, unitConv, unitAct, unitAdd); add != nil {
			list = append(list, guess{1, "Bottleneck", []any{2 * k.out, true}, ""})
		}
	}
	if cheap := r.after(u, unitAct, unitConv); cheap != nil && cheap.detail.(kernelDetail).window.Groups == k.out {
		for _, args := range [][]any{{4 * k.out}, {4 * k.out, int64(3), int64(2)}, {4 * k.out, int64(5), int64(2)}} {
			list = append(list, guess{1, "GhostBottleneck", args, ""})
		}
		list = append(list, guess{1, "GhostConv", []any{2 * k.out, k.window.Kernel[0], k.window.Stride[0]}, ""})
	}
	kind, args := "Conv", convArgs(u)
	if groups := k.window.Groups; groups > 1 && groups == divisor(k.in*groups, k.out) && len(args) == 5 && args[3] == k.window.Kernel[0]/2 {
		kind, args = "DWConv", args[:3]
	}
	return append(list, guess{1, kind, args, ""}, guess{1, kind, args, "Identity"})
}

// stages are the cross-stage blocks: two 1×1 convolutions side by side, each of half of the output's channels.
func (r *recogniser) stages(u *unit, hidden int64) []guess {
	beside := 0
	for _, v := range r.file.users[u.in[0]] {
		if v.kind == unitConv && !r.taken[v] && v.detail == u.detail {
			beside++
		}
	}
	if beside < 2 {
		return nil
	}
	var list []guess
	for _, kernels := range r.poolings() {
		list = append(list, guess{1, "C3SPP", []any{2 * hidden, kernels}, ""})
	}
	for n := range min(r.remaining()/2, 100) {
		for _, kind := range []string{"C3", "BottleneckCSP"} {
			list = append(list, guess{n + 1, kind, []any{2 * hidden}, ""}, guess{n + 1, kind, []any{2 * hidden, false}, ""})
		}
		list = append(list, guess{n + 1, "C3Ghost", []any{2 * hidden}, ""})
	}
	return list
}

// pyramids are SPP and SPPF: a 1×1 convolution that pools read, and a Concat with them.
func (r *recogniser) pyramids(u *unit) (list []guess) {
	act := r.after(u, unitAct)
	if act == nil {
		return nil
	}
	pool, last := r.only(act.out, unitPool), r.after(act, unitConcat, unitConv)
	if pool == nil || last == nil {
		return nil
	}
	out := last.detail.(kernelDetail).out
	list = append(list, guess{1, "SPPF", []any{out, pool.detail.(op.Window).Kernel[0]}, ""})
	for _, kernels := range r.poolings() {
		list = append(list, guess{1, "SPP", []any{out, kernels}, ""})
	}
	return list
}

// poolings lists the sizes of parallel pools: of each value that several pools read.
func (r *recogniser) poolings() (lists [][]any) {
	for _, made := range r.file.units {
		var kernels []any
		for _, u := range r.file.users[made.out] {
			if u.kind == unitPool {
				kernels = append(kernels, u.detail.(op.Window).Kernel[0])
			}
		}
		if len(kernels) > 1 && !r.taken[made] {
			lists = append(lists, kernels)
		}
	}
	return lists
}

func (r *recogniser) remaining() (convs int) {
	for _, u := range r.file.units {
		if u.kind == unitConv && !r.taken[u] {
			convs++
		}
	}
	return convs
}

// after follows the readers of a unit's output, kind by kind, past normalisations; nil where one is missing.
func (r *recogniser) after(u *unit, kinds ...unitKind) *unit {
	for _, kind := range kinds {
		if norm := r.only(u.out, unitNorm); norm != nil {
			u = norm
		}
		if u = r.only(u.out, kind); u == nil {
			return nil
		}
	}
	return u
}

// only returns the first reader of a value that is of the kind.
func (r *recogniser) only(v *onnx.Value, kind unitKind) *unit {
	for _, u := range r.file.users[v] {
		if u.kind == kind {
			return u
		}
	}
	return nil
}

// convArgs are the arguments of a Conv: channels, kernel, stride and, where they
// are not the usual ones, padding and groups.
func convArgs(u *unit) []any {
	k := u.detail.(kernelDetail)
	w := k.window
	args := []any{k.out, w.Kernel[0], w.Stride[0]}
	if w.Groups > 1 || w.Pads[0] != w.Kernel[0]/2 {
		args = append(args, w.Pads[0])
	}
	if w.Groups > 1 {
		args = append(args, w.Groups)
	}
	return args
}
