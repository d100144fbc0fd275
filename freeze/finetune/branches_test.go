package finetune

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/dataset/synth"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/options"
)

// keepingRun trains the shapes of smallRun beside the small model's own classes.
func keepingRun(t *testing.T) options.Options {
	o := smallRun(t)
	o.KeepClasses, o.Freeze = true, []string{"2"}
	return o
}

func mustLoad(t *testing.T, path string) *model.Model {
	t.Helper()
	m, err := model.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sameWeights holds two networks' tensors against each other, to the bit.
func sameWeights(t *testing.T, got, want *model.Model) {
	t.Helper()
	if !slices.Equal(got.Names, want.Names) || len(got.State) != len(want.State) {
		t.Errorf("classes %q and %d tensors, want %q and %d", got.Names, len(got.State), want.Names, len(want.State))
	}
	for name, w := range want.State {
		if g := got.State[name]; g == nil || !bytes.Equal(g.Raw, w.Raw) {
			t.Errorf("tensor %s has changed", name)
		}
	}
}

// TestKeepClasses: a run with keep-classes leaves the old branch as it was, to the bit,
// beside the one that has trained; another run adds a third, and one without the option
// goes on with the newest.
func TestKeepClasses(t *testing.T) {
	o := keepingRun(t)
	old := mustLoad(t, o.Weights)
	q := &quiet{t: t}
	first := mustRun(t, o, q)
	if !q.heard("keeping 2 classes: the first 2 layers are shared") {
		t.Errorf("heard %q", q.lines)
	}
	joined := mustLoad(t, first.Best)
	kept, own, shared, err := joined.Split()
	if err != nil || kept == nil || shared != 2 {
		t.Fatalf("%v behind %d layers: %v", kept, shared, err)
	}
	sameWeights(t, kept, old)
	if before := old.State["model.3.conv.weight"]; bytes.Equal(own.State["model.3.conv.weight"].Raw, before.Raw) {
		t.Error("the new branch did not train")
	}
	if got := joined.Metadata[model.FrozenKey]; got != "model.0,model.1,model.2,model.3,model.4" {
		t.Errorf("frozen: %s", got)
	}

	// a third set of classes
	o.Data = filepath.Join(t.TempDir(), "others")
	if err := synth.Write(o.Data, synth.Options{Counts: map[string]int{"train": 4, "val": 2}, Size: 64, Shapes: []string{"ring", "heart"}}); err != nil {
		t.Fatal(err)
	}
	renamed := filepath.Join(o.Data, "data.yaml")
	text := strings.NewReplacer("ring", "ring of gold", "heart", "heart of gold").Replace(string(fixture.MustRead(t, renamed)))
	if err := os.WriteFile(renamed, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Data, o.Weights, o.Freeze, o.Epochs = renamed, first.Best, []string{"4"}, 1
	second := mustRun(t, o, &quiet{t: t})
	three := mustLoad(t, second.Best)
	kept, own, shared, err = three.Split()
	if err != nil || shared != 4 || len(three.Net.Branches) != 3 || !slices.Equal(own.Names, []string{"ring of gold", "heart of gold"}) {
		t.Fatalf("classes %q, %d layers shared: %v", three.Names, shared, err)
	}
	sameWeights(t, kept, joined)

	// and on with it, in a run of its own
	o.KeepClasses, o.Freeze, o.Weights = false, nil, second.Best
	q = &quiet{t: t}
	on := mustLoad(t, mustRun(t, o, q).Best)
	if !q.heard("freezing model.3.bn.bias") || len(on.Net.Branches) != 3 {
		t.Errorf("%d branches, heard %q", len(on.Net.Branches), q.lines)
	}
	kept, _, _, err = on.Split()
	if err != nil {
		t.Fatal(err)
	}
	sameWeights(t, kept, joined)
}

// TestKeepClassesResume: interrupted anywhere, such a run ends in the bytes of one that was not.
func TestKeepClassesResume(t *testing.T) {
	o := keepingRun(t)
	straight := map[string][]byte{}
	dir := mustRun(t, o, &quiet{t: t}).RunDir
	for _, name := range lasting {
		straight[name] = fixture.MustRead(t, filepath.Join(dir, name))
	}
	for _, stop := range []int{1, 4, 7} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		stopped := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		q := &quiet{t: t, onBatch: func(n int) {
			if n == stop {
				cancel(stopped)
			}
		}}
		if _, err := Run(ctx, o, q); !errors.Is(err, stopped) {
			t.Fatal(err)
		}
		mustRun(t, resumed(t, dir), &quiet{t: t})
		sameFiles(t, straight, dir)
	}
}

func TestKeepClassesRefuses(t *testing.T) {
	o := keepingRun(t)
	first := o
	first.Epochs = 1
	best := mustRun(t, first, &quiet{t: t}).Best
	for want, change := range map[string]func(o *options.Options){
		"`keep-classes` shares frozen first layers, but model.0.conv.weight trains":   func(o *options.Options) { o.Freeze = nil },
		"`keep-classes` shares frozen first layers, but the statistics of model.0.bn": func(o *options.Options) { o.BN = []string{"batch"} },
		"it knows a class circle already: new ones need names of their own":           func(o *options.Options) { o.Weights = best },
		"its branches share the first 2 layers, but model.1.cv1.conv.weight trains":   func(o *options.Options) { o.Weights, o.KeepClasses, o.Freeze = best, false, []string{"1"} },
		"`keep-classes` shares frozen first layers, but model.0.conv.weight trains: ": func(o *options.Options) { o.Unfreeze = []string{"1:0"} },
	} {
		bad := o
		change(&bad)
		if _, err := Run(t.Context(), bad, &quiet{t: t}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
