package finetune

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/freeze/checkpoint"
	"yolofreeze/freeze/fixture"
)

// lasting are the files that must be the same however a run came to its end.
var lasting = []string{"results.csv", "per_class.csv", "weights/last.safetensors", "weights/best.safetensors", "weights/best.onnx", "freeze.yaml"}

func sameFiles(t *testing.T, straight map[string][]byte, dir string) {
	t.Helper()
	for name, want := range straight {
		if got := fixture.MustRead(t, filepath.Join(dir, name)); !bytes.Equal(got, want) {
			t.Errorf("%s differs from the straight run's", name)
			if strings.HasSuffix(name, ".csv") {
				t.Logf("got\n%swant\n%s", got, want)
			}
		}
	}
}

// TestResume interrupts a run at each of its batches, in validations and between epochs, goes
// on, and must end in the bytes of a run that nothing has interrupted.
func TestResume(t *testing.T) {
	o := smallRun(t)
	o.BatchSize, o.Hyp.WarmupEpochs = 4, 0
	o.ImageWeights = true
	straight := map[string][]byte{}
	dir := mustRun(t, o, &quiet{t: t}).RunDir
	for _, name := range lasting {
		straight[name] = fixture.MustRead(t, filepath.Join(dir, name))
	}
	stopped := errors.New("stopped")
	type stop struct{ batch, val, epoch int } // the epoch after which, or -1
	stops := []stop{{0, 1, -1}, {0, 3, -1}, {0, 0, 0}, {0, 0, 1}}
	for n := 1; n <= 9; n++ {
		stops = append(stops, stop{n, 0, -1})
	}
	for _, s := range stops {
		t.Run(fmt.Sprintf("batch%d,validation%d,epoch%d", s.batch, s.val, s.epoch), func(t *testing.T) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			vals := 0
			q := &quiet{t: t, onBatch: func(n int) {
				if n == s.batch {
					cancel(stopped)
				}
			}, onVal: func(int) {
				if vals++; vals == s.val {
					cancel(stopped)
				}
			}, onEpoch: func(e int) {
				if e == s.epoch {
					cancel(stopped)
				}
			}}
			if _, err := Run(ctx, o, q); !errors.Is(err, stopped) {
				t.Fatalf("interrupted run returned %v", err)
			}
			if report := mustRun(t, resumed(t, dir), &quiet{t: t}); report.RunDir != dir {
				t.Errorf("went on in %s", report.RunDir)
			}
			sameFiles(t, straight, dir)
		})
	}
}

// TestResumeAfterKill goes on from the folder as a killed process leaves it.
func TestResumeAfterKill(t *testing.T) {
	o := smallRun(t)
	copied := filepath.Join(t.TempDir(), "killed")
	q := &quiet{t: t}
	dir := filepath.Join(o.Project, o.Name)
	q.onBatch = func(n int) {
		if n == 5 { // in the second epoch
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Error(err)
			}
		}
	}
	mustRun(t, o, q)
	straight := map[string][]byte{}
	for _, name := range lasting {
		straight[name] = fixture.MustRead(t, filepath.Join(dir, name))
	}
	// the next epoch's row was written, its checkpoint only half
	row, half := fixture.MustRead(t, filepath.Join(dir, "results.csv")), filepath.Join(copied, "weights", ".last.safetensors5577006791947779410")
	if err := errors.Join(os.WriteFile(filepath.Join(copied, "results.csv"), row[:len(row)-9], 0o666), os.WriteFile(half, row, 0o666),
		os.RemoveAll(dir), os.Rename(copied, dir)); err != nil {
		t.Fatal(err)
	}
	state, err := checkpoint.Read(filepath.Join(dir, "weights", "last.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	again := state.Resumed()
	if _, err := Resume(t.Context(), nil, state, again, &quiet{t: t}); err != nil {
		t.Fatal(err)
	}
	again.ResumeFrom = dir
	sameFiles(t, straight, dir)
	if _, err := os.Stat(filepath.Join(dir, "weights", ".last.safetensors5577006791947779410")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a checkpoint is left: %v", err)
	}
	if _, err := Run(t.Context(), again, &quiet{t: t}); err == nil || !strings.Contains(err.Error(), "has finished: 3 of 3") {
		t.Errorf("resuming a finished run: %v", err)
	}
}

func TestResumeRefusesOtherOptions(t *testing.T) {
	o := smallRun(t)
	ctx, cancel := context.WithCancel(t.Context())
	q := &quiet{t: t, onBatch: func(n int) {
		if n == 4 {
			cancel()
		}
	}}
	if _, err := Run(ctx, o, q); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	dir := filepath.Join(o.Project, o.Name)
	again := resumed(t, dir)
	again.Epochs, again.Hyp.LR0, again.Workers = 4, 0.5, 1
	_, err := Run(t.Context(), again, q)
	if want := "epochs was 3, is 4; hyp.lr0 was 0.01, is 0.5"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %v, want one that ends in %q", err, want)
	}
	again.Force, again.Freeze = true, []string{"3"}
	if report := mustRun(t, again, q); report.Epochs != 4 || report.Frozen.Tensors <= 3 {
		t.Errorf("forced: %+v", report)
	}
	if _, err := checkpoint.Read(filepath.Join(dir, "weights", "best.safetensors")); err == nil || !strings.Contains(err.Error(), "weights only") {
		t.Errorf("resuming from weights: %v", err)
	}
}

// TestPicturesAway: a folder that is away for a while stops the run with its state
// saved, and it goes on to the same bytes; nothing is measured on fewer pictures.
func TestPicturesAway(t *testing.T) {
	o := smallRun(t)
	o.Freeze, o.Cache = nil, "none" // or pictures or features of theirs would be kept
	dir := mustRun(t, o, &quiet{t: t}).RunDir
	straight := map[string][]byte{}
	for _, name := range lasting {
		straight[name] = fixture.MustRead(t, filepath.Join(dir, name))
	}
	for _, split := range []string{"train", "val"} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		pictures := filepath.Join(filepath.Dir(o.Data), "images", split)
		away := pictures + " away"
		_, err := Run(t.Context(), o, &quiet{t: t, onEpoch: func(e int) {
			if e == 0 {
				if err := os.Rename(pictures, away); err != nil {
					t.Error(err)
				}
			}
		}})
		if err == nil || !strings.Contains(err.Error(), pictures) {
			t.Fatalf("%s away: %v", split, err)
		}
		if err := os.Rename(away, pictures); err != nil {
			t.Fatal(err)
		}
		mustRun(t, resumed(t, dir), &quiet{t: t})
		sameFiles(t, straight, dir)
	}
}
