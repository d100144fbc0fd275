package step

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
)

// With ort.Options.Capture the provider records what a graph's first run does
// on the device and repeats it at each later one, at the same addresses. So all
// that the graph reads and writes lies on the device, and a graph of copies
// before it and one behind it carry what the host gives and takes. The graphs of
// the engine's own size are captured, each in its session; those of other sizes,
// evaluation and the copies are not.

// record runs a graph for the first time, which the provider does several times over,
// each on what the one before has left in the state (onnxruntime issue 32243).
func (r *runner) record(b *Bound) error {
	if err := r.rehearse(func() error { return r.state.update(b) }); err != nil {
		return fmt.Errorf("capture it: %w", err)
	}
	b.recorded = true
	return nil
}

// rehearse runs graphs without a trace, as what there was is put back afterwards: gradients
// so far, running statistics, weights, moments, averages. Nothing else accumulates: Adam's
// step and the loss's scale are the host's, and enter as scalars.
func (r *runner) rehearse(run func() error) error {
	if err := r.state.Sync(); err != nil {
		return err
	}
	saved := map[string][]byte{}
	_ = r.state.each(func(p *piece) error {
		saved[p.name] = slices.Clone(p.host.Raw)
		return nil
	})
	if err := run(); err != nil {
		return err
	}
	_ = r.state.each(func(p *piece) error {
		copy(p.host.Raw, saved[p.name])
		return nil
	})
	r.state.Upload()
	return r.state.upload()
}

// connect makes the copying graphs of a captured graph whose values are bound.
func (r *runner) connect(b *Bound, m *onnx.Model) (err error) {
	if !b.session.Captures() {
		return nil
	}
	if b.copyIn, err = r.copies(b, m.Inputs, func(name string, host *ort.Value) (from, to *ort.Value) { return host, b.values[name] }); err != nil {
		return err
	}
	b.copyOut, err = r.copies(b, m.Outputs, func(name string, host *ort.Value) (from, to *ort.Value) { return b.values[name], host })
	return err
}

// copies opens the graph that copies those of a list of b's inputs or outputs which
// are not state; nil if all are. ends says from where to where, given the host's value.
func (r *runner) copies(b *Bound, list []*onnx.Value, ends func(name string, host *ort.Value) (from, to *ort.Value)) (*Bound, error) {
	g := op.NewBuilder("copies")
	for _, v := range list {
		if r.state.values[stateOf(v.Name)] == nil {
			g.Output(optim.Out(v.Name), g.Op("Identity", nil, g.Input(v.Name, v.Type.DType, v.Type.Shape)))
		}
	}
	if g.Err() != nil || len(g.Model.Inputs) == 0 {
		return nil, g.Err()
	}
	c, err := Open(g.Model, r.uncaptured())
	if err != nil {
		return nil, fmt.Errorf("open a graph of copies: %w", err)
	}
	for _, v := range g.Model.Inputs {
		host, err := c.value(v.Name, r.tensor(b, v.Name))
		if err == nil {
			from, to := ends(v.Name, host)
			err = errors.Join(c.binding.Input(v.Name, from), c.binding.Output(optim.Out(v.Name), to))
		}
		if err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// uncaptured are the options of graphs that run as they are.
func (r *runner) uncaptured() ort.Options {
	o := r.options
	o.Capture = false
	return o
}

// notCaptured finds out which nodes the provider left to the CPU provider; the
// runtime does not say. Where that fails, its own error stands.
func (r *runner) notCaptured(what string, m *onnx.Model, err error) error {
	o := r.uncaptured()
	o.Placement = true
	b, failed := Open(m, o)
	if failed != nil {
		return err
	}
	defer b.Close()
	list, failed := b.fallbacks(what)
	if failed != nil || len(list) == 0 {
		return err
	}
	count := map[string]int{}
	for _, f := range list {
		count[f.Op]++
	}
	c := &UnfitError{Device: b.session.Device(), Reason: "cannot capture it, since nodes are left to the CPU provider", Cure: "leave `cuda-graph` out"}
	for _, op := range slices.Sorted(maps.Keys(count)) {
		c.Nodes = append(c.Nodes, fmt.Sprintf("%d %s", count[op], op))
	}
	return c
}
