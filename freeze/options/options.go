package options

import (
	"path/filepath"

	"yolofreeze/dataset"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
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
	Teacher   string // weights whose classes the run keeps beside those of the data; "": none
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
	// KeepClasses trains the data's classes as a further branch behind the frozen first
	// layers, and leaves what is there as it is.
	KeepClasses bool
	LRDecay     float64 // learning rate of a layer beside the one above it; 0: what a plan file states, or 1
}

// Learning says for how long and by which rule parameters change.
type Learning struct {
	Hyp           dataset.Hyp
	Epochs        int     // 0 only validates
	BatchSize     int     // AutoBatch: what fits
	ImageSize     int     // of pictures, their width where ImageHeight says another
	ImageHeight   int     // 0: ImageSize
	Optimizer     string  // one of step.Optimizers
	TeacherWeight float64 // of what the teacher adds to the loss
	CosLR         bool
	Patience      int // epochs without improvement before the run ends; 0: never
	Seed          uint64
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
	Kernels         string   // one of step.Kernels; once a run has begun, what it trains with: native or stock
}

// Keeping says what is measured, drawn and saved, and where.
type Keeping struct {
	NoVal      bool // validate the last epoch only
	NoSave     bool // save the last epoch only
	NoPlots    bool // draw nothing, and do not validate the best weights again for it
	SavePeriod int  // also keep the weights of every so many epochs; under 1: none
	SavePT     bool // at the end, also keep the best weights as a checkpoint of YOLOv5's
	Project    string
	Name       string
	ExistOK    bool
}

// AutoBatch as Options.BatchSize asks for the largest batch that fits into memory.
const AutoBatch = -1

// QuadPictures is how many pictures option quad joins to one of twice the side.
const QuadPictures = 4

// FeatureTypes are the values of Options.FeatureType.
var FeatureTypes = map[string]onnx.DType{"fp16": onnx.Float16, "fp32": onnx.Float}

// Caches are the values of Options.Cache: decoded pictures are kept in memory
// as far as a quarter of what is free goes, in most of it, on the disk, or not at all.
var Caches = []string{"auto", "ram", "disk", "none"}

// Defaults are YOLOv5's, but for the number of workers.
func Defaults() Options {
	hyp, _ := dataset.LoadHyp("low")
	return Options{
		Inputs:   Inputs{BadLabels: dataset.Reject, BadImages: dataset.Skip},
		Learning: Learning{Hyp: hyp, Epochs: 100, BatchSize: 16, ImageSize: 640, Optimizer: step.Optimizers[0], Patience: 100, TeacherWeight: 1},
		Loading:  Loading{Cache: Caches[0], FeatureType: "fp16"},
		Running:  Running{Device: ort.Auto, Kernels: step.Kernels[0]},
		Keeping:  Keeping{SavePeriod: -1, Project: filepath.Join("runs", "train"), Name: "exp"},
	}
}
