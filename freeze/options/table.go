package options

import (
	"slices"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/freeze/step"
)

// Option is something that a run can be told. From the table of them come opt.yaml, what
// a resumed run may change, and the command line's flags with their help.
type Option struct {
	Name    string   // YOLOv5's, where it has the option; words are joined by hyphens
	Aliases []string // further names
	Key     string   // in opt.yaml; "": Name with _ for each hyphen; "-": it does not stand there
	Group   string
	Usage   string  // one line, with a name for the value in backquotes; "": nobody is asked for it
	Default string  // in words, where Defaults does not say it
	Alone   *string // its value where it is named without one; nil: it needs one
	Scope   Scope
	Free    bool // a resumed run may change it; data may lie elsewhere, but must be the same

	// Of returns a pointer to the option's value: text, number, truth, list of texts,
	// dataset.Policy or dataset.Hyp; or Sides.
	Of func(*Options) any
}

// Scope says for which runs of a comparison an option holds.
type Scope int

// The scopes of an option.
const (
	AllRuns Scope = iota // the same for all
	Variant              // runs may differ in it
	OneRun               // each run has its own, which nobody chooses by name
)

// FileKey is the option's name in opt.yaml, "" where it does not stand there.
func (o *Option) FileKey() string {
	switch o.Key {
	case "":
		return strings.ReplaceAll(o.Name, "-", "_")
	case "-":
		return ""
	}
	return o.Key
}

func group(name string, options ...Option) []Option {
	for i := range options {
		options[i].Group = name
	}
	return options
}

// Table lists all options of a run in the order of opt.yaml and of help.
var Table = slices.Concat(
	group("Model and data",
		Option{Name: "weights", Scope: Variant, Free: true, Of: func(o *Options) any { return &o.Weights },
			Usage: "`MODEL` to start from: .pt, .safetensors, an artifacts folder, or an exported .onnx"},
		Option{Name: "teacher", Free: true, Of: func(o *Options) any { return &o.Teacher },
			Usage: "`MODEL` whose classes are kept beside those of the data: it runs frozen, and its outputs are targets for what the labels do not name"},
		Option{Name: "data", Free: true, Of: func(o *Options) any { return &o.Data },
			Usage: "data set: a data.yaml, a VOC devkit, or COCO `FILES`"},
		Option{Name: "classes", Of: func(o *Options) any { return &o.Classes },
			Usage: "class `NAMES` in order, where the data set does not list them"},
		Option{Name: "bad-labels", Of: func(o *Options) any { return &o.BadLabels },
			Usage: "what to do about bad labels: `POLICY` reject, clip or drop"},
		Option{Name: "bad-images", Of: func(o *Options) any { return &o.BadImages },
			Usage: "what to do about pictures that cannot be read: `POLICY` skip or reject"},
	),
	group("Freezing",
		Option{Name: "freeze", Scope: Variant, Of: func(o *Options) any { return &o.Freeze },
			Usage: "what stays as it is: `N` for the first N layers, lists, ranges, names, backbone, @freeze.yaml"},
		Option{Name: "keep-classes", Scope: Variant, Of: func(o *Options) any { return &o.KeepClasses },
			Usage: "learn the data's classes beside those of the weights: behind the frozen first layers a further branch trains, and the model has both"},
		Option{Name: "bn", Of: func(o *Options) any { return &o.BN },
			Usage: "BatchNorm of frozen layers: `MODE` eval, batch or affine-only, or selector=mode"},
		Option{Name: "unfreeze", Of: func(o *Options) any { return &o.Unfreeze },
			Usage: "what trains from an epoch on: `EPOCH:SELECTOR`, such as 10:6-9,20:all"},
		Option{Name: "lr-scale", Of: func(o *Options) any { return &o.LRScale },
			Usage: "`SELECTOR=FACTOR` of the learning rate, such as backbone=0.1,neck=0.5"},
		Option{Name: "lr-decay", Default: "1", Of: func(o *Options) any { return &o.LRDecay },
			Usage: "each layer learns at `FACTOR` of the rate of the layer above it"},
	),
	group("Learning",
		Option{Name: "hyp", Default: "low", Scope: Variant, Of: func(o *Options) any { return &o.Hyp },
			Usage: "hyperparameters: a `FILE` of YOLOv5's, or " + strings.Join(dataset.HypNames(), ", ")},
		Option{Name: "epochs", Of: func(o *Options) any { return &o.Epochs },
			Usage: "`N` passes over the data; 0 only validates"},
		Option{Name: "batch-size", Aliases: []string{"batch"}, Of: func(o *Options) any { return &o.BatchSize },
			Usage: "pictures a `BATCH`; -1: as many as fit into memory"},
		Option{Name: "imgsz", Aliases: []string{"img", "img-size"}, Of: func(o *Options) any { return Sides{&o.ImageSize, &o.ImageHeight} },
			Usage: "image side in `PIXELS`, or height and width (384 640), rounded up to a multiple of the largest stride"},
		Option{Name: "optimizer", Of: func(o *Options) any { return &o.Optimizer },
			Usage: "`RULE`: " + strings.Join(step.Optimizers, ", ")},
		Option{Name: "cos-lr", Of: func(o *Options) any { return &o.CosLR },
			Usage: "learning rates fall as a cosine, not in a line"},
		Option{Name: "label-smoothing", Key: "-", Of: func(o *Options) any { return &o.Hyp.LabelSmoothing },
			Usage: "class targets become 1-`E`/2 and E/2"},
		Option{Name: "teacher-weight", Of: func(o *Options) any { return &o.TeacherWeight },
			Usage: "`WEIGHT` of the teacher's targets; at 1 they count as labels do"},
		Option{Name: "patience", Of: func(o *Options) any { return &o.Patience },
			Usage: "stop after `N` epochs without improvement; 0: never"},
		Option{Name: "seed", Scope: OneRun, Of: func(o *Options) any { return &o.Seed },
			Usage: "`SEED` of everything random"},
	),
	group("Pictures",
		Option{Name: "rect", Of: func(o *Options) any { return &o.Rect },
			Usage: "batches of like shapes, without mosaics"},
		Option{Name: "image-weights", Of: func(o *Options) any { return &o.ImageWeights },
			Usage: "draw pictures of badly found classes more often"},
		Option{Name: "multi-scale", Of: func(o *Options) any { return &o.MultiScale },
			Usage: "each batch has a side from half to one and a half imgsz"},
		Option{Name: "single-cls", Of: func(o *Options) any { return &o.SingleCls },
			Usage: "treat all classes as one"},
		Option{Name: "quad", Of: func(o *Options) any { return &o.Quad },
			Usage: "join four pictures to one of twice the side, or enlarge one, as a coin decides"},
		Option{Name: "mosaic9", Of: func(o *Options) any { return &o.Mosaic9 },
			Usage: "`SHARE` of mosaics made of nine pictures, not four"},
		Option{Name: "close-mosaic", Of: func(o *Options) any { return &o.CloseMosaic },
			Usage: "no mosaics in the last `N` epochs"},
		Option{Name: "noautoanchor", Of: func(o *Options) any { return &o.NoAutoAnchor },
			Usage: "do not look at how the anchors fit the data"},
		Option{Name: "autoanchor", Of: func(o *Options) any { return &o.AutoAnchor },
			Usage: "make anchors for the data although the head keeps its weights"},
	),
	group("Loading",
		Option{Name: "workers", Free: true, Of: func(o *Options) any { return &o.Workers },
			Usage: "`N` goroutines that load pictures; 0: one a core"},
		Option{Name: "cache", Alone: new("ram"), Free: true, Of: func(o *Options) any { return &o.Cache },
			Usage: "decoded pictures stay in memory or on disk: `WHERE` " + strings.Join(Caches, ", ") + "; alone: ram"},
		Option{Name: "cache-features", Alone: new("4"), Of: func(o *Options) any { return &o.CacheFeatures },
			Usage: "run frozen first layers once on `K` augmented views of each picture (alone: 4), keep what they put out on disk, and train the rest from there"},
		Option{Name: "feature-type", Of: func(o *Options) any { return &o.FeatureType },
			Usage: "cached features as `TYPE` fp16 or fp32"},
		Option{Name: "feature-budget", Free: true, Of: func(o *Options) any { return &o.FeatureBudget },
			Usage: "all feature caches together take at most `GB`; 0: nine tenths of the free disk"},
	),
	group("Device",
		Option{Name: "device", Free: true, Of: func(o *Options) any { return &o.Device },
			Usage: "`DEVICE` to run on: cpu, cuda[:N], webgpu[:N], openvino[:N], a provider's library, or auto; several, 0,1 or cuda:0,cuda:1, train together (setup --mpi), and --batch-size is their total"},
		Option{Name: "amp", Of: func(o *Options) any { return &o.AMP },
			Usage: "mixed precision: `TYPE` of products, fp16 (with a scaled loss) or bf16 (cpu and cuda)"},
		Option{Name: "provider-option", Key: "provider_options", Free: true, Of: func(o *Options) any { return &o.ProviderOptions },
			Usage: "`KEY=VALUE` for the device's execution provider, such as gpu_mem_limit=4294967296 or use_tf32=0"},
		Option{Name: "cuda-graph", Free: true, Of: func(o *Options) any { return &o.CUDAGraph },
			Usage: "capture the step once and repeat it (CUDA; WebGPU in its own way)"},
		Option{Name: "kernels", Free: true, Of: func(o *Options) any { return &o.Kernels },
			Usage: "`WHOSE` operators train on the CPU: native ones for whole layers (yolofreeze setup --native), the runtime's stock ones, or auto: native where they are there"},
		Option{Name: "strict-placement", Free: true, Of: func(o *Options) any { return &o.StrictPlacement },
			Usage: "refuse to train where the CPU provider must help the device out"},
	),
	group("Saving",
		Option{Name: "noval", Of: func(o *Options) any { return &o.NoVal },
			Usage: "validate the last epoch only"},
		Option{Name: "nosave", Of: func(o *Options) any { return &o.NoSave },
			Usage: "save the last epoch only"},
		Option{Name: "noplots", Free: true, Of: func(o *Options) any { return &o.NoPlots },
			Usage: "draw no pictures of the run"},
		Option{Name: "save-period", Of: func(o *Options) any { return &o.SavePeriod },
			Usage: "keep the weights of every `N`th epoch"},
		Option{Name: "save-pt", Free: true, Of: func(o *Options) any { return &o.SavePT },
			Usage: "at the end, also write best.pt, which YOLOv5's detect.py, val.py and train.py open"},
		Option{Name: "project", Scope: OneRun, Free: true, Of: func(o *Options) any { return &o.Project },
			Usage: "`FOLDER` of runs"},
		Option{Name: "name", Scope: OneRun, Free: true, Of: func(o *Options) any { return &o.Name },
			Usage: "`NAME` of this run's folder"},
		Option{Name: "exist-ok", Scope: OneRun, Free: true, Of: func(o *Options) any { return &o.ExistOK },
			Usage: "write into a folder that is there"},
		Option{Name: "version", Scope: OneRun, Free: true, Of: func(o *Options) any { return &o.Version }},
		Option{Name: "plans", Scope: OneRun, Free: true, Of: func(o *Options) any { return &o.Plans }},
	),
	group("Resuming",
		Option{Name: "resume-from", Aliases: []string{"resume"}, Key: "-", Alone: new(""), Scope: OneRun, Of: func(o *Options) any { return &o.ResumeFrom },
			Usage: "go on with the run of this `FOLDER` or last.safetensors, with its options; alone: the newest below project"},
		Option{Name: "force", Key: "-", Scope: OneRun, Of: func(o *Options) any { return &o.Force },
			Usage: "resume although options or data have changed"},
	),
)
