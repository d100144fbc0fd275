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
	"time"

	"yolofreeze/dataset/picture"
	"yolofreeze/freeze"
	"yolofreeze/freeze/features"
	"yolofreeze/freeze/step"
	"yolofreeze/freeze/validate"
	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/machine"
)

// featureCache is the cache of what frozen first layers make of augmented
// pictures. They give the same output for the same picture all through
// training, so each view of a picture runs through them once.
type featureCache struct {
	*job
	cut    step.Cut
	layout features.Layout
	store  *features.Store // nil until an epoch needs it
	// validation says that there is room for the validation split's, too: a file
	// that a process makes for itself.
	validation bool
}

// planFeatures finds the cut of the run's first stage, says what its cache takes, and refuses
// what does not fit. nil: none is asked for.
func planFeatures(j *job) (*featureCache, error) {
	if j.o.CacheFeatures == 0 {
		return nil, nil
	}
	plan := j.stages[0].Plan
	cut := step.Cut{Layers: step.CutOf(plan), DType: j.o.Features}
	if err := j.teacher.limit(j, plan, &cut); err != nil {
		return nil, err
	}
	if cut.Layers == 0 {
		return nil, &disk.InputError{Path: j.o.Weights, Err: fmt.Errorf("`cache-features` keeps what frozen first layers put out, but %s: freeze layers from the first one on, with fixed statistics, such as `freeze 10` `bn eval`", plan.Moves(plan.FixedPrefix()))}
	}
	shapes, err := cut.Shapes(j.model.Net, 1, j.size.Height, j.size.Width)
	if err != nil {
		return nil, err
	}
	l := features.Layout{Layers: j.model.Net.Cut(cut.Layers), Views: min(j.o.CacheFeatures, max(j.o.Epochs, 1)), Images: len(j.set.Splits["train"]), Classes: j.model.Net.NC}
	for _, layer := range l.Layers {
		l.Bytes = append(l.Bytes, onnx.NumElements(shapes[layer])*int64(cut.DType.Size()))
	}
	c := &featureCache{job: j, cut: cut, layout: l}
	j.r.Logf("feature cache: outputs of layers %v in %s, %d views of %d pictures of %d bytes: %s",
		l.Layers, j.o.FeatureType, l.Views, l.Images, l.Record(), sizeText(l.Total()))
	if err := disk.Private(features.Folder()); err != nil {
		return nil, fmt.Errorf("feature cache: %w", err)
	}
	budget, what := c.budget()
	if err := c.checkBudget(budget, what); err != nil {
		return nil, err
	}
	if j.o.NoVal { // but for one time
		return c, nil
	}
	// Validation pads pictures by half a stride.
	stride := int(j.model.Net.MaxStride())
	if shapes, err = cut.Shapes(j.model.Net, len(j.set.Splits["val"]), j.size.Height+stride, j.size.Width+stride); err != nil {
		return nil, err
	}
	var most int64
	for _, shape := range shapes {
		most += onnx.NumElements(shape) * int64(cut.DType.Size())
	}
	c.validation = budget < 0 || l.Total()+most <= budget
	if c.validation {
		j.r.Logf("validation keeps the same layers' outputs while the run lasts: at most %s", sizeText(most))
	} else {
		j.r.Logf("each validation reads its pictures anew: to keep the same outputs there is no room for another %s", sizeText(most))
	}
	return c, nil
}

// sizeText writes a size in the units of option feature-budget.
func sizeText(n int64) string {
	if n < 1e9 {
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// cutFor is the cut of a stage: the cache's, as long as all layers before it stay frozen.
func (c *featureCache) cutFor(s freeze.Stage) step.Cut {
	if c == nil || step.CutOf(s.Plan) < c.cut.Layers {
		return step.Cut{}
	}
	return c.cut
}

// hold lets validation begin where training does.
func (c *featureCache) hold(v *validate.Validator, s freeze.Stage) {
	if c == nil {
		return
	}
	folder := ""
	if c.validation {
		folder = features.Folder()
	}
	v.HoldFeatures(c.cutFor(s), folder)
	if err := v.Lost(); err != nil && c.validation {
		c.validation = false
		c.r.Warnf("%v; each validation reads its pictures anew", err)
	}
}

// checkBudget refuses a cache that would not fit beside nothing else. The others make room.
func (c *featureCache) checkBudget(budget int64, what string) error {
	need := c.layout.Total()
	if budget < 0 || need <= budget {
		return nil
	}
	perView := need / int64(c.layout.Views)
	hint := "not even one view fits"
	if fit := budget / perView; fit > 0 {
		hint = fmt.Sprintf("`cache-features=%d` fits", fit)
	}
	if c.o.FeatureType == "fp32" {
		hint += ", `feature-type fp16` halves it"
	}
	return &disk.InputError{Path: features.Folder(), Err: fmt.Errorf("the feature cache takes %s, %s is %s; %s", sizeText(need), what, sizeText(budget), hint)}
}

// budget is what all caches together may take; under 0 when nobody knows.
func (c *featureCache) budget() (budget int64, what string) {
	if c.o.FeatureBudget > 0 {
		return int64(c.o.FeatureBudget * 1e9), "the budget (`feature-budget`)"
	}
	dir := features.Folder()
	for !disk.IsFolder(dir) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	free, known := machine.FreeDisk(dir)
	if !known {
		return -1, ""
	}
	for _, cache := range features.Caches() {
		free += cache.Bytes
	}
	return free / 10 * 9, "the budget (nine tenths of the free disk)"
}

// makeRoom removes caches until another one fits into the budget.
func (c *featureCache) makeRoom(need int64) {
	budget, _ := c.budget()
	caches := features.Caches()
	need += features.Sweep()
	for _, other := range caches {
		need += other.Bytes
	}
	for _, other := range caches {
		if budget < 0 || need <= budget {
			return
		}
		c.r.Logf("feature cache: removing %s, %s, last used %s", other.Dir, sizeText(other.Bytes), other.Used.Format(time.DateTime))
		if os.RemoveAll(other.Dir) == nil {
			need -= other.Bytes
		}
	}
}

// source gives the cache's batches; the first time it is found on the disk, or made.
func (c *featureCache) source(ctx context.Context, l *loop) (batches, error) {
	if c.store == nil {
		start := time.Now()
		err := c.open(ctx, l)
		l.clock.features += time.Since(start)
		if err != nil {
			return nil, err
		}
	}
	return newFeatureSource(c.store, l.pictures, c.size), nil
}

// open finds the cache, or makes it.
func (c *featureCache) open(ctx context.Context, l *loop) error {
	key, err := c.key(ctx)
	if err != nil {
		return err
	}
	dir := filepath.Join(features.Folder(), key)
	store, err := features.Open(dir, c.layout)
	if err == nil {
		err = store.Verify(ctx)
	}
	var damaged *features.DamagedError
	if errors.As(err, &damaged) {
		c.r.Warnf("feature cache: %v; it is made again", err)
		store.Close()
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove the damaged feature cache: %w", err)
		}
		err = fs.ErrNotExist
	}
	switch {
	case err == nil:
		c.r.Logf("feature cache: using %s", dir)
	case !errors.Is(err, fs.ErrNotExist):
		store.Close()
		return err
	default:
		c.makeRoom(c.layout.Total())
		c.r.Logf("feature cache: making %s", dir)
		if err := c.make(ctx, dir, l); err != nil {
			return err
		}
		if store, err = features.Open(dir, c.layout); err != nil {
			return err
		}
	}
	c.store = store
	return nil
}

func (c *featureCache) close() {
	if c != nil {
		c.store.Close()
	}
}

// key names a cache by all that its content depends on: the frozen layers and their
// tensors, the pictures and their objects, how these are drawn and stored.
func (c *featureCache) key(ctx context.Context) (string, error) {
	h := sha256.New()
	net := c.model.Net
	fmt.Fprintf(h, "4 %+v %+v side %v seed %d hyp %+v bad %s\n", c.cut, c.layout, c.size, c.o.Seed, c.o.Hyp.AugmentHyp, c.o.BadImages)
	fmt.Fprintf(h, "%v %q %v %v\n", net.Folded, net.Act, net.Acts, net.Layers[:c.cut.Layers])
	params, err := net.Params()
	if err != nil {
		return "", err
	}
	for _, p := range params {
		if freeze.Layer(p.Name) < c.cut.Layers {
			fmt.Fprintf(h, "%s %v ", p.Name, p.Shape)
			h.Write(c.model.State[p.Name].Raw)
		}
	}
	for _, s := range c.set.Splits["train"] {
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
