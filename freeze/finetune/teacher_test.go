package finetune

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/freeze/checkpoint"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/options"
	"yolofreeze/onnx/disk"
)

// taughtRun is smallRun with the weights that it begins with as its teacher.
func taughtRun(t *testing.T) options.Options {
	o := smallRun(t)
	o.Teacher, o.Freeze = o.Weights, []string{"2"}
	return o
}

// TestTeacherRun: the run's classes are the teacher's and the data's, and its files say whose they are.
func TestTeacherRun(t *testing.T) {
	o := taughtRun(t)
	q := &quiet{t: t}
	report := mustRun(t, o, q)
	best, err := model.Load(report.Best)
	if err != nil {
		t.Fatal(err)
	}
	exported, err := model.Load(report.Export)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(best.Names, " "), "cup it's circle square triangle"; got != want {
		t.Errorf("classes %s, want %s", got, want)
	}
	source, err := model.SourceOf(o.Teacher)
	if err != nil {
		t.Fatal(err)
	}
	if report.Teacher != source || best.Metadata[model.TeacherHashKey] != source.SHA256 || exported.Metadata[model.TeacherFileKey] != "small.safetensors" {
		t.Errorf("the summary names %v, the weights %v, the export %v", report.Teacher, best.Metadata, exported.Metadata)
	}
	if opt := fixture.MustRead(t, filepath.Join(report.RunDir, "opt.yaml")); !bytes.Contains(opt, []byte("\nteacher: "+o.Teacher+"\n")) || !bytes.Contains(opt, []byte("\nteacher_weight: 1\n")) {
		t.Errorf("opt.yaml:\n%s", opt)
	}
	if !q.heard("teacher small.safetensors: 2 of its classes are kept beside 3 of the data, 5 in all; labels decide on circle, square, triangle, the teacher on cup, it's") ||
		!q.heard("the head keeps its weights but for new classes: circle, square, triangle") {
		t.Errorf("lines %q", q.lines)
	}
}

// TestTeacherCached: from cached features, where the teacher begins, too, losses are those of
// the run through all layers, to rounding.
func TestTeacherCached(t *testing.T) {
	o := taughtRun(t)
	want, got := &quiet{t: t}, &quiet{t: t}
	mustRun(t, o, want)
	o.CacheFeatures, o.FeatureType = o.Epochs, "fp32"
	mustRun(t, o, got)
	for i, row := range got.rows {
		for k, loss := range row.Train {
			if w := want.rows[i].Train[k]; !(math.Abs(loss-w) <= 1e-4*w) {
				t.Errorf("epoch %d: loss %d is %g, %g without the cache", i, k, loss, w)
			}
		}
	}
	if !got.heard("feature cache: outputs of layers [1]") {
		t.Errorf("no cache: %q", got.lines)
	}
}

// TestTeacherResumed: an interrupted run goes on to the same bytes, also where the teacher lies
// elsewhere now, and with no other teacher.
func TestTeacherResumed(t *testing.T) {
	o := taughtRun(t)
	elsewhere := filepath.Join(t.TempDir(), "moved.safetensors")
	dir, straight := mustRun(t, o, &quiet{t: t}).RunDir, map[string][]byte{}
	for _, name := range lasting {
		straight[name] = fixture.MustRead(t, filepath.Join(dir, name))
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	if _, err := Run(ctx, o, &quiet{t: t, onBatch: func(n int) {
		if n == 4 {
			cancel(stopped)
		}
	}}); !errors.Is(err, stopped) {
		t.Fatal(err)
	}
	fails := func(o options.Options, want string) {
		t.Helper()
		if _, err := Run(t.Context(), o, &quiet{t: t}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	without := resumed(t, dir)
	without.Teacher = ""
	fails(without, "the resumed run has a teacher, small.safetensors: it cannot go on without")
	other := fixture.SmallModel(t)
	other.State["model.0.conv.weight"].Raw[0]++
	if err := errors.Join(os.Rename(o.Teacher, elsewhere), model.Save(o.Teacher, other)); err != nil {
		t.Fatal(err)
	}
	fails(resumed(t, dir), "not the teacher that the run was started with, small.safetensors of SHA-256 ")
	if err := os.WriteFile(o.Teacher, []byte("no weights at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(resumed(t, dir), "not the teacher that the run was started with") // nothing in it was read
	again := resumed(t, dir)
	again.Teacher = elsewhere
	mustRun(t, again, &quiet{t: t})
	if err := os.Rename(elsewhere, o.Teacher); err != nil {
		t.Fatal(err)
	}
	for _, name := range lasting { // the checkpoint names the teacher's place
		if got := fixture.MustRead(t, filepath.Join(dir, name)); name != "weights/last.safetensors" && !bytes.Equal(got, straight[name]) {
			t.Errorf("%s differs from the straight run's", name)
		}
	}
	plain := smallRun(t)
	plain.Epochs = 1
	report := mustRun(t, plain, &quiet{t: t})
	if err := os.Remove(filepath.Join(report.RunDir, "summary.json")); err != nil {
		t.Fatal(err)
	}
	added := resumed(t, report.RunDir)
	added.Teacher = plain.Weights
	fails(added, "the resumed run has none")
}

func TestTeacherRefused(t *testing.T) {
	o := taughtRun(t)
	for want, change := range map[string]func(o *options.Options){
		"teacher-weight 0: want more than 0": func(o *options.Options) { o.TeacherWeight = 0 },
		"teacher-weight NaN":                 func(o *options.Options) { o.TeacherWeight = math.NaN() },
		"are not those of a teacher":         func(o *options.Options) { o.AutoAnchor = true },
		"are not those of a teacher, whose":  func(o *options.Options) { o.Hyp.Anchors = 3 },
		"single-cls makes one class of all":  func(o *options.Options) { o.SingleCls = true },
		"the teacher has no class that the data lack: square, circle": func(o *options.Options) {
			m := fixture.SmallModel(t)
			m.Names = []string{"square", "circle"}
			o.Teacher = filepath.Join(filepath.Dir(o.Weights), "labelled.safetensors")
			if err := model.Save(o.Teacher, m); err != nil {
				t.Fatal(err)
			}
		},
		"absent.pt": func(o *options.Options) { o.Teacher = filepath.Join(filepath.Dir(o.Weights), "absent.pt") },
		"no teacher for": func(o *options.Options) {
			m := fixture.SmallModel(t)
			m.Net.SetAnchors([][][2]float64{{{10, 13}, {16, 40}}})
			o.Teacher = filepath.Join(filepath.Dir(o.Weights), "anchors.safetensors")
			if err := model.Save(o.Teacher, m); err != nil {
				t.Fatal(err)
			}
		},
		"`cache-features` with a teacher keeps what first layers put out for both": func(o *options.Options) {
			m := fixture.SmallModel(t)
			m.State["model.0.conv.weight"].Raw[0]++
			o.Teacher, o.CacheFeatures = filepath.Join(filepath.Dir(o.Weights), "other.safetensors"), 1
			if err := model.Save(o.Teacher, m); err != nil {
				t.Fatal(err)
			}
		},
	} {
		o := o
		change(&o)
		_, err := Run(t.Context(), o, &quiet{t: t})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if disk.Exists(o.Project) {
			t.Fatalf("%s: a folder was made", want)
		}
	}
}

// TestTeacherNotWrittenOver: a run does not put its files where its teacher lies.
func TestTeacherNotWrittenOver(t *testing.T) {
	o := taughtRun(t)
	dir := filepath.Join(o.Project, o.Name, "weights")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Rename(o.Weights, filepath.Join(dir, checkpoint.LastFile))); err != nil {
		t.Fatal(err)
	}
	if err := model.Save(o.Weights, fixture.SmallModel(t)); err != nil {
		t.Fatal(err)
	}
	o.Teacher, o.ExistOK = filepath.Join(dir, checkpoint.LastFile), true
	before := fixture.MustRead(t, o.Teacher)
	if _, err := Run(t.Context(), o, &quiet{t: t}); err == nil {
		t.Error("the run wrote into the folder of its teacher")
	}
	if !bytes.Equal(fixture.MustRead(t, o.Teacher), before) {
		t.Error("the teacher was written over")
	}
}
