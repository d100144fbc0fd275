package finetune

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/freeze/checkpoint"
	"yolofreeze/freeze/features"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/options"
	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/safetensors"
)

// stoppedRun is a run that was interrupted after so many batches.
func stoppedRun(t *testing.T, o options.Options, batches int) (dir string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Run(ctx, o, &quiet{t: t, onBatch: func(n int) {
		if n == batches {
			cancel()
		}
	}}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return filepath.Join(o.Project, o.Name)
}

func resumed(t *testing.T, dir string) options.Options {
	t.Helper()
	s, err := checkpoint.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := s.Resumed()
	o.ResumeFrom = dir
	return o
}

// TestResumeOtherPlan: another freeze list needs force, and then all files say what was
// frozen until when.
func TestResumeOtherPlan(t *testing.T) {
	dir := stoppedRun(t, smallRun(t), 4)
	before := string(fixture.MustRead(t, filepath.Join(dir, "freeze.yaml")))
	o := resumed(t, dir)
	o.Freeze = []string{"3"}
	if _, err := Run(t.Context(), o, &quiet{t: t}); err == nil || !strings.Contains(err.Error(), "freeze was [1], is [3]") {
		t.Errorf("without force: %v", err)
	}
	if now := string(fixture.MustRead(t, filepath.Join(dir, "freeze.yaml"))); now != before {
		t.Errorf("freeze.yaml was rewritten:\n%s", now)
	}
	o.Force = true
	q := &quiet{t: t}
	report := mustRun(t, o, q)
	now := string(fixture.MustRead(t, filepath.Join(dir, "freeze.yaml")))
	if until := string(fixture.MustRead(t, filepath.Join(dir, "freeze-until-epoch1-batch1.yaml"))); until != before || now == before || !strings.HasPrefix(now, "# The plan was changed") {
		t.Errorf("freeze.yaml:\n%suntil then:\n%s", now, until)
	}
	lines := []string{"epoch 0: freeze 1 (frozen 3 of", "epoch 1, batch 1: freeze 3 (frozen"}
	files := now + string(fixture.MustRead(t, filepath.Join(dir, "opt.yaml"))) + string(fixture.MustRead(t, filepath.Join(dir, runs.SummaryFile)))
	for i, line := range lines {
		if strings.Count(files, line) != 3 || !strings.HasPrefix(report.Plans[i], line) {
			t.Errorf("%q stands %d times in freeze.yaml, opt.yaml and %s; report %q", line, strings.Count(files, line), runs.SummaryFile, report.Plans)
		}
	}
	if last, err := model.Load(report.Last); err != nil || last.Metadata[model.PlansKey] == "" || !q.heard("warning: the run freezes something else") {
		t.Errorf("metadata %v, %v; heard %q", last.Metadata, err, q.lines)
	}
}

// TestResumeLeavesAside: a resumed run keeps its weights and its place, with a word.
func TestResumeLeavesAside(t *testing.T) {
	first := smallRun(t)
	dir := stoppedRun(t, first, 4)
	o := resumed(t, dir)
	o.Weights, o.Name, o.Project = "other.pt", "foo", "elsewhere"
	q := &quiet{t: t}
	report := mustRun(t, o, q)
	opt := string(fixture.MustRead(t, filepath.Join(dir, "opt.yaml")))
	if report.RunDir != dir || !strings.Contains(opt, "weights: "+first.Weights) || !strings.Contains(opt, "name: exp\n") {
		t.Errorf("in %s, with\n%s", report.RunDir, opt)
	}
	for _, want := range []string{"`weights other.pt` is left aside", "`name foo` is left aside", "`project elsewhere` is left aside"} {
		if !q.heard(want) {
			t.Errorf("nothing says %q", want)
		}
	}
}

// TestResumeMoved: run and data are found where they were moved together, and data
// that lie elsewhere are taken where they are the same.
func TestResumeMoved(t *testing.T) {
	o := smallRun(t)
	root := filepath.Dir(o.Data)
	t.Chdir(filepath.Dir(root))
	o.Data, o.Project = filepath.Join("shapes", "data.yaml"), "runs"
	stoppedRun(t, o, 4)
	there := filepath.Join(t.TempDir(), "there")
	if err := os.CopyFS(there, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	old := t.TempDir()
	if err := os.Rename("shapes", filepath.Join(old, "shapes")); err != nil {
		t.Fatal(err)
	}
	moved := resumed(t, filepath.Join(there, "runs", "exp"))
	if want := filepath.Join(there, "shapes", "data.yaml"); moved.Data != want {
		t.Errorf("data are sought at %s, want %s", moved.Data, want)
	}
	mustRun(t, moved, &quiet{t: t})

	t.Chdir(t.TempDir())
	here := resumed(t, filepath.Join(filepath.Dir(root), "runs", "exp"))
	if _, err := Run(t.Context(), here, &quiet{t: t}); err == nil || !strings.Contains(err.Error(), root) {
		t.Errorf("data that are gone: %v", err)
	}
	here.Data = filepath.Join(old, "shapes", "data.yaml")
	mustRun(t, here, &quiet{t: t})
}

// TestResumeAtEnd: a run that was killed after its last epoch is completed, one with a
// summary is not begun again.
func TestResumeAtEnd(t *testing.T) {
	dir := mustRun(t, smallRun(t), &quiet{t: t}).RunDir
	straight := map[string][]byte{}
	for _, name := range lasting {
		straight[name] = fixture.MustRead(t, filepath.Join(dir, name))
	}
	if _, err := Run(t.Context(), resumed(t, dir), &quiet{t: t}); err == nil || !strings.Contains(err.Error(), "has finished: 3 of 3") {
		t.Errorf("with its summary: %v", err)
	}
	for _, gone := range [][]string{{runs.SummaryFile}, {runs.SummaryFile, "weights/best.onnx"}} {
		for _, name := range gone {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		mustRun(t, resumed(t, dir), &quiet{t: t})
		sameFiles(t, straight, dir)
		if !disk.IsFile(filepath.Join(dir, runs.SummaryFile)) {
			t.Errorf("without %q: no summary", gone)
		}
	}
}

// TestDamagedCheckpoint: a flipped bit anywhere is found, a number that no run can come
// to refused, and the checkpoint before it used, to the same end.
func TestDamagedCheckpoint(t *testing.T) {
	o := smallRun(t)
	dir := mustRun(t, o, &quiet{t: t}).RunDir
	straight := map[string][]byte{}
	for _, name := range lasting {
		straight[name] = fixture.MustRead(t, filepath.Join(dir, name))
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	stoppedRun(t, o, 7) // in the third epoch
	last := filepath.Join(dir, "weights", checkpoint.LastFile)
	before := filepath.Join(dir, "weights", checkpoint.BeforeFile)
	whole, previous := fixture.MustRead(t, last), fixture.MustRead(t, before)
	write := func(path string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(before); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < 40; i++ {
		data := append([]byte{}, whole...)
		data[i*len(data)/40] ^= 1 << (i % 8)
		write(last, data)
		if _, err := checkpoint.Read(dir); err == nil || !strings.Contains(err.Error(), last) {
			t.Errorf("bit %d of byte %d: %v", i%8, i*len(data)/40, err)
		}
	}
	for _, wrong := range []string{`"epoch":-5`, `"epoch":1e99`, `"epoch":99999999999`} {
		f, err := safetensors.Decode(append([]byte{}, whole...))
		if err != nil {
			t.Fatal(err)
		}
		f.Metadata["yolofreeze.state"] = strings.Replace(f.Metadata["yolofreeze.state"], `"epoch":2`, wrong, 1)
		f.Metadata[features.SumKey] = safetensors.Sum(f, features.SumKey)
		data, err := safetensors.Encode(f)
		if err != nil {
			t.Fatal(err)
		}
		write(last, data)
		if _, err := checkpoint.Read(dir); err == nil || !strings.Contains(err.Error(), last) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	write(before, previous)
	q := &quiet{t: t}
	mustRun(t, resumed(t, dir), q)
	if !q.heard("warning: "+last) || !q.heard("going on from the state saved before it, epoch 2, batch 0") {
		t.Errorf("heard %q", q.lines)
	}
	sameFiles(t, straight, dir)
}

// TestNotARun: what people resume by mistake is named.
func TestNotARun(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"last.pt": "PK\x03\x04", "renamed.safetensors": "PK\x03\x04", "best.onnx": "\x08\x08", "exp/weights/last.pt": "PK\x03\x04"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(data), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"last.pt": "runs of YOLOv5 cannot be resumed", "renamed.safetensors": "PyTorch checkpoint",
		"best.onnx": "exported model", "exp": "a run of YOLOv5"} {
		_, err := checkpoint.Read(filepath.Join(dir, name))
		var hinted interface{ Hint() string }
		if err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), "`weights ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
