package testkit

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// Kernel is an implementation of an operator by an execution provider.
type Kernel struct {
	Provider, Domain, Op string
	From, To             int64               // schema versions it serves; To 0: From alone
	Types                map[string][]string // type constraint → "tensor(float)" …
}

// KernelTable lists the kernels of ONNX Runtime's providers, several for an operator.
type KernelTable []Kernel

// ReadKernels reads a table with the columns provider, domain, op, opset_from,
// opset_to, types; types is name=type,type;name=type,type and # begins a comment line.
func ReadKernels(path string) (KernelTable, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var table KernelTable
	for i, line := range strings.Split(string(data), "\n") {
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "provider\t") {
			continue
		}
		k, err := readKernel(line)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, i+1, err)
		}
		table = append(table, k)
	}
	return table, nil
}

func readKernel(line string) (Kernel, error) {
	f := strings.Split(line, "\t")
	if len(f) != 6 {
		return Kernel{}, fmt.Errorf("%d columns, 6 are needed", len(f))
	}
	k := Kernel{Provider: f[0], Domain: f[1], Op: f[2], Types: map[string][]string{}}
	var err error
	if k.From, err = strconv.ParseInt(f[3], 10, 64); err != nil {
		return Kernel{}, fmt.Errorf("opset_from: %w", err)
	}
	if f[4] != "" {
		if k.To, err = strconv.ParseInt(f[4], 10, 64); err != nil {
			return Kernel{}, fmt.Errorf("opset_to: %w", err)
		}
	}
	for constraint := range strings.SplitSeq(f[5], ";") {
		if name, types, ok := strings.Cut(constraint, "="); ok {
			k.Types[name] = splitTypes(types)
		}
	}
	return k, nil
}

// splitTypes splits at the commas that are not in parentheses.
func splitTypes(list string) []string {
	depth := 0
	return strings.FieldsFunc(list, func(r rune) bool {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		}
		return r == ',' && depth == 0
	})
}

// Missing returns, for each node that has no kernel of a provider ("CPU",
// "CUDA"), a line with the node and the reason. A kernel serves a node when its
// versions hold the schema version in force at the model's opset (a row without
// opset_to holds opset_from alone) and each of its type constraints admits the
// type of the first argument under that constraint
// (onnxruntime: core/framework/kernel_registry.cc). Values must carry types.
// Constant needs no kernel: the runtime makes an initializer of it.
func (t KernelTable) Missing(m *onnx.Model, provider string) []string {
	var missing []string
	named := map[string]KernelTable{}
	for _, k := range t {
		if k.Provider == provider {
			named[k.Op] = append(named[k.Op], k)
		}
	}
	for _, n := range m.Nodes {
		if n.Op == "Constant" && n.Domain == "" {
			continue
		}
		if reason := named[n.Op].lacks(n, m.Opset, provider); reason != "" {
			missing = append(missing, fmt.Sprintf("%s %q: %s", n.Op, n.Name, reason))
		}
	}
	return missing
}

// lacks says why no kernel of the table, all of the node's operator and of the
// provider, serves the node, "" when one does.
func (t KernelTable) lacks(n *onnx.Node, opset int64, provider string) string {
	since := int64(1) // of every com.microsoft operator
	if n.Domain == "" || n.Domain == "ai.onnx" {
		var ok bool
		if since, ok = op.Since(n.Op, opset); !ok {
			return fmt.Sprintf("package op knows no version of it for opset %d", opset)
		}
	}
	reason := "has no kernel"
	served := false
	for _, k := range t {
		if k.Domain != strings.TrimPrefix(n.Domain, "ai.onnx") {
			continue
		}
		if k.From != since && (since < k.From || since > k.To) {
			if !served {
				reason = fmt.Sprintf("has no kernel at version %d", since)
			}
			continue
		}
		served = true
		refused := k.refuses(n)
		if refused == "" {
			return ""
		}
		reason = fmt.Sprintf("at version %d %s", since, refused)
	}
	return provider + " " + reason
}

// refuses says which argument's type the kernel does not take, "" when it takes all.
func (k Kernel) refuses(n *onnx.Node) string {
	for name, admitted := range k.Types {
		v, ok := argument(n, name)
		if !ok {
			return fmt.Sprintf("takes a constraint %s that this test cannot place", name)
		}
		if v == nil { // the optional argument is absent
			continue
		}
		if v.Type.DType == onnx.Undefined {
			return fmt.Sprintf("cannot be looked up: %s has no type", v.Name)
		}
		if typ := typeName(v.Type.DType); !slices.Contains(admitted, typ) {
			return fmt.Sprintf("takes no %s for %s (%s)", typ, v.Name, name)
		}
	}
	return ""
}

// argument returns the first present argument of a node under a type
// constraint, nil when all are absent.
func argument(n *onnx.Node, constraint string) (*onnx.Value, bool) {
	for field := range strings.FieldsSeq(constrained[n.Op]) {
		i := len(field) - 1
		if field[:i-1] != constraint {
			continue
		}
		if place := int(field[i] - '0'); field[i-1] == '>' {
			return n.Output(place), true
		} else {
			return n.Input(place), true
		}
	}
	if constraint != "T" {
		return nil, false
	}
	for _, v := range slices.Concat(n.Inputs, n.Outputs) {
		if v != nil {
			return v, true
		}
	}
	return nil, true
}

// constrained names, for operators with more than T on the first input, the
// argument that stands first under each type constraint of the kernels: T2=1
// is input 1, T2>0 output 0. From the schemas in force at opset 17
// (https://onnx.ai/onnx/operators/).
var constrained = map[string]string{
	"And":                "T=0 T1>0",
	"BatchNormalization": "T=0 T1=1 T2=3",
	"Cast":               "T1=0 T2>0",
	"Compress":           "T=0 T1=1",
	"ConstantOfShape":    "T1=0 T2>0",
	"CumSum":             "T=0 T2=1",
	"Dropout":            "T=0 T1=1 T2=2",
	"Equal":              "T=0 T1>0",
	"EyeLike":            "T1=0 T2>0",
	"Gather":             "T=0 Tind=1",
	"GatherElements":     "T=0 Tind=1",
	"GatherND":           "T=0 indices=1",
	"Greater":            "T=0 T1>0",
	"GreaterOrEqual":     "T=0 T1>0",
	"GridSample":         "T1=0 T2=1",
	"Identity":           "V=0",
	"If":                 "B=0 V>0",
	"IsInf":              "T1=0 T2>0",
	"IsNaN":              "T1=0 T2>0",
	"LayerNormalization": "T=0 U>1",
	"Less":               "T=0 T1>0",
	"LessOrEqual":        "T=0 T1>0",
	"Loop":               "B=1 I=0 V=2",
	"MaxPool":            "I>1 T=0",
	"OneHot":             "T1=0 T2=1 T3=2",
	"Or":                 "T=0 T1>0",
	"Pow":                "T=0 T1=1",
	"QuantizeLinear":     "T1=0 T2>0",
	"RandomNormalLike":   "T1=0 T2>0",
	"RandomUniformLike":  "T1=0 T2>0",
	"Reshape":            "T=0 shape=1",
	"Resize":             "T1=0",
	"ScatterElements":    "T=0 Tind=1",
	"Shape":              "T=0 T1>0",
	"Size":               "T=0 T1>0",
	"Slice":              "T=0 Tind=1",
	"Tile":               "T=0 T1=1",
	"TopK":               "I>1 T=0",
	"Where":              "B=0 T=1",
	"Xor":                "T=0 T1>0",
}

// typeName writes an element type as kernel registrations do.
func typeName(d onnx.DType) string {
	name := d.String()
	switch d {
	case onnx.Float:
		name = "float"
	case onnx.Double:
		name = "double"
	}
	return "tensor(" + name + ")"
}
