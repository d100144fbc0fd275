package step

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"

	"yolofreeze/freeze/fixture"
	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/wire"
)

var update = flag.Bool("update", false, "write the golden files in testdata anew")

// TestNodeCounts: how many nodes of each operator, forward + backward, a
// training step of yolov5n takes under each plan. Read the difference of the
// file when it changes.
func TestNodeCounts(t *testing.T) {
	m := fixture.Blank(t, testkit.YOLOv5Table("n", 20))
	head, rows := "frozen, bn", map[string]string{}
	var columns []map[string][2]int
	for _, frozen := range []string{"0", "10", "24"} {
		for _, bn := range []string{"eval", "batch"} {
			g, err := Build(specOf(t, m, frozen, bn, "SGD"))
			if err != nil {
				t.Fatal(err)
			}
			head += fmt.Sprintf("\t%s, %s", frozen, bn)
			column := counts(g)
			columns = append(columns, column)
			for name := range column {
				rows[name] = name
			}
		}
	}
	for name := range rows {
		for _, column := range columns {
			rows[name] += fmt.Sprintf("\t%d+%d", column[name][0], column[name][1])
		}
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		fmt.Fprintln(w, rows[name])
	}
	w.Flush()
	path := filepath.Join("testdata", "nodes.txt")
	if *update {
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("%s is no longer what is built; go test -update and read the difference:\n%s", path, text.String())
	}
}

// counts counts nodes by operator, those that do not differentiate and those
// that do, and in all; and trainable parameters + moving statistics.
func counts(g *Graphs) map[string][2]int {
	count := map[string][2]int{"(trainable+moving)": {len(g.Trainable), len(g.Moving)}}
	for _, n := range g.Training.Nodes {
		part := 0
		if strings.HasPrefix(n.Name, "grad/") {
			part = 1
		}
		for _, row := range []string{n.Op, "(all nodes)"} {
			c := count[row]
			c[part]++
			count[row] = c
		}
	}
	return count
}

// TestProvenance: no backward node computes the gradient of a frozen parameter,
// and none of a layer that only frozen layers stand before.
func TestProvenance(t *testing.T) {
	m := fixture.Blank(t, testkit.YOLOv5Table("n", 20))
	for _, c := range []struct {
		frozen string
		before int // no backward node belongs to a layer below this one
	}{
		{"0", 0}, {"10", 10}, {"24", 24}, {"model.13", 0}, {"10-23", 0}, {"backbone,!model.4.m.0.cv2", 4}, {"0-5,model.24", 6}, {"*.bias", 0}, {"all,!model.24.m.1", 24},
	} {
		for _, bn := range []string{"eval", "batch"} {
			t.Run(c.frozen+" "+bn, func(t *testing.T) {
				s := specOf(t, m, c.frozen, bn, "SGD")
				g, err := Build(s)
				if err != nil {
					t.Fatal(err)
				}
				frozen := s.Plan.FrozenNames()
				for _, n := range g.Training.Nodes {
					if why := traces(n, frozen, c.before); why != "" {
						t.Errorf("%s %q: %s", n.Op, n.Name, why)
					}
				}
				ends(t, g, frozen)
			})
		}
	}
}

// traces says what shows that a node differentiates something frozen, "" when nothing does.
func traces(n *onnx.Node, frozen []string, before int) string {
	origin, ok := strings.CutPrefix(n.Name, "grad/")
	if !ok {
		return ""
	}
	if rest, ok := strings.CutPrefix(origin, "model."); ok {
		digits, _, _ := strings.Cut(rest, ".")
		digits, _, _ = strings.Cut(digits, "/")
		if layer, err := strconv.Atoi(digits); err != nil || layer < before {
			return fmt.Sprintf("belongs to layer %s, the first with a trainable parameter before or in it is %d", digits, before)
		}
	}
	for _, name := range frozen {
		if strings.HasPrefix(origin, name+"/") {
			return "is the gradient of " + name
		}
		conv, isWeight := strings.CutSuffix(name, ".weight")
		if isWeight && strings.HasPrefix(origin, conv+"/") && slices.ContainsFunc(n.Outputs, func(v *onnx.Value) bool { return strings.HasSuffix(v.Name, "/dW") }) {
			return "computes dW of " + name
		}
	}
	return ""
}

// ends checks what a training graph takes and gives: trainable parameters with
// their gradients, and nothing of frozen ones.
func ends(t *testing.T, g *Graphs, frozen []string) {
	t.Helper()
	named := map[string]bool{}
	for _, v := range slices.Concat(g.Training.Inputs, g.Training.Outputs, g.Optimizer.Inputs, g.Optimizer.Outputs) {
		named[v.Name] = true
	}
	for _, name := range frozen {
		for _, v := range []string{name, optim.Gradient(name), optim.Out(optim.Gradient(name)), optim.EMA(name)} {
			if named[v] {
				t.Errorf("%s is frozen, yet there is an input or output %s", name, v)
			}
		}
	}
	for _, p := range g.Trainable {
		for _, v := range []string{p.Name, optim.Gradient(p.Name), optim.Out(optim.Gradient(p.Name)), optim.Out(p.Name), optim.EMA(p.Name)} {
			if !named[v] {
				t.Errorf("%s trains, yet there is no input or output %s", p.Name, v)
			}
		}
		if slices.Contains(frozen, p.Name) {
			t.Errorf("%s is frozen and trains", p.Name)
		}
	}
}

// TestTraces: the check sees what it is meant to see.
func TestTraces(t *testing.T) {
	frozen := []string{"model.9.cv1.conv.weight", "model.9.cv1.bn.bias"}
	for name, c := range map[string]struct {
		output string
		want   bool
	}{
		"grad/model.9.cv1.conv/Conv/Reshape.3":  {"grad/model.9.cv1.conv/Conv/dW", true},
		"grad/model.9.cv1.conv/Conv/Conv":       {"grad/model.9.cv1.conv/Conv/Conv", false}, // towards the layers before
		"grad/model.9.cv1.bn.bias/Add":          {"x", true},
		"grad/model.3.conv/Conv/Conv":           {"x", true},
		"grad/model.31.conv/Conv/Conv":          {"x", false},
		"model.3.conv/Conv":                     {"x", false},
		"grad/model.9.cv12.conv/Conv/Reshape.3": {"grad/model.9.cv12.conv/Conv/dW", false},
		"grad/loss/level0/Mul":                  {"x", false},
	} {
		n := &onnx.Node{Name: name, Outputs: []*onnx.Value{{Name: c.output}}}
		if why := traces(n, frozen, 4); (why != "") != c.want {
			t.Errorf("%s: %q", name, why)
		}
	}
}

// TestSameBytes: a spec built twice gives the same files, byte by byte.
func TestSameBytes(t *testing.T) {
	digest := func() (sums [][32]byte) {
		m := fixture.SmallModel(t)
		for _, bn := range []string{"eval", "batch"} {
			s := specOf(t, m, "2", bn, "Adam")
			s.Loss.FLGamma, s.Predictions = 1.5, true
			g, err := Build(s)
			if err != nil {
				t.Fatal(err)
			}
			eval, err := BuildEval(m.Net, m.State)
			if err != nil {
				t.Fatal(err)
			}
			export, err := BuildExport(m.Net, m.State, 1, 64, 96)
			if err != nil {
				t.Fatal(err)
			}
			for _, graph := range []*onnx.Model{g.Training, g.Optimizer, eval, export} {
				data, err := wire.Encode(graph)
				if err != nil {
					t.Fatal(err)
				}
				again, err := wire.Encode(graph)
				if err != nil || !bytes.Equal(data, again) {
					t.Errorf("%s is encoded in two ways (%v)", graph.Name, err)
				}
				sums = append(sums, sha256.Sum256(data))
			}
		}
		return sums
	}
	first := digest()
	for range 3 { // maps that leak their order show it after a few times
		if again := digest(); !slices.Equal(again, first) {
			t.Fatalf("the same spec gave other bytes:\n%x\n%x", first, again)
		}
	}
}
