package freeze

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx/testkit/hostile"
	"yolofreeze/onnx/yaml"
)

// write makes a file in a folder whose name has blanks and letters beyond ASCII.
func write(t *testing.T, name, text string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "плани 中文 ")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestYAMLRepeats(t *testing.T) {
	for _, c := range [][2]string{
		{"", ""}, {"0", "batch"}, {"10", ""}, {"10", "batch"}, {"10", "affine-only"}, {"backbone,!model.9.", "eval,neck=affine-only,5=batch"},
		{"model.*.bn.*", ""}, {"24", ""}, {"all", "affine-only"},
	} {
		t.Run(c[0]+" "+c[1], func(t *testing.T) {
			p := plan(t, yolov5n(), c[0], c[1])
			text := p.YAML()
			read, err := ParseYAML(text)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(read.YAML(), text) {
				t.Error("reading and writing changed the file")
			}
			if read.Frozen("model.0.conv.weight") != p.Frozen("model.0.conv.weight") || read.BNMode("model.0.bn") != p.BNMode("model.0.bn") || read.FixedPrefix() != p.FixedPrefix() {
				t.Error("the read plan answers otherwise")
			}
			file := write(t, "freeze.yaml", string(text))
			again := plan(t, yolov5n(), "@"+file, "")
			if !bytes.Equal(again.YAML(), text) {
				t.Errorf("given back with @ it became\n%s", again.YAML())
			}
			crlf := write(t, "crlf.yaml", "\ufeff"+strings.ReplaceAll(string(text), "\n", "\r\n"))
			if again := plan(t, yolov5n(), "@"+crlf, ""); !bytes.Equal(again.YAML(), text) {
				t.Error("CRLF and a byte order mark changed the plan")
			}
		})
	}
}

// TestYAMLIsYAML reads a plan's file as other programs do.
func TestYAMLIsYAML(t *testing.T) {
	p := plan(t, yolov5n(), "backbone,!model.9.", "eval,neck=affine-only")
	var read struct {
		Version, Layers, Backbone, Head int

		Freeze  []string
		BN      []string
		Tensors []struct {
			Name, By       string
			Shape          []int64
			Buffer, Frozen bool
		}
		BatchNorm []struct{ Name, Mode, By string }
	}
	if err := yaml.Decode(p.YAML(), &read); err != nil {
		t.Fatal(err)
	}
	if read.Version != 1 || strings.Join(read.Freeze, " ") != "backbone !model.9." || strings.Join(read.BN, " ") != "eval neck=affine-only" {
		t.Errorf("%+v", read.Freeze)
	}
	for i, e := range p.Entries {
		r := read.Tensors[i]
		if r.Name != e.Name || !slices.Equal(r.Shape, e.Shape) || r.Frozen != e.Frozen || r.Buffer != e.Buffer || r.By != e.By {
			t.Errorf("tensor %d reads as %+v, is %+v", i, r, e)
		}
	}
	for i, m := range p.BatchNorm {
		if r := read.BatchNorm[i]; r.Name != m.Name || r.Mode != string(m.Mode) || r.By != m.By {
			t.Errorf("module %d reads as %+v, is %+v", i, r, m)
		}
	}
}

func TestPlanFileAndMore(t *testing.T) {
	file := "@" + write(t, "freeze.yaml", string(plan(t, yolov5n(), "10", "batch").YAML()))
	p := plan(t, yolov5n(), file+",!model.9.,13-13", "")
	if got := frozenLayers(p); got != "[0 1 2 3 4 5 6 7 8 13]" {
		t.Error("froze", got)
	}
	if p.BNMode("model.13.cv1.bn") != Batch || p.Policies[0] != "batch" {
		t.Errorf("the file's `bn batch` does not hold for layer 13: %v", p.Policies)
	}
	p = plan(t, yolov5n(), file, "0-4=eval")
	if p.BNMode("model.0.bn") != Eval || p.BNMode("model.9.cv1.bn") != Batch || p.FixedPrefix() != 5 {
		t.Error("a policy with a selector does not change the plan file's modes")
	}
	if _, err := try(yolov5n(), file, "batch"); err != nil {
		t.Error(err)
	}
	if _, err := try(yolov5n(), file, "eval"); err == nil || !strings.Contains(err.Error(), "was made with `bn batch`, asked for is `bn eval`") {
		t.Errorf("another `bn` beside a plan file: %v", err)
	}
	other := yolov5n()
	other.Parameters = other.Parameters[1:]
	if _, err := try(other, file, ""); err == nil || !strings.Contains(err.Error(), "tensor model.0.conv.weight is not in this model") {
		t.Errorf("a plan for more tensors: %v", err)
	}
	other = yolov5n()
	other.Parameters = append(other.Parameters, Parameter{Name: "model.24.extra"})
	if _, err := try(other, file, ""); err == nil || !strings.Contains(err.Error(), "does not speak of this model's tensor model.24.extra") {
		t.Errorf("a plan for fewer tensors: %v", err)
	}
}

func TestSelectorFiles(t *testing.T) {
	cases := []struct{ name, text, want, failure string }{
		{"lines", "# the backbone without its last layer\nbackbone\n\n!model.9.  # keeps its freedom\n", "[0 1 2 3 4 5 6 7 8]", ""},
		{"integer", "10\r\n", "[0 1 2 3 4 5 6 7 8 9]", ""},
		{"integers", "1\n2\n", "[1 2]", ""},
		{"bom", "\ufeffmodel.3.", "[3]", ""},
		{"UTF-16", "\xff\xfe3\x00", "[0 1 2]", ""},
		{"yaml list", "freeze: [backbone, \"!model.9.\"]\n", "[0 1 2 3 4 5 6 7 8]", ""},
		{"yaml scalar", "freeze: 3 # the first three\n", "[0 1 2]", ""},
		{"yaml block", "---\nfreeze:\n  - 1\n  - model.3.\n  - 4\n", "[1 3 4]", ""},
		{"empty", "# nothing\n", "", "no selector"},
		{"nested", "@other\n", "", ":1: selector \"@other\""},
		{"bad line", "backbone\n9-1\n", "", ":2: selector \"9-1\""},
		{"unknown key", "freze: 10\n", "", `line 1: unknown key "freze"`},
		{"bn alone", "freeze: 10\nbn: batch\n", "", "line 2: bn holds only beside tensors"},
		{"no selectors", "version: 1\n", "", "neither tensors nor selectors"},
		{"twice", "freeze: 1\nfreeze: 2\n", "", "line 2: key \"freeze\" is also on line 1"},
		{"mapping", "freeze: {a: b}\n", "", "line 1: freeze is not a list"},
		{"deep", "freeze: [[[[[[1]]]]]]\n", "", "line 1: freeze is not a list"},
		{"too deep", "freeze: " + strings.Repeat("[", 99) + "\n", "", "nested too deep"},
		{"bomb", "bn: &a [1, 1, 1, 1, 1, 1, 1, 1]\nfreeze: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nlr_scale: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nlayers: &d [*c, *c, *c, *c, *c, *c, *c, *c]\nhead: &e [*d, *d, *d, *d, *d, *d, *d, *d]\ntensors: [*e, *e, *e, *e, *e, *e, *e, *e]\n", "", "aliases make more than"},
		{"unclosed", "freeze: [1, 2\n", "", "not valid YAML"},
		{"quote", "freeze: \"1\n", "", "not valid YAML"},
		{"item", "- 1\nfreeze: 1\n", "", "line 2: not valid YAML"},
		{"version", "version: 2\nfreeze: []\nbn: []\nlayers: 1\nbackbone: 0\nhead: 0\ntensors:\n", "", "version 2 of plan files is not known"},
		{"tensor", "version: 1\nfreeze: []\nbn: []\nlayers: 1\nbackbone: 0\nhead: 0\ntensors:\n  - {name: a, shape: [x], buffer: false, frozen: true, by: \"\"}\n", "", "line 8: shape is not a list of sizes"},
		{"truth", "version: 1\nfreeze: []\nbn: []\nlayers: 1\nbackbone: 0\nhead: 0\ntensors:\n  - {name: a, shape: [], buffer: false, frozen: yes, by: \"\"}\n", "", `line 8: frozen is "yes"`},
		{"missing", "version: 1\nfreeze: []\nbn: []\nlayers: 1\nbackbone: 0\ntensors:\n", "", "key head is missing"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := try(yolov5n(), "@"+write(t, "f", c.text), "")
			if c.failure != "" {
				var e *Error
				if !errors.As(err, &e) || !strings.Contains(e.Error(), c.failure) || !e.BadInput() || e.Usage() {
					t.Fatalf("error %v, want bad input about %q", err, c.failure)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := frozenLayers(p); got != c.want {
				t.Errorf("froze %s, want %s", got, c.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"10", "0-9,!model.9.", "backbone,model.*.bn.*", "model.[", "@x", "0,neck", "!!", "٣", "1-99999999999999999999"} {
		f.Add([]byte(seed))
	}
	net := yolov5n()
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		text := string(data)
		if strings.Contains(text, "@") {
			t.Skip("would read files")
		}
		selectors, err := Parse([]string{text})
		if err != nil {
			oneLine(t, err)
			return
		}
		p, err := New(net, selectors)
		if err != nil {
			oneLine(t, err)
			return
		}
		if s := p.Summary(); s.Trainable.Tensors == 0 || len(selectors) > 0 && s.Frozen.Tensors == 0 {
			t.Errorf("%q gave %s", text, s)
		}
		read, err := ParseYAML(p.YAML())
		if err != nil || !bytes.Equal(read.YAML(), p.YAML()) {
			t.Errorf("%q: the plan's file does not repeat it: %v", text, err)
		}
	})
}

func FuzzParseYAML(f *testing.F) {
	p, err := New(Network{Parameters: []Parameter{{Name: "model.0.w"}, {Name: "model.1.w"}}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.YAML())
	f.Add([]byte("freeze:\n - \"\\x41\"\n"))
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		p, err := ParseYAML(data)
		if err != nil {
			oneLine(t, err)
			return
		}
		read, err := ParseYAML(p.YAML())
		if err != nil || !bytes.Equal(read.YAML(), p.YAML()) {
			t.Errorf("writing what was read is not stable: %v", err)
		}
	})
}

func oneLine(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || strings.ContainsAny(e.Error(), "\n\r") || e.Error() == "" {
		t.Errorf("error %#v is not one line of *Error", err)
	}
}
