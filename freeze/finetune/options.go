package finetune

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
	"yolofreeze/freeze"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
)

// Options say what a run does, by groups. Table lists them: their names, and what
// is said of them elsewhere.
type Options struct {
	Inputs
	Freezing
	Learning
	Pictures
	Loading
	Running
	Keeping

	Version    string   // of the program
	Plans      []string // what was frozen from which epoch on, where a resumed run has changed that
	ResumeFrom string   // a last.safetensors, or a run's folder
	Force      bool     // resume although options or data differ

	Reads []string // files besides weights and data that were read, which the run must not write over

	// Withheld are settings of the device that a checkpoint asks for and a file may not
	// decide (see CheckStored), the option's name before each value. A run begins when they
	// are given anew and this list is empty.
	Withheld []string
}

// Inputs are what a run starts from.
type Inputs struct {
	Weights   string
	Data      string
	Classes   []string
	BadLabels dataset.Policy
	BadImages dataset.Policy
}

// Freezing says what trains, when, and at which share of the learning rate.
type Freezing struct {
	Freeze   []string // as freeze.Parse takes them
	BN       []string // as freeze.ParseBN takes them
	Unfreeze []string // as freeze.ParseSchedule takes them
	LRScale  []string // as freeze.NewRates takes them; none: what a plan file in Freeze states
	LRDecay  float64  // learning rate of a layer beside the one above it; 0: what a plan file states, or 1
}

// Learning says for how long and by which rule parameters change.
type Learning struct {
	Hyp       dataset.Hyp
	Epochs    int // 0 only validates
	BatchSize int // AutoBatch: what fits
	ImageSize int
	Optimizer string // one of Optimizers
	CosLR     bool
	Patience  int // epochs without improvement before the run ends; 0: never
	Seed      uint64
}

// Pictures says how pictures are chosen and joined, and what anchors are for them.
type Pictures struct {
	Rect         bool
	ImageWeights bool
	MultiScale   bool
	SingleCls    bool
	Quad         bool    // four pictures make one of twice the side
	CloseMosaic  int     // last epochs without mosaics
	Mosaic9      float64 // share of mosaics made of nine pictures, not four
	NoAutoAnchor bool    // do not look at how the anchors fit
	AutoAnchor   bool    // make anchors although the head keeps its weights
}

// Loading says what is kept of pictures between epochs.
type Loading struct {
	Workers       int     // that load pictures; 0: one per core
	Cache         string  // one of Caches
	CacheFeatures int     // views of each picture whose frozen features are kept; 0: none
	FeatureType   string  // in which they are kept: one of FeatureTypes
	FeatureBudget float64 // GB that all caches may take; 0: nine tenths of the free disk
}

// Running says where and how graphs run.
type Running struct {
	Device          string
	AMP             string   // type of products: fp16, bf16, or "" for float32
	ProviderOptions []string // KEY=VALUE, of the device's execution provider
	CUDAGraph       bool     // training and optimizer graphs are captured, and repeated at each step
	StrictPlacement bool     // nodes that fall back to the CPU provider end the run
}

// Keeping says what is measured, drawn and saved, and where.
type Keeping struct {
	NoVal      bool // validate the last epoch only
	NoSave     bool // save the last epoch only
	NoPlots    bool // draw nothing, and do not validate the best weights again for it
	SavePeriod int  // also keep the weights of every so many epochs; under 1: none
	Project    string
	Name       string
	ExistOK    bool
}

// Caches are the values of Options.Cache: decoded pictures are kept in memory
// as far as a quarter of what is free goes, in most of it, on the disk, or not at all.
var Caches = []string{"auto", "ram", "disk", "none"}

// Defaults are YOLOv5's, but for the number of workers.
func Defaults() Options {
	hyp, _ := dataset.LoadHyp("low")
	return Options{
		Inputs:   Inputs{BadLabels: dataset.Reject, BadImages: dataset.Skip},
		Learning: Learning{Hyp: hyp, Epochs: 100, BatchSize: 16, ImageSize: 640, Optimizer: step.Optimizers[0], Patience: 100},
		Loading:  Loading{Cache: Caches[0], FeatureType: "fp16"},
		Running:  Running{Device: "auto"},
		Keeping:  Keeping{SavePeriod: -1, Project: filepath.Join("runs", "train"), Name: "exp"},
	}
}

// OptionError is an option that makes no sense.
type OptionError struct{ Reason string }

func (e *OptionError) Error() string { return e.Reason }

// Usage marks the error as one of what was asked for.
func (e *OptionError) Usage() bool { return true }

func (o *Options) check() error {
	bad := func(format string, args ...any) error { return &OptionError{fmt.Sprintf(format, args...)} }
	switch {
	case o.Epochs < 0:
		return bad("epochs %d: want 0 or more", o.Epochs)
	case o.BatchSize < 1 && o.BatchSize != AutoBatch:
		return bad("batch size %d: want 1 or more, or %d for what fits into memory", o.BatchSize, AutoBatch)
	case o.ImageSize < 1 || o.ImageSize > loader.MaxImageSize:
		return bad("image size %d: want 1 to %d", o.ImageSize, loader.MaxImageSize)
	case !slices.Contains(step.Optimizers, o.Optimizer):
		return bad("optimizer %q: want one of %v", o.Optimizer, step.Optimizers)
	case !slices.Contains(Caches, o.Cache):
		return bad("cache %q: want one of %v", o.Cache, Caches)
	case o.Patience < 0:
		return bad("patience %d: want 0 (never stop early) or more", o.Patience)
	case o.Rect && o.ImageWeights:
		return bad("image weights draw pictures, rect takes each once: use one of them")
	case o.Quad && o.Rect:
		return bad("quad joins square pictures, rect makes others: use one of them")
	case o.Quad && o.BatchSize != AutoBatch && o.BatchSize%quadPictures != 0:
		return bad("batch size %d with quad: want a multiple of %d", o.BatchSize, quadPictures)
	case !(o.Hyp.LabelSmoothing >= 0 && o.Hyp.LabelSmoothing < 1):
		return bad("label-smoothing %g: want 0 or more, less than 1", o.Hyp.LabelSmoothing)
	case !(o.Mosaic9 >= 0 && o.Mosaic9 <= 1):
		return bad("mosaic9 %g: want a share from 0 to 1", o.Mosaic9)
	case o.CacheFeatures > 0 && (o.Quad || o.Mosaic9 > 0):
		return bad("cache-features keeps single pictures, in mosaics of four: not with quad or mosaic9")
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
	if len(o.Withheld) > 0 {
		return &resumeError{fmt.Sprintf("resume from %s: it asks for %s, which a file may not decide", o.ResumeFrom, strings.Join(o.Withheld, " and ")),
			"give the flags again if the run is yours, or others: a provider's library and options can run any code"}
	}
	_, err := o.readOptions().Checked()
	if err == nil {
		err = o.checkDevice()
	}
	if err != nil {
		return bad("%v", err)
	}
	return nil
}

func (o *Options) readOptions() dataset.ReadOptions {
	return dataset.ReadOptions{Splits: []string{"train", "val"}, Classes: o.Classes, BadLabels: o.BadLabels,
		BadImages: o.BadImages, CacheDir: dataset.DefaultCacheDir()}
}

// stages makes the plans of the run for a model, and completes the options of
// learning rates by what a plan file states.
func (o *Options) stages(m *model.Model) ([]freeze.Stage, error) {
	selectors, err := freeze.Parse(o.Freeze)
	if err != nil {
		return nil, err
	}
	policies, err := freeze.ParseBN(o.BN)
	if err != nil {
		return nil, err
	}
	schedule, err := freeze.ParseSchedule(o.Unfreeze)
	if err != nil {
		return nil, err
	}
	net, err := m.Freezable()
	if err != nil {
		return nil, err
	}
	stages, err := freeze.Stages(net, selectors, schedule, policies...)
	if err != nil {
		return nil, err
	}
	if last := stages[len(stages)-1].Epoch; o.Epochs > 0 && last >= o.Epochs {
		return nil, &OptionError{fmt.Sprintf("unfreeze %s: epoch %d never comes, the run has epochs 0 to %d", strings.Join(o.Unfreeze, ","), last, o.Epochs-1)}
	}
	if stated := stages[0].Plan.Rates; o.ResumeFrom == "" { // a resumed run has its own, whatever it freezes now
		if len(o.LRScale) == 0 {
			o.LRScale = stated.Scales()
		}
		o.LRDecay = cmp.Or(o.LRDecay, stated.Decay())
	}
	o.LRDecay = cmp.Or(o.LRDecay, 1)
	rates, err := freeze.NewRates(net, o.LRScale, o.LRDecay) // of the whole network, whatever trains in a stage
	for _, s := range stages {
		s.Plan.Rates = rates
	}
	return stages, err
}
