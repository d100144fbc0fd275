package freeze

import (
	"slices"
	"strings"
)

// BN is how a BatchNorm module normalises while training.
type BN string

// The modes of BatchNorm. A module that nothing freezes is Batch.
const (
	Eval       BN = "eval"        // by running statistics, which stay fixed
	Batch      BN = "batch"       // by the batch's statistics, and the running ones move: what YOLOv5 does even when frozen
	AffineOnly BN = "affine-only" // by running statistics, which stay fixed; scale and shift train even where selectors freeze them
)

// Modes lists the modes in the order in which they are printed.
var Modes = []BN{Eval, Batch, AffineOnly}

// Policy sets the mode of some BatchNorm modules: without a selector of those
// whose scale and shift are both frozen, with one of all that it matches.
type Policy struct {
	Mode BN
	on   *Selector
}

// ParseBN reads the values of option bn, apart by commas or blanks: a mode for
// frozen layers, or selector=mode (all=eval, neck=affine-only). Integers are
// single layers. Later ones win.
func ParseBN(values []string) ([]Policy, error) {
	var out []Policy
	for _, v := range values {
		for _, token := range fields(v) {
			p, err := parsePolicy(token)
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
	}
	return out, nil
}

func parsePolicy(token string) (Policy, error) {
	var p Policy
	mode := token
	if text, m, ok := strings.Cut(token, "="); ok {
		mode = m
		s, err := parseOne(text)
		if err != nil {
			return p, err
		}
		if s.Exclude {
			return p, usage("`bn %s`: an exclusion has no mode", token).hint("say the mode instead: %s=batch", text[1:])
		}
		p.on = &s
	}
	p.Mode = BN(mode)
	if !slices.Contains(Modes, p.Mode) {
		return p, usage("`bn %s`: unknown mode %q, not eval, batch or affine-only", token, mode).
			didYouMean(nearest(mode, []string{string(Eval), string(Batch), string(AffineOnly)}))
	}
	return p, nil
}

func (q Policy) String() string {
	if q.on == nil {
		return string(q.Mode)
	}
	return q.on.Text + "=" + string(q.Mode)
}

// normalise finds the BatchNorm modules by their running means and decides how
// each normalises; running statistics and freed scales follow.
func (p *Plan) normalise(net Network, selectors Selectors, policies []Policy, filed map[string]Module) error {
	standard, err := standardPolicy(selectors, policies)
	if err != nil {
		return err
	}
	matched := make([]int, len(policies))
	for _, q := range policies {
		p.Policies = append(p.Policies, q.String())
		if q.on == nil {
			continue
		}
		if err := net.fits(*q.on); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(policies, func(q Policy) bool { return q.on == nil }) {
		p.Policies = append([]string{standard.String()}, p.Policies...)
	}
	for _, e := range p.Entries {
		name, ok := strings.CutSuffix(e.Name, ".running_mean")
		if !ok || !e.Buffer {
			continue
		}
		m := Module{name, Batch, ""}
		if f, ok := filed[name]; ok {
			m = f
		} else if p.affineFrozen(name) {
			m.Mode, m.By = standard.Mode, "bn "+standard.String()
		}
		for i, q := range policies {
			if q.on != nil && (q.on.matches(net, name) || q.on.matches(net, name+".weight")) {
				matched[i]++
				m.Mode, m.By = q.Mode, "bn "+q.String()
			}
		}
		p.mode[name] = len(p.BatchNorm)
		p.BatchNorm = append(p.BatchNorm, m)
	}
	for i, q := range policies {
		if q.on != nil && matched[i] == 0 {
			return unfit("`bn %s` matches no BatchNorm module", q).didYouMean(suggest(net, *q.on))
		}
	}
	p.follow()
	return nil
}

// standardPolicy returns the mode of frozen modules. A plan file states one:
// another beside it would be lost on the modules that the file speaks of.
func standardPolicy(selectors Selectors, policies []Policy) (Policy, error) {
	standard, given := Policy{Mode: Eval}, false
	for _, q := range policies {
		if q.on == nil {
			standard, given = q, true
		}
	}
	for _, s := range selectors {
		if s.kind != planFile {
			continue
		}
		for _, text := range s.plan.Policies {
			stated := Policy{Mode: BN(text)}
			switch {
			case !slices.Contains(Modes, stated.Mode) || stated.Mode == standard.Mode:
			case given:
				return standard, unfit("%s was made with `bn %s`, asked for is `bn %s`", s.Text, stated, standard).
					hint("leave `bn` out to repeat the plan, or say selector=mode to change a part")
			default:
				standard = stated
			}
		}
	}
	return standard, nil
}

// affineFrozen reports whether a module has scale or shift and all of it is frozen.
func (p *Plan) affineFrozen(module string) bool {
	found := false
	for _, part := range []string{".weight", ".bias"} {
		if i, ok := p.entry[module+part]; ok {
			if !p.Entries[i].Frozen {
				return false
			}
			found = true
		}
	}
	return found
}

// follow lets buffers and affine-only scales follow their module's mode.
func (p *Plan) follow() {
	for i := range p.Entries {
		e := &p.Entries[i]
		k, ok := p.mode[module(e.Name)]
		switch {
		case !ok && e.Buffer: // such as anchors: no one changes them
			e.Frozen, e.By = true, ""
		case !ok:
		case e.Buffer:
			e.Frozen, e.By = p.BatchNorm[k].Mode != Batch, p.BatchNorm[k].By
		case p.BatchNorm[k].Mode == AffineOnly && e.Frozen:
			e.Frozen, e.By = false, p.BatchNorm[k].By
		}
	}
}

// module returns a tensor's name without its last segment.
func module(name string) string {
	return name[:max(strings.LastIndexByte(name, '.'), 0)]
}

// BNMode returns how a BatchNorm module such as model.0.bn normalises, "" for
// a name that is none.
func (p *Plan) BNMode(module string) BN {
	if i, ok := p.mode[module]; ok {
		return p.BatchNorm[i].Mode
	}
	return ""
}
