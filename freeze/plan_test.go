package freeze

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx/testkit/recorded"
)

func TestSelectors(t *testing.T) {
	const first10 = "[0 1 2 3 4 5 6 7 8 9]"
	cases := []struct {
		selectors string
		want      string // frozenLayers
	}{
		{"", "[]"},
		{"0", "[]"},
		{"1", "[0]"},
		{"10", first10},
		{"24", "[0 1 2 3 4 5 6 7 8 9 10 13 14 17 18 20 21 23]"},
		{"0,1,2", "[0 1 2]"},
		{"10,13", "[10 13]"},
		{"0 1,2\t5", "[0 1 2 5]"},
		{"0,0", "[0]"},
		{"10,11,12,13", "[10 13]"}, // 11 and 12 have no parameters
		{"0-9", first10},
		{"5-5", "[5]"},
		{"13,0-1", "[0 1 13]"}, // beside a range an integer is one layer
		{"10,!9", "[0 1 2 3 4 5 6 7 8]"},
		{"10,!model.9.", "[0 1 2 3 4 5 6 7 8]"},
		{"0-9,model.24.m.0", "[0 1 2 3 4 5 6 7 8 9 24 part]"},
		{"10,13,model.24.m.0", "[10 13 24 part]"},
		{"model.9.,model.11.", "[9]"},
		{"backbone", first10},
		{"neck", "[10 13 14 17 18 20 21 23]"},
		{"head", "[24]"},
		{"all,!head", "[0 1 2 3 4 5 6 7 8 9 10 13 14 17 18 20 21 23]"},
		{"backbone,!5-9,6-6", "[0 1 2 3 4 6]"},
		{"backbone,!model.8,model.8.cv1", "[0 1 2 3 4 5 6 7 8 part 9]"},
		{"model.1.", "[1]"},
		{"model.1", "[1]"},
		{"model.10.", "[10]"},
		{"model.2", "[2]"},
		{"model.24.m.0", "[24 part]"},
		{"model.0.conv.weight", "[0 part]"},
		{"model.0.*", "[0]"},
		{"model.[0-2].*", "[0 1 2]"},
		{"model.?.*", first10},
		{"model.*.conv.weight", "[0 part 1 part 2 part 3 part 4 part 5 part 6 part 7 part 8 part 9 part 10 part 13 part 14 part 17 part 18 part 20 part 21 part 23 part]"},
	}
	for _, c := range cases {
		t.Run(c.selectors, func(t *testing.T) {
			if got := frozenLayers(plan(t, yolov5n(), c.selectors, "")); got != c.want {
				t.Errorf("froze layers %s, want %s", got, c.want)
			}
		})
	}
	if got := plan(t, p6(), "backbone", "").FixedPrefix(); got != 12 {
		t.Errorf("the backbone of P6 is %d layers, want 12", got)
	}
}

// TestWholeSegments: YOLOv5 looks for "model.1." anywhere in a name; a prefix
// without its dot must not reach model.10 to model.19 either.
func TestWholeSegments(t *testing.T) {
	for _, selector := range []string{"model.1", "model.1."} {
		for _, name := range plan(t, yolov5n(), selector, "").FrozenNames() {
			if !strings.HasPrefix(name, "model.1.") {
				t.Errorf("%s froze %s", selector, name)
			}
		}
	}
	net := Network{Parameters: []Parameter{
		{Name: "model.1.w"}, {Name: "model.10.w"}, {Name: "model.21.model.1.w"}, {Name: "model.1"}, {Name: "xmodel.1.w"},
	}}
	if got, want := plan(t, net, "model.1.", "").FrozenNames(), []string{"model.1.w", "model.1"}; !slices.Equal(got, want) {
		t.Errorf("froze %v, want %v", got, want)
	}
}

func TestErrors(t *testing.T) {
	cases := []struct {
		selectors, bn string
		message, hint string
		usage         bool
	}{
		{"model.10O.", "", `"model.10O." matches no parameter`, "did you mean model.10, ", false},
		{"bakbone", "", `"bakbone" matches no parameter`, "did you mean backbone", false},
		{"Backbone", "", `matches no parameter`, "backbone", false},
		{"modle.*.bn.*", "", `matches no parameter`, "model", false},
		{"bn", "", `"bn" matches no parameter`, "*.bn.*", false},
		{"conv.weight", "", `matches no parameter`, "*.conv.weight", false},
		{"model.2.cv4", "", `matches no parameter`, "model.2.cv1", false},
		{"25", "", "freezes everything: all 177 parameters", "`freeze 24`", false},
		{"all", "", "freezes everything", "", false},
		{"model", "", "freezes everything", "", false},
		{"26", "", "the model has 25 layers, 0 to 24", "", false},
		{"3,25", "", "no layer 25, the model has layers 0 to 24", "", false},
		{"0-30", "", "no layer 30", "", false},
		{"11,12", "", "freezes nothing", "no parameters", false},
		{"backbone,!backbone", "", "freezes nothing", "", false},
		{"!model.9.,backbone", "", `"!model.9." has no effect`, "after", false},
		{"backbone,!head", "", `"!head" has no effect`, "", false},
		{"*.running_mean", "", "matches only buffers", "`bn eval`", false},
		{"model.24.anchors", "", "matches only buffers", "", false},
		{"0,neck", "", "0 beside other selectors is ambiguous", "model.0.", true},
		{"10,model.24.m.", "", "10 beside other selectors is ambiguous: the first 10 layers, or layer 10", "0-9", true},
		{"0,!model.0.", "", "0 freezes nothing", "model.0.", true},
		{"model.25.", "", "matches no parameter", "", false},
		{"9-0", "", "runs backwards", "0-9", true},
		{"1-", "", "not a layer number or range", "", true},
		{"-1", "", "not a layer number or range", "", true},
		{"1-2-3", "", "not a layer number or range", "", true},
		{"99999999999999999999", "", "not a layer number", "", true},
		{"!", "", "nothing selected", "", true},
		{"!!9", "", "nothing selected", "", true},
		{"!@x", "", "file", "", true},
		{"model..1", "", "empty segment", "", true},
		{"model.[0", "", "malformed glob", "", true},
		{"@", "", "reading selectors from @", "", false},
		{"@/no/such/file", "", "/no/such/file", "", false},
		{"@/dev/null", "", "not a regular file", "", false},
		{"10", "eva", `unknown mode "eva"`, "did you mean eval?", true},
		{"10", "nek=eval", "`bn nek=eval` matches no BatchNorm module", "neck", false},
		{"10", "head=eval", "matches no BatchNorm module", "", false},
		{"10", "!neck=eval", "exclusion", "neck=batch", true},
		{"10", "30=eval", "no layer 30", "", false},
		{"*.bn.*", "affine-only", "freezes nothing", "", false},
	}
	for _, c := range cases {
		t.Run(c.selectors+" "+c.bn, func(t *testing.T) {
			_, err := try(yolov5n(), c.selectors, c.bn)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want one about %q", err, c.message)
			}
			if !strings.Contains(e.Error(), c.message) || strings.Contains(e.Error(), "\n") {
				t.Errorf("error %q, want one line about %q", e, c.message)
			}
			if !strings.Contains(e.Hint(), c.hint) {
				t.Errorf("hint %q, want %q in it", e.Hint(), c.hint)
			}
			if e.Usage() != c.usage || e.BadInput() == c.usage {
				t.Errorf("usage %t, want %t", e.Usage(), c.usage)
			}
		})
	}
	_, err := try(Network{Parameters: []Parameter{{Name: "model.0.w"}, {Name: "model.1.w"}}}, "backbone", "")
	if err == nil || !strings.Contains(err.Error(), "does not say where its backbone is") {
		t.Errorf("backbone of a network without a table: %v", err)
	}
}

func TestSummary(t *testing.T) {
	s := plan(t, yolov5n(), "10", "").Summary()
	// 1 872 157 parameters has yolov5n in training form; YOLOv5 freezes 99 of its 177 tensors.
	if s.Frozen.Tensors != 99 || s.Trainable.Tensors != 78 || s.Frozen.Elements+s.Trainable.Elements != 1872157 {
		t.Errorf("summary %+v", s)
	}
	if s.BatchNorm[Eval] != 33 || s.BatchNorm[Batch] != 24 {
		t.Errorf("BatchNorm %v", s.BatchNorm)
	}
	if got := s.String(); !strings.HasPrefix(got, "frozen 99 of 177 tensors, ") || !strings.HasSuffix(got, "BatchNorm 33 eval, 24 batch") {
		t.Error(got)
	}
	var table strings.Builder
	if err := plan(t, yolov5n(), "10", "").WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{
		{"model.0.conv.weight", "[16 3 6 6]", "frozen", "10"},
		{"model.0.bn.running_mean", "[16]", "frozen", "bn eval"},
		{"model.10.bn.running_mean", "[128]", "moves"},
		{"model.24.m.0.bias", "[255]", "trains"},
	} {
		i := strings.Index(table.String(), want[0]+" ")
		line, _, _ := strings.Cut(table.String()[max(i, 0):], "\n")
		for _, part := range want {
			if !strings.Contains(line, part) {
				t.Errorf("table line %q lacks %q", line, part)
			}
		}
	}
}

func TestBatchNorm(t *testing.T) {
	type want map[string]BN
	cases := []struct {
		selectors, bn string
		modes         want
		trains        []string
		frozen        []string
		prefix        int
	}{
		{"10", "", want{"model.0.bn": Eval, "model.10.bn": Batch}, []string{"model.10.bn.weight", "model.10.bn.running_var"}, []string{"model.0.bn.weight", "model.0.bn.running_var", "model.24.anchors"}, 10},
		{"10", "batch", want{"model.0.bn": Batch, "model.10.bn": Batch}, []string{"model.0.bn.running_mean", "model.0.bn.num_batches_tracked"}, []string{"model.0.bn.weight"}, 0},
		{"10", "affine-only", want{"model.0.bn": AffineOnly, "model.10.bn": Batch}, []string{"model.0.bn.weight", "model.0.bn.bias"}, []string{"model.0.conv.weight", "model.0.bn.running_mean"}, 0},
		{"10", "eval,neck=affine-only", want{"model.9.cv1.bn": Eval, "model.10.bn": AffineOnly}, []string{"model.10.conv.weight", "model.10.bn.weight"}, []string{"model.10.bn.running_mean"}, 10},
		{"10", "all=eval,5-9=batch", want{"model.4.cv1.bn": Eval, "model.5.bn": Batch, "model.23.cv1.bn": Eval}, []string{"model.23.cv1.bn.weight"}, []string{"model.23.cv1.bn.running_mean"}, 5},
		{"10", "3=batch", want{"model.2.cv1.bn": Eval, "model.3.bn": Batch}, nil, []string{"model.3.bn.weight"}, 3},
		{"10", "model.3.bn=batch", want{"model.3.bn": Batch, "model.4.cv1.bn": Eval}, nil, nil, 3},
		{"10", "model.*.m.?.*.bn=batch", want{"model.2.cv1.bn": Eval, "model.2.m.0.cv2.bn": Batch}, nil, nil, 2},
		{"all", "affine-only", want{"model.0.bn": AffineOnly}, []string{"model.0.bn.weight"}, []string{"model.24.m.0.bias"}, 0},
		{"*.bn.*", "", want{"model.0.bn": Eval, "model.23.cv1.bn": Eval}, []string{"model.0.conv.weight"}, []string{"model.0.bn.bias"}, 0},
		{"*.conv.weight", "", want{"model.0.bn": Batch}, nil, nil, 0},
		{"*.bn.weight", "", want{"model.0.bn": Batch}, nil, nil, 0}, // the shift trains: not a frozen module
		{"0-12", "", nil, nil, nil, 13},
		{"24", "", nil, nil, nil, 24},
		{"10,!model.4.", "", want{"model.3.bn": Eval, "model.4.cv1.bn": Batch}, nil, nil, 4},
	}
	for _, c := range cases {
		t.Run(c.selectors+" "+c.bn, func(t *testing.T) {
			p := plan(t, yolov5n(), c.selectors, c.bn)
			for m, mode := range c.modes {
				if got := p.BNMode(m); got != mode {
					t.Errorf("%s is %s, want %s", m, got, mode)
				}
			}
			for _, name := range c.trains {
				if _, ok := p.entry[name]; !ok || p.Frozen(name) {
					t.Errorf("%s is frozen or unknown", name)
				}
			}
			for _, name := range c.frozen {
				if !p.Frozen(name) {
					t.Errorf("%s is not frozen", name)
				}
			}
			if got := p.FixedPrefix(); got != c.prefix {
				t.Errorf("fixed prefix %d, want %d (%s)", got, c.prefix, p.Moves(got))
			}
		})
	}
	p := plan(t, yolov5n(), "10", "batch")
	if got := p.Moves(0); got != "the statistics of model.0.bn move" {
		t.Error(got)
	}
	if got := p.Moves(24); got != "model.24.m.0.weight trains" {
		t.Error(got)
	}
	if p.BNMode("model.0.conv") != "" || p.Frozen("nothing") {
		t.Error("an unknown name has a mode or is frozen")
	}
}

// TestRecordedFreeze holds plans against what recorded training steps changed:
// a parameter is frozen exactly when the record has no gradient of it.
func TestRecordedFreeze(t *testing.T) {
	recorded.Each(t, func(t *testing.T, r *recorded.Recording) {
		layers := func(part string) int { return len(r.YAML[part].([]any)) }
		net := Network{Backbone: layers("backbone"), Head: layers("backbone") + layers("head") - 1}
		selectors, err := Parse(r.Freeze)
		if err != nil {
			t.Fatal(err)
		}
		for name, tensor := range r.Init() {
			buffer := strings.Contains(name, ".running_") || strings.HasSuffix(name, ".anchors")
			net.Parameters = append(net.Parameters, Parameter{name, tensor.Shape, buffer})
		}
		p, err := New(net, selectors, Policy{Mode: BN(r.FrozenBN)})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Entries {
			if strings.HasSuffix(e.Name, ".anchors") {
				continue
			}
			change := "grad/"
			if e.Buffer {
				change = "after1/"
			}
			if r.Tensors[change+e.Name] != nil == e.Frozen {
				t.Errorf("%s: frozen %t, but the record has %s of it: %t", e.Name, e.Frozen, change, !e.Frozen)
			}
		}
	})
}
