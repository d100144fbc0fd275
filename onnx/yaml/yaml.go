// Package yaml is the one door for YAML: what others wrote is read here within
// limits of size, depth, aliases and time, and nowhere else.
package yaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"yolofreeze/onnx/disk"
)

// Limits of a document. At all of them at once, reading takes well under a second.
const (
	MaxBytes = 1 << 20
	maxDepth = 64      // maps and lists within each other
	maxMarks = 1 << 16 // each of [ { , and ! may be a token that the library has to remember
	maxNodes = 1 << 17 // keys and values, those that aliases and merges repeat included
)

// Error says what is wrong with a document.
type Error struct {
	Line   int // 0: the document as a whole
	Reason string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Reason
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
}

// BadInput marks the error as the input's fault, not the program's or the disk's.
func (e *Error) BadInput() bool { return true }

func bad(line int, format string, args ...any) error {
	return &Error{line, fmt.Sprintf(format, args...)}
}

// Kind is what a node is.
type Kind int

// The kinds of nodes.
const (
	Null Kind = iota // no value, or null
	Scalar
	List
	Map
)

func (k Kind) String() string { return [...]string{"nothing", "a single value", "a list", "a map"}[k] }

// Node is a value of a document. Aliases stand for what they name; several may
// share one node, so nodes are not to be changed.
type Node struct {
	Kind  Kind
	Line  int
	Text  string  // a scalar as the file writes it: 1e-3 stays 1e-3, no stays no
	Items []*Node // of a list
	Pairs []Pair  // of a map, in the file's order; no key is there twice

	tag string // what kind of scalar
}

// Pair is a key of a map and its value.
type Pair struct {
	Key   string
	Line  int // of the key
	Value *Node
}

// Get returns the value of a map's key, nil where there is none.
func (n *Node) Get(key string) *Node {
	for _, p := range n.Pairs {
		if p.Key == key {
			return p.Value
		}
	}
	return nil
}

// Read reads the document in a file. Errors of the document are an *[Error] behind
// the file's name.
func Read(file string) (*Node, error) {
	data, err := disk.Read(file, MaxBytes)
	if err != nil {
		return nil, err
	}
	n, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return n, nil
}

// Parse reads one document; an empty one is Null. Errors are an *[Error]. A byte
// order mark is no part of the first key.
func Parse(data []byte) (*Node, error) {
	if len(data) > MaxBytes {
		return nil, bad(0, "%d bytes are more than the limit of %d", len(data), MaxBytes)
	}
	marks := 0
	for _, mark := range []string{"[", "{", ",", "!"} {
		if marks += bytes.Count(data, []byte(mark)); marks > maxMarks {
			return nil, bad(0, "more than %d marks of lists, maps and tags", maxMarks)
		}
	}
	limits := loaderlimits.New(loaderlimits.DepthFunc(checkDepth), loaderlimits.AliasNone()) // aliases are counted below
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithPlugin(limits))
	if err != nil {
		return nil, bad(0, "%v", err)
	}
	var doc, more yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF):
		return &Node{}, nil
	case err != nil:
		return nil, syntax(err, data)
	}
	if err := loader.Load(&more); err == nil {
		return nil, bad(more.Line, "a second document begins: only one is read")
	} else if !errors.Is(err, io.EOF) {
		return nil, syntax(err, data)
	}
	r := reader{anchors: map[*yaml.Node]*Node{}}
	n, err := r.node(&doc)
	if err != nil {
		return nil, err
	}
	if r.nodes = 0; r.count(n) != nil {
		return nil, bad(0, "aliases make more than %d values of it", maxNodes)
	}
	return n, nil
}

func checkDepth(depth int, _ *loaderlimits.DepthContext) error {
	if depth > maxDepth {
		return errors.New("nested too deep")
	}
	return nil
}

var placed = regexp.MustCompile(`(?s)^(?:go-yaml|yaml).*? at (?:\d+:\d+-)?(\d+)[-:\d]*: (.*)$`)

// syntax words what the library reports of a text that is not YAML. What is missing at its
// end is missing in its last line.
func syntax(err error, text []byte) error {
	last := 1 + bytes.Count(bytes.TrimRight(text, "\n"), []byte("\n"))
	var at *yaml.LoadError
	if errors.As(err, &at) {
		return bad(min(max(at.Mark.Line, 1), last), "not valid YAML: %s", oneLine(at.Message))
	}
	if found := placed.FindStringSubmatch(err.Error()); found != nil {
		line, _ := strconv.Atoi(found[1])
		return bad(min(line, last), "not valid YAML: %s", oneLine(found[2]))
	}
	return bad(1, "not valid YAML: %s", oneLine(err.Error()))
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// shorten cuts a text that a message quotes.
func shorten(text string) string {
	const most = 60
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// reader makes nodes of the library's.
type reader struct {
	anchors map[*yaml.Node]*Node // what aliases may name; nil while it is being read
	nodes   int
}

func (r *reader) node(y *yaml.Node) (*Node, error) {
	if r.nodes++; r.nodes > maxNodes {
		return nil, bad(y.Line, "more than %d keys and values", maxNodes)
	}
	switch y.Kind {
	case yaml.DocumentNode:
		if len(y.Content) == 0 {
			return &Node{}, nil
		}
		return r.node(y.Content[0])
	case yaml.AliasNode:
		n, known := r.anchors[y.Alias]
		if !known || n == nil {
			return nil, bad(y.Line, "*%s stands within what it names", shorten(y.Value))
		}
		return n, nil
	}
	if y.Anchor != "" {
		r.anchors[y] = nil
	}
	n := &Node{Line: y.Line}
	var err error
	switch y.Kind {
	case yaml.SequenceNode:
		n.Kind, n.Items = List, make([]*Node, len(y.Content))
		for i, item := range y.Content {
			if n.Items[i], err = r.node(item); err != nil {
				return nil, err
			}
		}
	case yaml.MappingNode:
		n.Kind = Map
		if err := r.pairs(n, y.Content); err != nil {
			return nil, err
		}
	default:
		n.tag = y.ShortTag()
		if n.Text = y.Value; n.tag != "!!null" {
			n.Kind = Scalar
		}
	}
	if y.Anchor != "" {
		r.anchors[y] = n
	}
	return n, nil
}

// pairs reads a map. What its own keys say wins over what is merged into it.
func (r *reader) pairs(n *Node, content []*yaml.Node) error {
	lines := make(map[string]int, len(content)/2)
	var merged []*Node
	for i := 0; i+1 < len(content); i += 2 {
		k := content[i]
		v, err := r.node(content[i+1])
		if err != nil {
			return err
		}
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.Kind != yaml.ScalarNode {
			return bad(k.Line, "a key that is a list or a map")
		}
		if k.ShortTag() == "!!merge" {
			merged = append(merged, v)
			continue
		}
		if first, twice := lines[k.Value]; twice {
			return bad(k.Line, "key %q is also on line %d", shorten(k.Value), first)
		}
		lines[k.Value] = k.Line
		n.Pairs = append(n.Pairs, Pair{k.Value, k.Line, v})
	}
	for _, m := range merged {
		from := []*Node{m}
		if m.Kind == List {
			from = m.Items
		}
		for _, each := range from {
			if each.Kind != Map {
				return bad(m.Line, "<< merges maps, not %v", each.Kind)
			}
			for _, p := range each.Pairs {
				if r.nodes++; r.nodes > maxNodes {
					return bad(m.Line, "more than %d keys and values", maxNodes)
				}
				if _, own := lines[p.Key]; !own {
					lines[p.Key] = p.Line
					n.Pairs = append(n.Pairs, p)
				}
			}
		}
	}
	return nil
}

// count walks a tree as a user would, through what is shared, too.
func (r *reader) count(n *Node) error {
	if r.nodes++; r.nodes > maxNodes {
		return errors.New("too many")
	}
	for _, item := range n.Items {
		if err := r.count(item); err != nil {
			return err
		}
	}
	for _, p := range n.Pairs {
		if err := r.count(p.Value); err != nil {
			return err
		}
	}
	return nil
}
