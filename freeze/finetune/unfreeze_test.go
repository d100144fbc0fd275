package finetune

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/options"
)

// epochHook is a quiet Reporter that acts when an epoch has been saved.
type epochHook struct {
	quiet
	onEpoch func(epoch int)
}

func (h *epochHook) Epoch(e EpochResult) {
	h.quiet.Epoch(e)
	if h.onEpoch != nil {
		h.onEpoch(e.Row.Epoch)
	}
}

// TestUnfreeze thaws the backbone after an epoch.
func TestUnfreeze(t *testing.T) {
	o := smallRun(t)
	o.Freeze, o.Unfreeze = []string{"3"}, []string{"1:all"}
	q := &quiet{t: t}
	report := mustRun(t, o, q)
	file := string(fixture.MustRead(t, filepath.Join(report.RunDir, "freeze.yaml")))
	if !strings.HasPrefix(file, "# What was frozen, tensor by tensor, and why.\n# frozen 24 of 29") || !strings.HasSuffix(file, "\n# What trains later: unfreeze 1:all\n") {
		t.Errorf("freeze.yaml is not of the run's start:\n%s", file)
	}
	if report.Frozen.Tensors != 0 || !q.heard("from epoch 1: frozen 0") {
		t.Errorf("report %+v, lines %q", report, q.lines)
	}
}

// scheduled is a run that thaws twice, and whose layers learn at rates of their own.
func scheduled(t *testing.T, optimizer string) options.Options {
	o := smallRun(t)
	o.Epochs, o.Optimizer, o.Hyp.WarmupEpochs = 4, optimizer, 0
	o.Freeze, o.Unfreeze = []string{"3"}, []string{"1:2,3:all"}
	o.LRScale, o.LRDecay = []string{"backbone=0.5"}, 0.9
	return o
}

// TestUnfreezeResumed ends a scheduled run at every epoch's end, in three ways,
// and goes on to the bytes of the run that nothing has ended.
func TestUnfreezeResumed(t *testing.T) {
	const batches = 3 // of an epoch
	for _, optimizer := range []string{"SGD", "Adam"} {
		o := scheduled(t, optimizer)
		dir, straight := filepath.Join(o.Project, o.Name), map[string][]byte{}
		killed := t.TempDir() // the folder as a process killed after that epoch leaves it
		saved := &epochHook{quiet: quiet{t: t}}
		saved.onEpoch = func(epoch int) {
			if err := os.CopyFS(filepath.Join(killed, fmt.Sprint(epoch)), os.DirFS(dir)); err != nil {
				t.Error(err)
			}
		}
		mustRun(t, o, saved)
		for _, name := range lasting {
			straight[name] = fixture.MustRead(t, filepath.Join(dir, name))
		}
		goOn := func(t *testing.T) {
			t.Helper()
			mustRun(t, resumed(t, dir), &quiet{t: t})
			sameFiles(t, straight, dir)
		}
		for epoch := range o.Epochs {
			t.Run(fmt.Sprintf("%s killed after epoch %d", optimizer, epoch), func(t *testing.T) {
				if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(filepath.Join(killed, fmt.Sprint(epoch))))); err != nil {
					t.Fatal(err)
				}
				goOn(t)
			})
			if optimizer != "SGD" { // what it adds is state, not ways to end
				continue
			}
			for where, batch := range map[string]int{"last batch": (epoch + 1) * batches, "first batch": epoch*batches + 1} {
				t.Run(fmt.Sprintf("%s interrupted in the %s of epoch %d", optimizer, where, epoch), func(t *testing.T) {
					if err := os.RemoveAll(dir); err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithCancel(t.Context())
					q := &quiet{t: t, onBatch: func(n int) {
						if n == batch {
							cancel()
						}
					}}
					if _, err := Run(ctx, o, q); !errors.Is(err, context.Canceled) {
						t.Fatalf("interrupted run returned %v", err)
					}
					goOn(t)
				})
			}
		}
	}
}
