package finetune

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"yolofreeze/dataset"
	"yolofreeze/dataset/picture"
	"yolofreeze/freeze"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/machine"
)

// features is the cache of what frozen first layers make of augmented
// pictures. They give the same output for the same picture all through
// training, so each view of a picture runs through them once.
type features struct {
	cut    step.Cut
	layout featureLayout
	store  *featureStore
	loader *featureLoader
	// validation says that there is room for the validation split's, too: a file
	// that a process makes for itself.
	validation bool
}

// planFeatures finds the cut of the run's first stage, says what its cache takes, and refuses
// what does not fit.
func (t *training) planFeatures() error {
	if t.o.CacheFeatures == 0 {
		return nil
	}
	plan := t.stages[0].Plan
	cut := step.Cut{Layers: step.CutOf(plan), DType: t.o.Features}
	if cut.Layers == 0 {
		return &disk.InputError{Path: t.o.Weights, Err: fmt.Errorf("`cache-features` keeps what frozen first layers put out, but %s: freeze layers from the first one on, with fixed statistics, such as `freeze 10` `bn eval`", plan.Moves(plan.FixedPrefix()))}
	}
	shapes, err := cut.Shapes(t.model.Net, 1, t.side, t.side)
	if err != nil {
		return err
	}
	l := featureLayout{Layers: t.model.Net.Cut(cut.Layers), Views: min(t.o.CacheFeatures, max(t.o.Epochs, 1)), Images: len(t.set.Splits["train"]), Classes: t.model.Net.NC}
	for _, layer := range l.Layers {
		l.Bytes = append(l.Bytes, onnx.NumElements(shapes[layer])*int64(cut.DType.Size()))
	}
	t.features = &features{cut: cut, layout: l}
	t.r.Logf("feature cache: outputs of layers %v in %s, %d views of %d pictures of %d bytes: %s",
		l.Layers, t.o.FeatureType, l.Views, l.Images, l.record(), sizeText(l.total()))
	if err := disk.Private(featureFolder()); err != nil {
		return fmt.Errorf("feature cache: %w", err)
	}
	budget, what := t.featureBudget()
	if err := t.checkFeatureBudget(budget, what); err != nil {
		return err
	}
	if t.o.NoVal { // but for one time
		return nil
	}
	// Validation pads pictures by half a stride.
	padded := t.side + int(t.model.Net.MaxStride())
	if shapes, err = cut.Shapes(t.model.Net, len(t.set.Splits["val"]), padded, padded); err != nil {
		return err
	}
	var most int64
	for _, shape := range shapes {
		most += onnx.NumElements(shape) * int64(cut.DType.Size())
	}
	t.features.validation = budget < 0 || l.total()+most <= budget
	if t.features.validation {
		t.r.Logf("validation keeps the same layers' outputs while the run lasts: at most %s", sizeText(most))
	} else {
		t.r.Logf("validation runs through all layers: to keep the same outputs there is no room for another %s", sizeText(most))
	}
	return nil
}

// sizeText writes a size in the units of option feature-budget.
func sizeText(n int64) string {
	if n < 1e9 {
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// cutFor is the cut of a stage: the cache's, as long as all layers before it stay frozen.
func (t *training) cutFor(s freeze.Stage) step.Cut {
	if t.features == nil || step.CutOf(s.Plan) < t.features.cut.Layers {
		return step.Cut{}
	}
	return t.features.cut
}

// holdFeatures lets validation begin where training does.
func (t *training) holdFeatures() {
	if t.features == nil || !t.features.validation {
		return
	}
	err := t.validator.Lost()
	if err == nil {
		err = t.validator.HoldFeatures(t.cut(), featureFolder())
	}
	if err != nil {
		t.features.validation = false
		t.validator.Close()
		t.r.Warnf("%v; validation runs through all layers", err)
	}
}

// cut is that of the stage under way.
func (t *training) cut() step.Cut { return t.cutFor(t.stage) }

// featureFolder holds the caches of all runs.
func featureFolder() string {
	if dir := dataset.DefaultCacheDir(); dir != "" {
		return filepath.Join(filepath.Dir(dir), "features")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("yolofreeze-features-%d", os.Getuid()))
}

// checkFeatureBudget refuses a cache that would not fit beside nothing else. The others make room.
func (t *training) checkFeatureBudget(budget int64, what string) error {
	need := t.features.layout.total()
	if budget < 0 || need <= budget {
		return nil
	}
	perView := need / int64(t.features.layout.Views)
	hint := "not even one view fits"
	if fit := budget / perView; fit > 0 {
		hint = fmt.Sprintf("`cache-features=%d` fits", fit)
	}
	if t.o.FeatureType == "fp32" {
		hint += ", `feature-type fp16` halves it"
	}
	return &disk.InputError{Path: featureFolder(), Err: fmt.Errorf("the feature cache takes %s, %s is %s; %s", sizeText(need), what, sizeText(budget), hint)}
}

// featureBudget is what all caches together may take; under 0 when nobody knows.
func (t *training) featureBudget() (budget int64, what string) {
	if t.o.FeatureBudget > 0 {
		return int64(t.o.FeatureBudget * 1e9), "the budget (`feature-budget`)"
	}
	dir := featureFolder()
	for !disk.IsFolder(dir) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	free, known := machine.FreeDisk(dir)
	if !known {
		return -1, ""
	}
	for _, c := range featureCaches() {
		free += c.bytes
	}
	return free / 10 * 9, "the budget (nine tenths of the free disk)"
}

// cached is a finished cache on the disk.
type cached struct {
	dir   string
	bytes int64
	used  time.Time
}

// featureCaches lists the finished caches, the one used longest ago first.
func featureCaches() []cached {
	var list []cached
	for _, index := range disk.Glob(featureFolder(), filepath.Join("*", featureIndex)) {
		dir := filepath.Dir(index)
		info, err := os.Stat(index)
		data, err2 := os.Stat(filepath.Join(dir, featureData))
		if err == nil && err2 == nil {
			list = append(list, cached{dir, data.Size(), info.ModTime()})
		}
	}
	slices.SortFunc(list, func(a, b cached) int { return a.used.Compare(b.used) })
	return list
}

// makeRoom removes caches until another one fits into the budget.
func (t *training) makeRoom(need int64) {
	budget, _ := t.featureBudget()
	caches := featureCaches()
	need += sweepFeatures()
	for _, c := range caches {
		need += c.bytes
	}
	for _, c := range caches {
		if budget < 0 || need <= budget {
			return
		}
		t.r.Logf("feature cache: removing %s, %s, last used %s", c.dir, sizeText(c.bytes), c.used.Format(time.DateTime))
		if os.RemoveAll(c.dir) == nil {
			need -= c.bytes
		}
	}
}

// openFeatures finds the cache, or makes it.
func (t *training) openFeatures(ctx context.Context) error {
	start := time.Now()
	defer func() { t.clock.features += time.Since(start) }()
	f := t.features
	key, err := t.featureKey(ctx)
	if err != nil {
		return err
	}
	dir := filepath.Join(featureFolder(), key)
	f.store, err = openFeatures(dir, f.layout)
	if err == nil {
		err = f.store.verify(ctx)
	}
	var damaged *damagedError
	if errors.As(err, &damaged) {
		t.r.Warnf("feature cache: %v; it is made again", err)
		f.store.close()
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove the damaged feature cache: %w", err)
		}
		err = fs.ErrNotExist
	}
	switch {
	case err == nil:
		t.r.Logf("feature cache: using %s", dir)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	default:
		t.makeRoom(f.layout.total())
		t.r.Logf("feature cache: making %s", dir)
		if err := t.makeFeatures(ctx, dir); err != nil {
			return err
		}
		if f.store, err = openFeatures(dir, f.layout); err != nil {
			return err
		}
	}
	f.loader = newFeatureLoader(f.store, t.loader, t.side, t.match)
	return nil
}

// featureKey names a cache by all that its content depends on: the frozen layers and their
// tensors, the pictures and their objects, how these are drawn and stored.
func (t *training) featureKey(ctx context.Context) (string, error) {
	h := sha256.New()
	f := t.features
	net := t.model.Net
	fmt.Fprintf(h, "3 %+v %+v side %d seed %d hyp %+v bad %s\n", f.cut, f.layout, t.side, t.o.Seed, t.o.Hyp.Augmentation(), t.o.BadImages)
	fmt.Fprintf(h, "%v %q %v %v\n", net.Folded, net.Act, net.Acts, net.Layers[:f.cut.Layers])
	params, err := net.Params()
	if err != nil {
		return "", err
	}
	for _, p := range params {
		if freeze.Layer(p.Name) < f.cut.Layers {
			fmt.Fprintf(h, "%s %v ", p.Name, p.Shape)
			h.Write(t.model.State[p.Name].Raw)
		}
	}
	for _, s := range t.set.Splits["train"] {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if err := addContent(h, s.Path); err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%v\n", s.Labels)
	}
	return hex.EncodeToString(h.Sum(nil))[:32], nil
}

// addContent adds a file's content; one that cannot be read counts as empty, as in training.
func addContent(h hash.Hash, path string) error {
	f, _, err := picture.Open(path, math.MaxInt64)
	if err != nil {
		fmt.Fprint(h, "absent ")
		return nil
	}
	defer f.Close()
	own := sha256.New()
	if _, err := io.Copy(own, f); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	h.Write(own.Sum(nil))
	return nil
}
