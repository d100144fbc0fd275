package freeze

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Parameter is what a plan knows of a tensor. Buffer marks BatchNorm's running
// statistics and other tensors that no gradient reaches.
type Parameter struct {
	Name   string
	Shape  []int64
	Buffer bool
}

// Network is what selectors are held against. Layers are numbered as in model.<i>.
type Network struct {
	Parameters []Parameter
	Layers     int // number of layers; 0: as many as the names show
	Backbone   int // number of backbone layers by the model's own table: 10 for v6, 12 for P6; 0: unknown
	Head       int // index of the Detect layer; 0: unknown
}

// Entry says what happens to one tensor, and by which selector or BatchNorm policy.
type Entry struct {
	Name   string
	Shape  []int64
	Buffer bool
	Frozen bool
	By     string // "" when nothing selected it
}

// Module is a BatchNorm module and how it normalises.
type Module struct {
	Name string // such as model.0.bn
	Mode BN
	By   string // the policy that decided; "" when none did
}

// Plan says which parameters train and why. The zero Plan is empty.
type Plan struct {
	Selectors []string // option freeze as given
	Policies  []string // option bn as given
	Layers    int
	Backbone  int
	Head      int
	Rates     Rates   // how fast what trains does
	Entries   []Entry // in the network's order
	BatchNorm []Module

	entry map[string]int
	mode  map[string]int
}

// New applies selectors and BatchNorm policies to a network. Without a policy
// that names no selector, frozen BatchNorm is Eval.
// A selector that matches nothing, an exclusion without effect, a plan file of
// another network, selectors that freeze nothing or everything are errors.
func New(net Network, selectors Selectors, policies ...Policy) (*Plan, error) {
	p, err := build(net, selectors, policies)
	if err != nil {
		return nil, err
	}
	fromFile := slices.ContainsFunc(selectors, func(s Selector) bool { return s.kind == planFile })
	if len(selectors) > 0 && !fromFile && !slices.ContainsFunc(p.Entries, func(e Entry) bool { return e.Frozen && !e.Buffer }) {
		return nil, unfit("`freeze %s` freezes nothing: it leaves no parameter frozen", strings.Join(selectors.Texts(), ",")).
			hint("layers such as Upsample and Concat have no parameters; see yolofreeze inspect")
	}
	return p, nil
}

func build(net Network, selectors Selectors, policies []Policy) (*Plan, error) {
	net = net.complete()
	p := &Plan{Selectors: selectors.Texts(), Layers: net.Layers, Backbone: net.Backbone, Head: net.Head}
	for _, q := range net.Parameters {
		p.Entries = append(p.Entries, Entry{Name: q.Name, Shape: slices.Clone(q.Shape), Buffer: q.Buffer})
	}
	if err := p.indexEntries(); err != nil {
		return nil, err
	}
	filed := map[string]Module{} // BatchNorm modes that a plan file states
	for _, s := range selectors {
		if err := p.apply(net, s, filed); err != nil {
			return nil, err
		}
	}
	if err := p.normalise(net, selectors, policies, filed); err != nil {
		return nil, err
	}
	if s := p.Summary(); s.Trainable.Tensors == 0 && s.Frozen.Tensors > 0 {
		return nil, unfit("`freeze %s` freezes everything: all %d parameters, nothing would train", strings.Join(p.Selectors, ","), s.Frozen.Tensors).
			hint("leave the Detect layer trainable: `freeze %d`", p.lastLayer())
	}
	if len(selectors) == 1 && selectors[0].kind == planFile && !slices.ContainsFunc(policies, func(q Policy) bool { return q.on != nil }) {
		p.Selectors, p.Policies = slices.Clone(selectors[0].plan.Selectors), slices.Clone(selectors[0].plan.Policies)
	}
	return p, nil
}

// apply lets one selector decide over the entries it matches.
func (p *Plan) apply(net Network, s Selector, filed map[string]Module) error {
	if s.kind == planFile {
		return p.repeat(s, filed)
	}
	if err := net.fits(s); err != nil {
		return err
	}
	matched, changed := 0, 0
	for i := range p.Entries {
		e := &p.Entries[i]
		if !s.matches(net, e.Name) {
			continue
		}
		delete(filed, module(e.Name))
		if e.Buffer { // follows its BatchNorm's mode
			continue
		}
		matched++
		if e.Frozen == s.Exclude {
			changed++
		}
		e.Frozen, e.By = !s.Exclude, s.Text
	}
	switch {
	case s.Exclude && changed == 0 && (matched > 0 || net.hasLayer(s)):
		return unfit("selector %q has no effect: nothing it matches is frozen", s.Text).
			hint("exclusions stand after what they are taken from, such as backbone,!model.9.")
	case matched == 0 && net.hasLayer(s): // without parameters, such as Upsample and Concat
		return nil
	case matched == 0 && slices.ContainsFunc(p.Entries, func(e Entry) bool { return s.matches(net, e.Name) }):
		return unfit("selector %q matches only buffers, which do not train", s.Text).
			hint("`bn eval` fixes the running statistics of BatchNorm")
	case matched == 0:
		return unfit("selector %q matches no parameter", s.Text).didYouMean(suggest(net, s))
	}
	return nil
}

// repeat takes every decision from a plan file made for the same names.
func (p *Plan) repeat(s Selector, filed map[string]Module) error {
	for _, e := range s.plan.Entries {
		i, ok := p.entry[e.Name]
		if !ok {
			return unfit("%s: tensor %s is not in this model", s.Text, e.Name).
				hint("a plan file repeats a plan on the same layers; use selectors for another model")
		}
		p.Entries[i].Frozen, p.Entries[i].By = e.Frozen, e.By
	}
	for _, e := range p.Entries {
		if _, ok := s.plan.entry[e.Name]; !ok {
			return unfit("%s: the plan does not speak of this model's tensor %s", s.Text, e.Name).
				hint("a plan file repeats a plan on the same layers; use selectors for another model")
		}
	}
	p.Rates = s.plan.Rates
	clear(filed)
	for _, m := range s.plan.BatchNorm {
		filed[m.Name] = m
	}
	return nil
}

// complete fills in the number of layers from the names.
func (net Network) complete() Network {
	for _, q := range net.Parameters {
		net.Layers = max(net.Layers, Layer(q.Name)+1)
	}
	return net
}

// span returns the layers that a word stands for.
func (net Network) span(word string) (first, last int) {
	switch word {
	case "backbone":
		return 0, net.Backbone - 1
	case "neck":
		return net.Backbone, net.Head - 1
	case "head":
		return net.Head, net.Head
	}
	return 0, net.Layers - 1
}

// fits refuses layers that the network does not have and parts that it does not name.
func (net Network) fits(s Selector) error {
	switch {
	case s.kind == layers && s.last >= net.Layers && s.first == 0 && !strings.Contains(s.Text, "-"):
		return unfit("selector %q: the model has %d layers, 0 to %d", s.Text, net.Layers, net.Layers-1)
	case s.kind == layers && s.last >= net.Layers:
		return unfit("selector %q: no layer %d, the model has layers 0 to %d", s.Text, s.last, net.Layers-1)
	case s.kind == word && s.pattern == "all":
	case s.kind == word && (net.Backbone <= 0 && s.pattern != "head" || net.Head <= 0 && s.pattern != "backbone"):
		return unfit("selector %q: this model's layer table does not say where its %s is", s.Text, s.pattern).
			hint("select layers by number, such as 0-9")
	}
	return nil
}

// hasLayer reports whether a selector names an existing layer by number or as model.<i>.
func (net Network) hasLayer(s Selector) bool {
	i := Layer(s.pattern + ".")
	return s.kind == layers || s.kind == prefix && i >= 0 && i < net.Layers && strings.Count(s.pattern, ".") == 1
}

func (p *Plan) indexEntries() error {
	p.entry, p.mode = map[string]int{}, map[string]int{}
	for i, e := range p.Entries {
		if _, twice := p.entry[e.Name]; twice {
			return unfit("tensor %s is listed twice", e.Name)
		}
		p.entry[e.Name] = i
	}
	for i, m := range p.BatchNorm {
		if _, twice := p.mode[m.Name]; twice {
			return unfit("module %s is listed twice", m.Name)
		}
		p.mode[m.Name] = i
	}
	return nil
}

// network is what the plan was made for.
func (p *Plan) network() Network {
	net := Network{Layers: p.Layers, Backbone: p.Backbone, Head: p.Head}
	for _, e := range p.Entries {
		net.Parameters = append(net.Parameters, Parameter{e.Name, e.Shape, e.Buffer})
	}
	return net
}

func (p *Plan) lastLayer() int {
	if p.Head > 0 {
		return p.Head
	}
	return max(p.Layers-1, 0)
}

// Frozen reports whether the tensor called name stays as it is, false for unknown names.
func (p *Plan) Frozen(name string) bool {
	i, ok := p.entry[name]
	return ok && p.Entries[i].Frozen
}

// FrozenNames returns the parameters that stay as they are, buffers aside.
func (p *Plan) FrozenNames() []string { return p.names(true) }

// FrozenLayers says, a line a layer, which have parameters that stay as they are, and how
// many of theirs where not all do. Parameters outside layers have lines of their own.
func (p *Plan) FrozenLayers() (lines []string) {
	frozen, all := map[int]int{}, map[int]int{}
	for _, e := range p.Entries {
		if !e.Buffer {
			all[Layer(e.Name)]++
			if e.Frozen {
				frozen[Layer(e.Name)]++
			}
		}
	}
	told := map[int]bool{}
	for _, name := range p.FrozenNames() {
		switch layer := Layer(name); {
		case layer < 0:
			lines = append(lines, name)
		case told[layer]:
		case frozen[layer] == all[layer]:
			lines = append(lines, fmt.Sprintf("model.%d, %d tensors", layer, all[layer]))
		default:
			lines = append(lines, fmt.Sprintf("model.%d, %d of %d tensors", layer, frozen[layer], all[layer]))
		}
		told[Layer(name)] = true
	}
	return lines
}

// TrainableNames returns the parameters that train.
func (p *Plan) TrainableNames() []string { return p.names(false) }

func (p *Plan) names(frozen bool) []string {
	names := []string{}
	for _, e := range p.Entries {
		if !e.Buffer && e.Frozen == frozen {
			names = append(names, e.Name)
		}
	}
	return names
}

// Moves says what changes a layer's output for a given input during training,
// "" when nothing does: a parameter that trains, or statistics of its BatchNorm.
func (p *Plan) Moves(layer int) string {
	for _, e := range p.Entries {
		if !e.Buffer && !e.Frozen && Layer(e.Name) == layer {
			return e.Name + " trains"
		}
	}
	for _, m := range p.BatchNorm {
		if m.Mode == Batch && Layer(m.Name+".") == layer {
			return "the statistics of " + m.Name + " move"
		}
	}
	return ""
}

// FixedPrefix returns how many leading layers give the same output all through
// training; layers without parameters count.
func (p *Plan) FixedPrefix() int {
	for layer := range p.Layers {
		if p.Moves(layer) != "" {
			return layer
		}
	}
	return p.Layers
}

// Count is a number of tensors and of their elements.
type Count struct {
	Tensors  int   `json:"tensors"`
	Elements int64 `json:"elements"`
}

// Summary counts parameters, buffers aside, and BatchNorm modules by mode.
type Summary struct {
	Frozen    Count      `json:"frozen"`
	Trainable Count      `json:"trainable"`
	BatchNorm map[BN]int `json:"batchnorm"`
}

// Same reports whether two plans freeze the same tensors, with the same BatchNorm.
func (p *Plan) Same(other *Plan) bool {
	return slices.EqualFunc(p.Entries, other.Entries, func(a, b Entry) bool { return a.Name == b.Name && a.Frozen == b.Frozen }) &&
		slices.EqualFunc(p.BatchNorm, other.BatchNorm, func(a, b Module) bool { return a.Name == b.Name && a.Mode == b.Mode })
}

// Summary counts what is frozen and what trains.
func (p *Plan) Summary() Summary {
	s := Summary{BatchNorm: map[BN]int{}}
	for _, e := range p.Entries {
		if e.Buffer {
			continue
		}
		c := &s.Trainable
		if e.Frozen {
			c = &s.Frozen
		}
		c.Tensors++
		c.Elements += elements(e.Shape)
	}
	for _, m := range p.BatchNorm {
		s.BatchNorm[m.Mode]++
	}
	return s
}

func elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

func (s Summary) String() string {
	tensors, all := s.Frozen.Tensors+s.Trainable.Tensors, s.Frozen.Elements+s.Trainable.Elements
	text := fmt.Sprintf("frozen %d of %d tensors, %d of %d elements (%.1f %%)", s.Frozen.Tensors, tensors,
		s.Frozen.Elements, all, 100*float64(s.Frozen.Elements)/float64(max(all, 1)))
	var modes []string
	for _, m := range Modes {
		if n := s.BatchNorm[m]; n > 0 {
			modes = append(modes, fmt.Sprintf("%d %s", n, m))
		}
	}
	if len(modes) > 0 {
		text += "; BatchNorm " + strings.Join(modes, ", ")
	}
	return text
}

// WriteTable writes a line per tensor: name, shape, trains or frozen, by what.
func (p *Plan) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "tensor\tshape\tstate\tby")
	for _, e := range p.Entries {
		state := "trains"
		switch {
		case e.Frozen:
			state = "frozen"
		case e.Buffer:
			state = "moves"
		}
		fmt.Fprintf(t, "%s\t%v\t%s\t%s\n", e.Name, e.Shape, state, e.By)
	}
	return t.Flush()
}
