package finetune

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/dataset/synth"
	"yolofreeze/freeze"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/options"
	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/wire"
)

// quiet is a Reporter that notes what it hears and may act on it.
type quiet struct {
	t       *testing.T
	lines   []string
	rows    []runs.Row
	batches int
	onBatch func(n int)
	onVal   func(done int)
	onEpoch func(epoch int)
	onLine  func(line string)
}

func (q *quiet) Logf(format string, args ...any) {
	q.lines = append(q.lines, fmt.Sprintf(format, args...))
	if q.onLine != nil {
		q.onLine(q.lines[len(q.lines)-1])
	}
}
func (q *quiet) Warnf(format string, args ...any) { q.Logf("warning: "+format, args...) }
func (q *quiet) Data(*dataset.Set)                {}

func (q *quiet) Epoch(e EpochResult) {
	if q.rows = append(q.rows, e.Row); q.onEpoch != nil {
		q.onEpoch(e.Epoch)
	}
}

func (q *quiet) Batch(BatchResult) {
	if q.batches++; q.onBatch != nil {
		q.onBatch(q.batches)
	}
}

func (q *quiet) Plan(p *freeze.Plan) {
	for _, name := range p.FrozenNames() {
		q.Logf("freezing %s", name)
	}
}

func (q *quiet) Validating(done, _ int) {
	if q.onVal != nil {
		q.onVal(done)
	}
}

// heard tells whether a line contains the text.
func (q *quiet) heard(text string) bool {
	return slices.ContainsFunc(q.lines, func(l string) bool { return strings.Contains(l, text) })
}

// smallRun are options of a run that takes a second: three epochs of ten
// pictures in batches of four, a small network, the first layer frozen.
func smallRun(t *testing.T) options.Options {
	t.Helper()
	fixture.NeedORT(t)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	data := filepath.Join(dir, "shapes")
	if err := synth.Write(data, synth.Options{Counts: map[string]int{"train": 10, "val": 6}, Size: 64}); err != nil {
		t.Fatal(err)
	}
	weights := filepath.Join(dir, "small.safetensors")
	if err := model.Save(weights, fixture.SmallModel(t)); err != nil {
		t.Fatal(err)
	}
	o := options.Defaults()
	o.Weights, o.Data, o.Epochs, o.BatchSize, o.ImageSize = weights, filepath.Join(data, "data.yaml"), 3, 4, 64
	o.Project, o.Device, o.Freeze, o.Workers = filepath.Join(dir, "runs"), "cpu", []string{"1"}, 2
	o.NoPlots = true
	return o
}

func mustRun(t *testing.T, o options.Options, r Reporter) *Summary {
	t.Helper()
	report, err := Run(t.Context(), o, r)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestRunFolder(t *testing.T) {
	o := smallRun(t)
	o.SavePeriod, o.SavePT = 2, true
	q := &quiet{t: t}
	report := mustRun(t, o, q)
	for _, name := range []string{"results.csv", "per_class.csv", "timing.csv", "opt.yaml", "hyp.yaml", "freeze.yaml", "summary.json",
		"weights/best.safetensors", "weights/last.safetensors", "weights/best.onnx", "weights/best.pt", "weights/epoch1.safetensors"} {
		if !disk.IsFile(filepath.Join(report.RunDir, name)) {
			t.Errorf("%s is missing", name)
		}
	}
	if disk.IsFile(filepath.Join(report.RunDir, "weights", "epoch0.safetensors")) {
		t.Error("epoch0.safetensors was kept with a period of 2")
	}
	text, _ := os.ReadFile(filepath.Join(report.RunDir, "results.csv"))
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	if len(lines) != 4 || len(q.rows) != 3 || lines[0]+"\n" != runs.ResultsHeader() {
		t.Fatalf("results.csv:\n%s", text)
	}
	for i, line := range lines[1:] {
		if line+"\n" != q.rows[i].Line() || q.rows[i].Epoch != i {
			t.Errorf("row %d is %q, reported %q", i, line, q.rows[i].Line())
		}
	}
	for _, want := range []string{"freezing model.0.conv.weight", "frozen 3 of", "reinitialised model.4.m.0.weight", "Transferred "} {
		if !q.heard(want) {
			t.Errorf("no line says %q", want)
		}
	}
	if report.Steps == 0 || report.Epochs != 3 || report.Frozen.Tensors != 3 || report.Metrics.Fitness != q.rows[report.Metrics.Epoch].Fitness() {
		t.Errorf("report %+v", report)
	}
	if report.Seconds <= 0 || report.Phases.Step <= 0 || report.ImagesPerSecond <= 0 || report.PeakRSS <= 0 {
		t.Errorf("timing %+v", report.Timing)
	}
	checkWeights(t, o, report)
}

// checkWeights looks at what was frozen, and at the export.
func checkWeights(t *testing.T, o options.Options, report *Summary) {
	before, err := model.Load(o.Weights)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := freeze.ParseYAML(fixture.MustRead(t, filepath.Join(report.RunDir, "freeze.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{report.Best, report.Last} {
		m, err := model.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(m.Names, synth.Families["plain"]) {
			t.Errorf("%s: names %v", path, m.Names)
		}
		changed := 0
		for name, was := range before.State {
			same := bytes.Equal(m.State[name].Raw, was.Raw)
			frozen := plan.Frozen(name) || strings.HasPrefix(name, "model.0.bn.running")
			if frozen && !same {
				t.Errorf("%s: %s is frozen and has changed", path, name)
			}
			if !same {
				changed++
			}
		}
		if changed == 0 {
			t.Errorf("%s: nothing has changed", path)
		}
	}
	graph, err := wire.Read(report.Export)
	if err != nil {
		t.Fatal(err)
	}
	if graph.Metadata["names"] != "{0: 'circle', 1: 'square', 2: 'triangle'}" || graph.Metadata["stride"] != "32" {
		t.Errorf("export's metadata: %v", graph.Metadata)
	}
}

// TestFolderIsLocked lets one run at a time into a folder.
func TestFolderIsLocked(t *testing.T) {
	o := smallRun(t)
	o.Epochs, o.ExistOK = 1, true
	q := &quiet{t: t}
	q.onBatch = func(int) {
		second := o
		want := fmt.Sprintf("process %d is training here", os.Getpid())
		if _, err := Run(t.Context(), second, &quiet{t: t}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a second run in the folder: %v", err)
		}
	}
	dir := mustRun(t, o, q).RunDir
	if disk.IsFile(filepath.Join(dir, ".lock")) {
		t.Error("the lock is left")
	}
	if err := os.WriteFile(filepath.Join(dir, ".lock"), []byte("1\n"), 0o666); err != nil { // as a killed process leaves it
		t.Fatal(err)
	}
	mustRun(t, o, &quiet{t: t})
}

// TestNonFinite trains with a learning rate that leaves the numbers.
func TestNonFinite(t *testing.T) {
	o := smallRun(t)
	o.Hyp.LR0, o.Hyp.WarmupBiasLR, o.Hyp.WarmupEpochs = 1e30, 1e30, 0
	_, err := Run(t.Context(), o, &quiet{t: t})
	var bad *NonFiniteError
	if !errors.As(err, &bad) || !bad.NonFinite() || len(bad.Pictures) == 0 {
		t.Fatalf("error %v", err)
	}
}

func TestEarlyStop(t *testing.T) {
	o := smallRun(t)
	o.Epochs, o.Patience, o.NoVal = 9, 2, false
	o.Hyp.LR0, o.Hyp.WarmupBiasLR = 0, 0 // nothing gets better
	report := mustRun(t, o, &quiet{t: t})
	if report.Epochs != 3 || report.Metrics.Epoch != 0 {
		t.Errorf("%d epochs, best %d; want 3 and 0", report.Epochs, report.Metrics.Epoch)
	}
}

func TestRunRefuses(t *testing.T) {
	base := smallRun(t)
	cases := []struct {
		name   string
		change func(*options.Options)
		want   string
	}{
		{"batch", func(o *options.Options) { o.BatchSize = 0 }, "batch size 0: want 1 or more"},
		{"optimizer", func(o *options.Options) { o.Optimizer = "Lion" }, `optimizer "Lion": want one of [SGD Adam AdamW]`},
		{"cache", func(o *options.Options) { o.Cache = "moon" }, `cache "moon"`},
		{"rect", func(o *options.Options) { o.Rect, o.ImageWeights = true, true }, "use one of them"},
		{"quad", func(o *options.Options) { o.Quad, o.Rect = true, true }, "use one of them"},
		{"quad's batch", func(o *options.Options) { o.Quad, o.BatchSize = true, 6 }, "batch size 6 with quad: want a multiple of 4"},
		{"mosaic9", func(o *options.Options) { o.Mosaic9 = 2 }, "mosaic9 2: want a share from 0 to 1"},
		{"labels", func(o *options.Options) { o.BadLabels = "mend" }, `bad-labels "mend"`},
		{"freeze", func(o *options.Options) { o.Freeze = []string{"model.10O."} }, "model.10O."},
		{"rates", func(o *options.Options) { o.LRScale = []string{"bakbone=0.1"} }, "`lr-scale bakbone=0.1` matches no parameter"},
		{"decay", func(o *options.Options) { o.LRDecay = 1.5 }, "`lr-decay 1.5`: not above 0 and at most 1"},
		{"data", func(o *options.Options) { o.Data = "none.yaml" }, "none.yaml"},
		{"weights", func(o *options.Options) { o.Weights = "none.pt" }, "none.pt"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := base
			c.change(&o)
			if _, err := Run(t.Context(), o, &quiet{t: t}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	if _, err := os.Stat(base.Project); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused run has made its folder: %v", err)
	}
}

// TestOptionsOfRuns lets each kind of run end: sizes, loaders and optimizers.
func TestOptionsOfRuns(t *testing.T) {
	base := smallRun(t)
	base.Epochs = 1
	cases := map[string]func(*options.Options){
		"rect":       func(o *options.Options) { o.Rect = true },
		"quad":       func(o *options.Options) { o.Quad, o.MultiScale, o.BatchSize = true, true, 4 },
		"mosaic9":    func(o *options.Options) { o.Mosaic9 = .5 },
		"multiscale": func(o *options.Options) { o.MultiScale = true },
		"single":     func(o *options.Options) { o.SingleCls = true },
		"adam":       func(o *options.Options) { o.Optimizer, o.CosLR = "Adam", true },
		"adamw":      func(o *options.Options) { o.Optimizer = "AdamW" },
		"large":      func(o *options.Options) { o.BatchSize = 99 },
		"one":        func(o *options.Options) { o.BatchSize = 1 },
		"noval":      func(o *options.Options) { o.NoVal, o.NoSave = true, true },
		"disk":       func(o *options.Options) { o.Cache = "disk" },
		"nothing":    func(o *options.Options) { o.Epochs = 0 },
		"bn":         func(o *options.Options) { o.BN = []string{"batch"} },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			o := base
			o.Name = name
			change(&o)
			report := mustRun(t, o, &quiet{t: t})
			if report.Epochs != o.Epochs {
				t.Errorf("%d epochs, want %d", report.Epochs, o.Epochs)
			}
			want := 10 * o.Epochs
			if o.Quad {
				want = 8 // a remainder of less than four makes no picture
			}
			p := report.Phases
			if images := report.ImagesPerSecond * (p.Data + p.Step + p.Optimizer); math.Abs(images-float64(want)) > .01 {
				t.Errorf("%g pictures trained, want %d", images, want)
			}
		})
	}
}

// TestUnreadablePictures: a picture that only decoding finds out about is named once, in
// training and in validation.
func TestUnreadablePictures(t *testing.T) {
	o := smallRun(t)
	root := filepath.Dir(o.Data)
	for _, split := range []string{"train", "val"} {
		path := filepath.Join(root, "images", split, "000001.png")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data[:len(data)/2], 0o666); err != nil {
			t.Fatal(err)
		}
	}
	q := &quiet{t: t}
	mustRun(t, o, q)
	for _, split := range []string{"train", "val"} {
		named := 0
		for _, line := range q.lines {
			if strings.HasPrefix(line, "warning: cannot be used") && strings.Contains(line, filepath.Join(split, "000001.png")) {
				named++
			}
		}
		if named != 1 {
			t.Errorf("%s: named %d times: %q", split, named, q.lines)
		}
	}
}
