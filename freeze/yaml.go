package freeze

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"yolofreeze/onnx/disk"
)

// YAML writes the plan as freeze.yaml: exactly, in a stable order. What reads
// it back is ParseYAML, or the selector @freeze.yaml.
func (p *Plan) YAML() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# What was frozen, tensor by tensor, and why.\n# %s.\n# To freeze the same again: --freeze @freeze.yaml\n", p.Summary())
	fmt.Fprintf(&b, "version: 1\nfreeze: %s\nbn: %s\n", flow(p.Selectors), flow(p.Policies))
	if r := p.Rates; !r.Uniform() {
		fmt.Fprintf(&b, "lr_scale: %s\nlr_decay: %v\n", flow(r.Texts()), r.Decay())
	}
	fmt.Fprintf(&b, "layers: %d\nbackbone: %d\nhead: %d\ntensors:\n", p.Layers, p.Backbone, p.Head)
	for _, e := range p.Entries {
		shape := strings.Join(strings.Fields(fmt.Sprint(e.Shape)), ", ")
		fmt.Fprintf(&b, "  - {name: %s, shape: %s, buffer: %t, frozen: %t, by: %s}\n", strconv.Quote(e.Name), shape, e.Buffer, e.Frozen, strconv.Quote(e.By))
	}
	b.WriteString("batchnorm:\n")
	for _, m := range p.BatchNorm {
		fmt.Fprintf(&b, "  - {name: %s, mode: %s, by: %s}\n", strconv.Quote(m.Name), m.Mode, strconv.Quote(m.By))
	}
	return b.Bytes()
}

func flow(texts []string) string {
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = strconv.Quote(t)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// ParseYAML reads what YAML wrote. Errors name line and value.
func ParseYAML(data []byte) (*Plan, error) {
	file, err := parseDocument(data)
	if err != nil {
		return nil, err
	}
	return file.plan()
}

const maxFile = 64 << 20

var yamlKey = regexp.MustCompile(`(?m)^[ \t]*[A-Za-z_]+[ \t]*:([ \t]|\r?$)`)

// readFile reads a plan, or selectors one a line (or under the key freeze).
func readFile(name string) (Selectors, error) {
	data, err := disk.ReadText(name, maxFile)
	if err != nil {
		return nil, &Error{msg: fmt.Sprintf("reading selectors from @%s: %v", name, err), cause: err}
	}
	if yamlKey.Match(data) {
		return readYAML(name, data)
	}
	var out Selectors
	for i, line := range strings.Split(string(data), "\n") {
		line, _, _ = strings.Cut(line, "#")
		for _, token := range fields(line) {
			s, err := parseLine(token)
			if err != nil {
				return nil, &Error{msg: fmt.Sprintf("%s:%d: %v", name, i+1, err), cause: err}
			}
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, unfit("%s: no selector in this file", name)
	}
	return out, nil
}

func parseLine(token string) (Selector, error) {
	if strings.HasPrefix(token, "@") {
		return Selector{}, usage("selector %q: a file of selectors cannot name another file", token)
	}
	return parseOne(token)
}

func readYAML(name string, data []byte) (Selectors, error) {
	wrap := func(err error) error { return &Error{msg: fmt.Sprintf("%s: %v", name, err), cause: err} }
	file, err := parseDocument(data)
	if err != nil {
		return nil, wrap(err)
	}
	if _, ok := file["tensors"]; ok {
		p, err := file.plan()
		if err != nil {
			return nil, wrap(err)
		}
		return Selectors{{Text: "@" + name, kind: planFile, plan: p}}, nil
	}
	for _, key := range []string{"bn", "lr_scale", "lr_decay"} {
		if field, ok := file[key]; ok {
			return nil, wrap(unfit("line %d: %s holds only beside tensors, in a file that a run wrote", field.line, key).hint("give it with --%s", strings.ReplaceAll(key, "_", "-")))
		}
	}
	texts, err := file.texts("freeze")
	if err != nil {
		return nil, wrap(err)
	}
	if len(texts) == 0 {
		return nil, wrap(unfit("neither tensors nor selectors under freeze"))
	}
	var out Selectors
	for _, text := range texts {
		s, err := parseLine(text)
		if err != nil {
			return nil, wrap(err)
		}
		out = append(out, s)
	}
	return out, nil
}

// plan makes a Plan of a document.
func (d document) plan() (*Plan, error) {
	p := &Plan{}
	version, err := d.number("version")
	if err == nil && version != 1 {
		err = unfit("line %d: version %d of plan files is not known, only 1 is", d["version"].line, version)
	}
	if err == nil {
		p.Selectors, err = d.texts("freeze")
	}
	if err == nil {
		p.Policies, err = d.texts("bn")
	}
	for key, into := range map[string]*int{"layers": &p.Layers, "backbone": &p.Backbone, "head": &p.Head} {
		if err == nil {
			*into, err = d.number(key)
		}
	}
	if err != nil {
		return nil, err
	}
	for _, item := range d["tensors"].items {
		e := Entry{}
		r := record{item: item}
		e.Name, e.Shape, e.Buffer, e.Frozen, e.By = r.text("name"), r.shape("shape"), r.truth("buffer"), r.truth("frozen"), r.text("by")
		if err := r.done(); err != nil {
			return nil, err
		}
		p.Entries = append(p.Entries, e)
	}
	for _, item := range d["batchnorm"].items {
		r := record{item: item}
		m := Module{r.text("name"), BN(r.text("mode")), r.text("by")}
		if r.err == nil && !slices.Contains(Modes, m.Mode) {
			r.err = unfit("line %d: mode %q is not eval, batch or affine-only", item.line, m.Mode)
		}
		if err := r.done(); err != nil {
			return nil, err
		}
		p.BatchNorm = append(p.BatchNorm, m)
	}
	if err := p.indexEntries(); err != nil {
		return nil, err
	}
	p.Rates, err = d.rates(p)
	return p, err
}

// rates reads how fast parameters train; a file that does not say is of a run where all are alike.
func (d document) rates(p *Plan) (Rates, error) {
	texts, err := d.texts("lr_scale")
	decay := 1.0
	if f, ok := d["lr_decay"]; ok && err == nil {
		text, _ := f.value.(string)
		if decay, err = strconv.ParseFloat(text, 64); err != nil {
			return Rates{}, unfit("line %d: lr_decay is not a number", f.line)
		}
	}
	if err != nil || len(texts) == 0 && decay == 1 {
		return Rates{}, err
	}
	scales, err := ParseScales(texts)
	if err != nil {
		return Rates{}, err
	}
	return NewRates(p.network(), scales, decay)
}
