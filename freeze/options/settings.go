package options

import (
	"cmp"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
	"yolofreeze/freeze"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/collective"
	"yolofreeze/onnx/ort"
)

// Settings are options as a run goes by them: checked, and their texts read.
type Settings struct {
	Options
	Frozen   freeze.Request // what Freezing says
	Runtime  ort.Options    // options of the device's provider, and the device that FindDevice finds
	Products onnx.DType     // in which they are computed; Undefined: float32
	Features onnx.DType     // in which those that are cached are kept
	Reading  dataset.ReadOptions
}

// Error is an option that makes no sense.
type Error struct{ Reason string }

func (e *Error) Error() string { return e.Reason }

// Usage marks the error as one of what was asked for.
func (e *Error) Usage() bool { return true }

// Parse checks the options and reads all that is text in them: nothing that a run
// does with them later can fail for how they were written.
func (o Options) Parse() (s *Settings, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s = &Settings{Options: o, Features: FeatureTypes[o.FeatureType]}
	s.Reading, err = dataset.ReadOptions{Splits: []string{"train", "val"}, Classes: o.Classes, BadLabels: o.BadLabels,
		BadImages: o.BadImages, CacheDir: dataset.DefaultCacheDir()}.Checked()
	if err == nil {
		s.Products, err = step.ParseAMP(o.AMP)
	}
	if err == nil {
		s.Runtime.ProviderOptions, err = ParseProviderOptions(o.ProviderOptions)
	}
	if err != nil {
		return nil, &Error{err.Error()}
	}
	if s.Frozen, err = freeze.ParseRequest(o.Freeze, o.BN, o.Unfreeze, o.LRScale); err != nil {
		return nil, err
	}
	return s, nil
}

// FindDevice looks for the device of a rank of this host, and tells whether it starts and does what
// is asked of it. Ranks on the CPU share its cores.
func (s *Settings) FindDevice(at collective.Local) (err error) {
	if s.Runtime.Device, err = deviceOf(s.Device, at); err != nil {
		return err
	}
	if at.Size > 1 && s.Runtime.Device.Kind == ort.CPU {
		s.Runtime.Threads = max(runtime.GOMAXPROCS(0)/at.Size, 1)
	}
	if err := step.CheckDevice(s.Runtime.Device, s.Products, s.Runtime.ProviderOptions); err != nil || !s.CUDAGraph {
		return err
	}
	return ort.CheckCapture(s.Runtime.Device)
}

// SetFreeze puts other selectors in the place of option freeze.
func (s *Settings) SetFreeze(texts []string) (err error) {
	s.Freeze = texts
	s.Frozen.Selectors, err = freeze.Parse(texts)
	return err
}

// Stages makes the plans of the run for a network, and completes the options of
// learning rates by what a plan file states.
func (s *Settings) Stages(net freeze.Network) ([]freeze.Stage, error) {
	stages, err := freeze.Stages(net, s.Frozen.Selectors, s.Frozen.Schedule, s.Frozen.Policies...)
	if err != nil {
		return nil, err
	}
	if last := stages[len(stages)-1].Epoch; s.Epochs > 0 && last >= s.Epochs {
		return nil, &Error{fmt.Sprintf("unfreeze %s: epoch %d never comes, the run has epochs 0 to %d", strings.Join(s.Unfreeze, ","), last, s.Epochs-1)}
	}
	if stated := stages[0].Plan.Rates; s.ResumeFrom == "" { // a resumed run has its own, whatever it freezes now
		if len(s.Frozen.Scales) == 0 {
			s.Frozen.Scales, s.LRScale = stated.Scales, stated.Texts()
		}
		s.LRDecay = cmp.Or(s.LRDecay, stated.Decay())
	}
	s.LRDecay = cmp.Or(s.LRDecay, 1)
	rates, err := freeze.NewRates(net, s.Frozen.Scales, s.LRDecay) // of the whole network, whatever trains in a stage
	for _, stage := range stages {
		stage.Plan.Rates = rates
	}
	return stages, err
}

// check refuses values that make no sense, alone or together.
func (o *Options) check() error {
	bad := func(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }
	switch {
	case o.Epochs < 0:
		return bad("epochs %d: want 0 or more", o.Epochs)
	case o.BatchSize < 1 && o.BatchSize != AutoBatch:
		return bad("batch size %d: want 1 or more, or %d for what fits into memory", o.BatchSize, AutoBatch)
	case o.ImageSize < 1 || o.ImageHeight < 0 || o.Size().Longer() > loader.MaxImageSize:
		return bad("image size %v: want 1 to %d", o.Size(), loader.MaxImageSize)
	case o.Rect && !o.Size().IsSquare():
		return bad("rect makes shapes of its own: image size %v: want one side", o.Size())
	case !slices.Contains(step.Optimizers, o.Optimizer):
		return bad("optimizer %q: want one of %v", o.Optimizer, step.Optimizers)
	case !slices.Contains(Caches, o.Cache):
		return bad("cache %q: want one of %v", o.Cache, Caches)
	case !slices.Contains(step.Kernels, o.Kernels):
		return bad("kernels %q: want one of %v", o.Kernels, step.Kernels)
	case o.Patience < 0:
		return bad("patience %d: want 0 (never stop early) or more", o.Patience)
	case o.Rect && o.ImageWeights:
		return bad("image weights draw pictures, rect takes each once: use one of them")
	case o.Quad && o.Rect:
		return bad("quad joins square pictures, rect makes others: use one of them")
	case o.Quad && o.BatchSize != AutoBatch && o.BatchSize%QuadPictures != 0:
		return bad("batch size %d with quad: want a multiple of %d", o.BatchSize, QuadPictures)
	case !(o.Hyp.LabelSmoothing >= 0 && o.Hyp.LabelSmoothing < 1):
		return bad("label-smoothing %g: want 0 or more, less than 1", o.Hyp.LabelSmoothing)
	case !(o.Mosaic9 >= 0 && o.Mosaic9 <= 1):
		return bad("mosaic9 %g: want a share from 0 to 1", o.Mosaic9)
	case o.CacheFeatures > 0 && (o.Quad || o.Mosaic9 > 0):
		return bad("cache-features keeps single pictures, in mosaics of four: not with quad or mosaic9")
	case o.Teacher != "" && !(o.TeacherWeight > 0 && o.TeacherWeight <= math.MaxFloat32):
		return bad("teacher-weight %g: want more than 0; without `teacher` there is none", o.TeacherWeight)
	case o.Teacher != "" && (o.AutoAnchor || o.Hyp.Anchors >= 0.5):
		return bad("new anchors (autoanchor, or anchors in hyp) are not those of a teacher, whose cells the network shares: use one of them")
	case o.Teacher != "" && o.KeepClasses:
		return bad("keep-classes leaves old classes as they are, a teacher keeps them while all trains: use one of them")
	case o.Teacher != "" && o.SingleCls:
		return bad("single-cls makes one class of all, a teacher keeps its own apart: use one of them")
	case o.AutoAnchor && o.NoAutoAnchor:
		return bad("autoanchor and noautoanchor exclude each other")
	case o.CacheFeatures < 0:
		return bad("cache-features %d: want 1 view of each picture or more", o.CacheFeatures)
	case FeatureTypes[o.FeatureType] == onnx.Undefined:
		return bad("feature-type %q: want fp16 or fp32", o.FeatureType)
	case !(o.FeatureBudget >= 0):
		return bad("feature-budget %g: want 0 (nine tenths of the free disk) GB or more", o.FeatureBudget)
	case o.CacheFeatures > 0 && (o.Rect || o.ImageWeights || o.MultiScale || o.CloseMosaic > 0):
		return bad("cache-features keeps square pictures that every epoch draws alike: not with rect, image-weights, multi-scale or close-mosaic")
	case o.CUDAGraph && (o.MultiScale || o.Rect):
		return bad("cuda-graph repeats a step of one size: not with multi-scale or rect, whose batches differ")
	case o.CloseMosaic < 0:
		return bad("close-mosaic %d: want 0 or more", o.CloseMosaic)
	}
	return nil
}
