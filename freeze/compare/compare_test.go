package compare

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"yolofreeze/freeze"
	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/disk"
)

// madeRun is a run's folder made for a test.
type madeRun struct {
	name    string
	freeze  []string
	seed    int
	epochs  int
	options string // further lines of opt.yaml
	peak    float64
	pace    float64 // seconds an epoch
}

// write makes the folder as yolofreeze does, but for the weights.
func (m madeRun) write(t *testing.T, root string) string {
	t.Helper()
	dir := filepath.Join(root, m.name)
	rng := rand.New(rand.NewPCG(uint64(m.seed), 7))
	var results, classes, timing strings.Builder
	results.WriteString(runs.ResultsHeader())
	timing.WriteString(runs.TimingHeader)
	classes.WriteString(runs.ClassHeader)
	for e := range m.epochs {
		progress := 1 - math.Exp(-float64(e+1)/float64(m.epochs)*3)
		mAP := m.peak*progress + .01*rng.Float64()
		row := runs.Row{Epoch: e, Precision: .8 * progress, Recall: .7 * progress, MAP50: min(1, 1.5*mAP), MAP: mAP,
			Train: [3]float64{.1 - .05*progress, .05 - .01*progress, .03 - .02*progress}, Val: [3]float64{.1 - .04*progress, .05, .04 - .02*progress}}
		results.WriteString(row.Line())
		var list []runs.Class
		for i, name := range []string{"person", "bicycle, motor", "dog"} {
			ap := mAP + .05*float64(i) + .01*rng.Float64()
			list = append(list, runs.Class{Class: i, Name: name, Images: 10, Instances: 20 + i, Precision: .5, Recall: .5, F1: .5, AP50: ap, AP: ap})
		}
		lines, err := runs.ClassLines(e, list)
		if err != nil {
			t.Fatal(err)
		}
		classes.WriteString(lines)
		seconds := m.pace * (float64(e) + 1 + .1*float64(m.seed))
		fmt.Fprintf(&timing, "%d,%g,%g,%g,%g,%g,%g,%g,%g,%g\n", e, seconds, .1*seconds, .6*seconds, .05*seconds, .2*seconds, .02*seconds, 0., 100/m.pace, m.pace*1e8)
	}
	opt := fmt.Sprintf("weights: yolov5n.pt\nfreeze: [%s]\nseed: %d\nepochs: %d\nname: %s\n%s", strings.Join(m.freeze, ", "), m.seed, m.epochs, m.name, m.options)
	if m.pace > 0 {
		writeFiles(t, dir, map[string]string{"timing.csv": timing.String(), "summary.json": `{"environment": {"processor": "AVX9000", "threads": 2, "onnxruntime": "1.30.0", "device": "cpu"}}`})
	}
	writeFiles(t, dir, map[string]string{"results.csv": results.String(), "per_class.csv": classes.String(),
		"opt.yaml": opt, "hyp.yaml": "lr0: 0.01\nlrf: 0.1\n", "freeze.yaml": string(madePlan(t, m.freeze).YAML())})
	return dir
}

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// madePlan freezes layers of a network of four.
func madePlan(t testing.TB, selectors []string) *freeze.Plan {
	t.Helper()
	net := freeze.Network{Layers: 4, Backbone: 2, Head: 3}
	for i := range 4 {
		prefix := fmt.Sprintf("model.%d.", i)
		net.Parameters = append(net.Parameters, freeze.Parameter{Name: prefix + "conv.weight", Shape: []int64{100}},
			freeze.Parameter{Name: prefix + "bn.weight", Shape: []int64{5}}, freeze.Parameter{Name: prefix + "bn.bias", Shape: []int64{5}},
			freeze.Parameter{Name: prefix + "bn.running_mean", Shape: []int64{5}, Buffer: true}, freeze.Parameter{Name: prefix + "bn.running_var", Shape: []int64{5}, Buffer: true})
	}
	parsed, err := freeze.Parse(selectors)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := freeze.New(net, parsed)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// madeComparison compares three seeds unfrozen with three frozen.
func madeComparison(t *testing.T) *Comparison {
	t.Helper()
	root := t.TempDir()
	var runs []*Run
	for seed := range 3 {
		for _, m := range []madeRun{{"unfrozen-seed%d", nil, seed, 12, "", .42, 3}, {"backbone-seed%d", []string{"2"}, seed, 12, "", .36, 2}} {
			m.name = fmt.Sprintf(m.name, seed)
			r, err := Read(m.write(t, root))
			if err != nil {
				t.Fatal(err)
			}
			runs = append(runs, r)
		}
	}
	c, err := New("Frozen against unfrozen", runs)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestComparisonGroups(t *testing.T) {
	c := madeComparison(t)
	var names []string
	for _, g := range c.Groups {
		names = append(names, g.Name)
	}
	if want := []string{"unfrozen", "backbone"}; !slices.Equal(names, want) || c.Baseline != "unfrozen" {
		t.Fatalf("groups %v, baseline %s; want %v, unfrozen", names, c.Baseline, want)
	}
	frozen := c.Groups[1]
	if len(frozen.members) != 3 || frozen.Frozen != 220 || frozen.Trainable != 220 || c.Groups[0].Frozen != 0 || c.Groups[0].Trainable != 440 {
		t.Errorf("frozen: %d runs, %v and %v parameters; unfrozen: %v and %v", len(frozen.members), frozen.Frozen, frozen.Trainable, c.Groups[0].Frozen, c.Groups[0].Trainable)
	}
	if s := frozen.Seconds; s.N != 3 || math.Abs(float64(s.Mean)-24.2) > 1e-9 || s.Min != 24 || s.Max != 24.4 || math.Abs(float64(s.SD)-.2) > 1e-9 {
		t.Errorf("seconds of the frozen runs: %+v", s)
	}
	if len(c.Settings) != 1 || c.Settings[0].Name != "freeze" || !slices.Equal(c.Settings[0].Values, []string{"0", "2"}) {
		t.Errorf("settings that differ: %+v", c.Settings)
	}
	want := []PlanRow{{0, 1, "backbone", []string{"trains, bn batch", "frozen, bn eval"}},
		{2, 2, "neck", []string{"trains, bn batch", "trains, bn batch"}}, {3, 3, "head", []string{"trains, bn batch", "trains, bn batch"}}}
	if fmt.Sprint(c.Plans) != fmt.Sprint(want) {
		t.Errorf("plans %v, want %v", c.Plans, want)
	}
	if len(c.Classes) != 3 || c.Classes[0].Instances < 20 || c.Classes[0].Groups[1].Mean >= 0 || !c.Classes[0].Groups[1].Half.Known() {
		t.Errorf("classes: %+v", c.Classes)
	}
}

func TestComparisonTargets(t *testing.T) {
	c := madeComparison(t)
	for _, r := range c.Runs {
		for i, share := range c.Targets {
			want := runs.Unknown
			for _, p := range r.Curve {
				if float64(p.MAP) >= share*float64(c.BestMAP) {
					want = p.Seconds
					break
				}
			}
			if got := r.SecondsTo[i]; got != want && (got.Known() || want.Known()) {
				t.Errorf("%s reaches %v of the best after %v s, want %v", r.Name, share, got, want)
			}
		}
	}
	if c.Groups[1].SecondsTo[3].N != 0 {
		t.Errorf("a run whose best is .36 reached .95 of .42: %+v", c.Groups[1].SecondsTo[3])
	}
}

// Names of groups: by what differs where the runs' own names do not tell.
func TestComparisonGroupNames(t *testing.T) {
	tests := []struct {
		name string
		runs []madeRun
		want []string
	}{
		{"seeds in the names", []madeRun{{name: "a-seed0"}, {name: "a-seed1", seed: 1}, {name: "b-seed0", freeze: []string{"2"}}}, []string{"a", "b"}},
		{"numbered folders", []madeRun{{name: "exp"}, {name: "exp2", seed: 1}, {name: "exp3", freeze: []string{"2"}}}, []string{"unfrozen", "frozen 2"}},
		{"one run each", []madeRun{{name: "exp"}, {name: "exp2", freeze: []string{"2"}}}, []string{"exp", "exp2"}},
		{"another option", []madeRun{{name: "exp", options: "imgsz: 320"}, {name: "exp2", seed: 1, options: "imgsz: 320"}, {name: "exp3", options: "imgsz: 640"}},
			[]string{"unfrozen, imgsz 320", "unfrozen, imgsz 640"}},
		{"incidental options", []madeRun{{name: "x-s0", options: "workers: 1"}, {name: "x-s1", seed: 1, options: "workers: 8"}}, []string{"x"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			var runs []*Run
			for _, m := range test.runs {
				m.epochs, m.peak = 2, .3
				r, err := Read(m.write(t, root))
				if err != nil {
					t.Fatal(err)
				}
				runs = append(runs, r)
			}
			c, err := New("t", runs)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, g := range c.Groups {
				got = append(got, g.Name)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("groups %q, want %q", got, test.want)
			}
		})
	}
}

// A folder as YOLOv5 leaves it: padded header, its own options, event file.
func TestReadYOLOv5Run(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "exp7")
	results := "               epoch,      train/box_loss,   metrics/precision,      metrics/recall,     metrics/mAP_0.5,metrics/mAP_0.5:0.95,         x/lr0\n" +
		"                   0,             0.11,                 0.5,                 0.4,                0.45,                0.22,               0.07\n" +
		"                   1,             0.10,                 0.6,                 0.5,                0.55,                0.30,               0.04\n" +
		"                   2,             0.09,                 nan,                 0.5,                0.54,                0.29,               0.01\n"
	writeFiles(t, dir, map[string]string{
		"results.csv": results,
		"opt.yaml":    "weights: yolov5n.pt\nhyp:\n  lr0: 0.01\nfreeze:\n- 10\nseed: 3\nepochs: 5\nimage_weights: false\n",
		"hyp.yaml":    "lr0: 0.01\n",
		"events.out.tfevents.1700000000.host.1.0": string(eventFile([][2]float64{{100, -1}, {107, 0}, {112.5, 1}, {118, 2}})),
	})
	r, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r.Source != "yolov5" || r.Name != "exp7" || r.Epochs != 3 || r.BestEpoch != 1 || r.MAP50 != .55 || r.MAP != .3 || r.Seed != 3 || r.Asked != 5 {
		t.Errorf("read %+v", r)
	}
	if !slices.Equal(r.Freeze, []string{"10"}) || r.Settings["lr0"] != "0.01" || r.Settings["image_weights"] != "false" {
		t.Errorf("freeze %v, settings %v", r.Freeze, r.Settings)
	}
	if r.Seconds != 18 || r.Curve[0].Seconds != 7 || r.Curve[1].Seconds != 12.5 || r.Curve[2].Precision.Known() || r.Frozen.Known() {
		t.Errorf("seconds %v, %v, %v; precision %v; frozen %v", r.Seconds, r.Curve[0].Seconds, r.Curve[1].Seconds, r.Curve[2].Precision, r.Frozen)
	}
}

// eventFile writes events of a time and a step; the first, of step -1, has no summary.
func eventFile(events [][2]float64) []byte {
	var out []byte
	for _, e := range events {
		body := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), math.Float64bits(e[0]))
		if e[1] >= 0 {
			body = protowire.AppendVarint(protowire.AppendTag(body, 2, protowire.VarintType), uint64(e[1]))
			body = protowire.AppendBytes(protowire.AppendTag(body, 5, protowire.BytesType), []byte{1, 2})
		}
		out = binary.LittleEndian.AppendUint64(out, uint64(len(body)))
		out = append(append(append(out, 0, 0, 0, 0), body...), 0, 0, 0, 0)
	}
	return out
}

func TestReadRunErrors(t *testing.T) {
	good := runs.ResultsHeader() + runs.Row{}.Line()
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"no results", map[string]string{"opt.yaml": ""}, "results.csv: no such file or directory"},
		{"empty", map[string]string{"results.csv": ""}, "results.csv: the file is empty"},
		{"header only", map[string]string{"results.csv": runs.ResultsHeader()}, "results.csv: no epoch after the header"},
		{"foreign columns", map[string]string{"results.csv": "epoch,loss\n0,1\n"}, "results.csv: line 1: no column metrics/mAP_0.5"},
		{"not a number", map[string]string{"results.csv": strings.Replace(good, " 0,", " x,", 1)}, `results.csv: line 2: column epoch: "x" is not a number`},
		{"half an epoch", map[string]string{"results.csv": strings.Replace(good, " 0,", " 0.5,", 1)}, "results.csv: line 2: column epoch: 0.5 is not a whole number"},
		{"short line", map[string]string{"results.csv": runs.ResultsHeader() + "0,2\n"}, "results.csv: line 2: 2 fields, not 14"},
		{"options", map[string]string{"results.csv": good, "opt.yaml": "a: [1\n"}, "opt.yaml: line 1"},
		{"plan", map[string]string{"results.csv": good, "freeze.yaml": "version: 2\n"}, "freeze.yaml: line 1: version 2 of plan files is not known"},
		{"classes", map[string]string{"results.csv": good, "per_class.csv": "a,b\n"}, "per_class.csv: line 1: the columns are not epoch,class"},
		{"class figure", map[string]string{"results.csv": good, "per_class.csv": runs.ClassHeader + "0,0,dog,1,1,x,0,0,0,0\n"}, `per_class.csv: line 2: column precision: "x" is not a number`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, dir, test.files)
			_, err := Read(dir)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), dir) {
				t.Fatalf("error %v, want %s… %s", err, dir, test.want)
			}
			var input *disk.InputError
			if !errors.As(err, &input) {
				t.Errorf("%v is not marked as bad input", err)
			}
		})
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a folder that is not there: %v", err)
	}
}

// TestDamagedRows: what a crash leaves of a row costs that epoch, in any table,
// cut at any byte, and with the next epoch on the same line.
func TestDamagedRows(t *testing.T) {
	for _, name := range []string{"results.csv", "per_class.csv", "timing.csv"} {
		whole := madeRun{"whole", nil, 0, 4, "", .4, 2}.write(t, t.TempDir())
		data, err := os.ReadFile(filepath.Join(whole, name))
		if err != nil {
			t.Fatal(err)
		}
		last := bytes.LastIndexByte(bytes.TrimSuffix(data, []byte("\n")), '\n') + 1
		first := last + bytes.IndexByte(data[last:], ',') + 1 // before it, the next epoch's row would be whole
		for cut := first; cut < len(data)-20; cut += 7 {
			for _, behind := range []string{"", string(data[last:]), "\x00\x00\x00"} {
				writeFiles(t, whole, map[string]string{name: string(data[:cut]) + behind})
				r, err := Read(whole)
				if err != nil {
					t.Fatalf("%s cut at %d: %v", name, cut, err)
				}
				if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], name+": line ") {
					t.Fatalf("%s cut at %d: warnings %q", name, cut, r.Warnings)
				}
				if want := map[bool]int{true: 3, false: 4}[name == "results.csv"]; r.Epochs != want {
					t.Errorf("%s cut at %d: %d epochs, want %d", name, cut, r.Epochs, want)
				}
			}
		}
	}
}

func TestDifference(t *testing.T) {
	tests := []struct {
		name       string
		a, b       []seeded
		mean, half float64
	}{
		{"single runs", []seeded{{0, .5}}, []seeded{{0, .4}}, .1, math.NaN()},
		{"nothing to compare", nil, []seeded{{0, .4}}, math.NaN(), math.NaN()},
		// t of 2 degrees of freedom at 97.5 % is 4.3027; the differences .1 .2 .3 have the deviation .1.
		{"pairs", []seeded{{0, .1}, {1, .4}, {2, .9}}, []seeded{{0, 0}, {1, .2}, {2, .6}}, .2, 4.302652729911275 * .1 / math.Sqrt(3)},
		// Welch: both variances .02, 2 runs each, 2 degrees of freedom.
		{"other seeds", []seeded{{0, .4}, {1, .6}}, []seeded{{2, .1}, {3, .3}}, .3, 4.302652729911275 * math.Sqrt(.02)},
	}
	for _, test := range tests {
		d := difference(test.a, test.b)
		if !close64(float64(d.Mean), test.mean) || !close64(float64(d.Half), test.half) {
			t.Errorf("%s: %v ± %v, want %v ± %v", test.name, d.Mean, d.Half, test.mean, test.half)
		}
	}
}

func close64(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) < 1e-6
}

// TestChangedPlan: a run whose frozen layers were changed when it was resumed counts
// as neither, and is no baseline.
func TestChangedPlan(t *testing.T) {
	root := t.TempDir()
	plans := "plans: [\"epoch 0: freeze nothing\", \"epoch 2: freeze 10\"]\n"
	var list []*Run
	for _, m := range []madeRun{
		{name: "half", epochs: 4, options: plans}, {name: "a", epochs: 4, options: "plans: []\n"}, {name: "b", epochs: 4},
		{name: "other", freeze: []string{"1"}, epochs: 4, options: plans}, {name: "frozen", freeze: []string{"1"}, epochs: 4},
	} {
		r, err := Read(m.write(t, root))
		if err != nil {
			t.Fatal(err)
		}
		if changed := strings.HasPrefix(m.options, "plans: [\""); changed == r.Frozen.Known() || changed != (len(r.Warnings) == 1) {
			t.Errorf("%s: frozen %v, warnings %q", m.name, r.Frozen, r.Warnings)
		}
		list = append(list, r)
	}
	c, err := New("", list)
	if err != nil {
		t.Fatal(err)
	}
	var groups [][]string
	for _, g := range c.Groups {
		groups = append(groups, g.Runs)
	}
	if got := fmt.Sprint(groups); got != "[[half other] [a b] [frozen]]" || c.Baseline != c.Groups[1].Name {
		t.Errorf("groups %s, baseline %q", got, c.Baseline)
	}
}
