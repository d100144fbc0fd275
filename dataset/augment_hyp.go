package dataset

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/yaml"
)

// Hyp holds YOLOv5's hyperparameters under its own names.
type Hyp struct {
	OptimizerHyp `yaml:",inline"`
	LossHyp      `yaml:",inline"`
	AugmentHyp   `yaml:",inline"`
}

// OptimizerHyp says how parameters learn.
type OptimizerHyp struct {
	LR0            float64 `yaml:"lr0"`             // first learning rate
	LRF            float64 `yaml:"lrf"`             // last learning rate, as a share of the first
	Momentum       float64 `yaml:"momentum"`        // of SGD; Adam's first beta
	WeightDecay    float64 `yaml:"weight_decay"`    // at the nominal batch of 64
	WarmupEpochs   float64 `yaml:"warmup_epochs"`   // fractions allowed
	WarmupMomentum float64 `yaml:"warmup_momentum"` // at the first step
	WarmupBiasLR   float64 `yaml:"warmup_bias_lr"`  // of biases at the first step
}

// LossHyp says what the loss weighs, and which objects match which anchors.
type LossHyp struct {
	Box            float64 `yaml:"box"`             // gain of the box loss
	Cls            float64 `yaml:"cls"`             // gain of the class loss
	ClsPW          float64 `yaml:"cls_pw"`          // weight of positives in the class loss
	Obj            float64 `yaml:"obj"`             // gain of the objectness loss
	ObjPW          float64 `yaml:"obj_pw"`          // weight of positives in the objectness loss
	IoUT           float64 `yaml:"iou_t"`           // read, not used, as in YOLOv5
	AnchorT        float64 `yaml:"anchor_t"`        // most a side may differ from its anchor's, as a factor
	Anchors        float64 `yaml:"anchors"`         // anchors per level to make anew; 0 keeps the model's
	FLGamma        float64 `yaml:"fl_gamma"`        // of the focal loss; 0 is plain cross entropy
	LabelSmoothing float64 `yaml:"label_smoothing"` // class targets become 1-e/2 and e/2
}

// AugmentHyp says how pictures are changed.
type AugmentHyp struct {
	HSVH        float64 `yaml:"hsv_h"`       // hue, saturation and value vary
	HSVS        float64 `yaml:"hsv_s"`       // by these shares,
	HSVV        float64 `yaml:"hsv_v"`       // up and down
	Degrees     float64 `yaml:"degrees"`     // rotation, either way
	Translate   float64 `yaml:"translate"`   // shift, as a share of the side, either way
	Scale       float64 `yaml:"scale"`       // scale 1-s to 1+s
	Shear       float64 `yaml:"shear"`       // degrees, either way
	Perspective float64 `yaml:"perspective"` // per pixel, either way
	FlipUD      float64 `yaml:"flipud"`      // chance of turning upside down
	FlipLR      float64 `yaml:"fliplr"`      // chance of mirroring
	Mosaic      float64 `yaml:"mosaic"`      // chance of a mosaic
	MixUp       float64 `yaml:"mixup"`       // chance, given a mosaic, of blending in another
	CopyPaste   float64 `yaml:"copy_paste"`  // share of objects pasted mirrored into a mosaic
}

// hypLow is the table the others are written against: gentle augmentation, for
// small models trained from scratch and for fine-tuning.
var hypLow = Hyp{
	OptimizerHyp{LR0: .01, LRF: .01, Momentum: .937, WeightDecay: .0005, WarmupEpochs: 3, WarmupMomentum: .8, WarmupBiasLR: .1},
	LossHyp{Box: .05, Cls: .5, ClsPW: 1, Obj: 1, ObjPW: 1, IoUT: .2, AnchorT: 4},
	AugmentHyp{HSVH: .015, HSVS: .7, HSVV: .4, Translate: .1, Scale: .5, FlipLR: .5, Mosaic: 1},
}

// hypTables are the sets known by name, in the order HypNames gives them.
var hypTables = []struct {
	name string
	hyp  Hyp
}{
	{"low", hypLow},
	{"med", hypLow.with(func(h *Hyp) { h.LRF, h.Cls, h.Obj, h.Scale, h.MixUp = .1, .3, .7, .9, .1 })},
	{"high", hypLow.with(func(h *Hyp) {
		h.LRF, h.Cls, h.Obj, h.Scale, h.MixUp, h.CopyPaste = .1, .3, .7, .9, .1, .1
	})},
	{"none", hypLow.with(func(h *Hyp) { // low without augmentation
		h.HSVH, h.HSVS, h.HSVV, h.Translate, h.Scale, h.FlipLR, h.Mosaic = 0, 0, 0, 0, 0, 0, 0
	})},
	{"VOC", Hyp{ // found by search on VOC, a medium model at 512 pixels
		OptimizerHyp{LR0: .00334, LRF: .15135, Momentum: .74832, WeightDecay: .00025,
			WarmupEpochs: 3.3835, WarmupMomentum: .59462, WarmupBiasLR: .18657},
		LossHyp{Box: .02, Cls: .21638, ClsPW: .5, Obj: .51728, ObjPW: .67198, IoUT: .2, AnchorT: 3.3744, Anchors: 3.412},
		AugmentHyp{HSVH: .01041, HSVS: .54703, HSVV: .27739, Translate: .04591, Scale: .75544, FlipLR: .5,
			Mosaic: .85834, MixUp: .04266},
	}},
	{"Objects365", Hyp{ // found by search on Objects365
		OptimizerHyp{LR0: .00258, LRF: .17, Momentum: .779, WeightDecay: .00058,
			WarmupEpochs: 1.33, WarmupMomentum: .86, WarmupBiasLR: .0711},
		LossHyp{Box: .0539, Cls: .299, ClsPW: .825, Obj: .632, ObjPW: 1, IoUT: .2, AnchorT: 3.44, Anchors: 3.2},
		AugmentHyp{HSVH: .0188, HSVS: .704, HSVV: .36, Translate: .0902, Scale: .491, FlipLR: .5, Mosaic: 1},
	}},
}

func (h Hyp) with(change func(*Hyp)) Hyp { change(&h); return h }

// HypNames lists the built-in sets.
func HypNames() []string {
	names := make([]string, len(hypTables))
	for i, t := range hypTables {
		names[i] = t.name
	}
	return names
}

// LoadHyp returns a built-in set by its name ("low", or as YOLOv5 names the
// file, "hyp.scratch-low.yaml"), or reads a file of YOLOv5's form. Keys that a
// file leaves out have the values of "low"; an unknown key or a value out of
// range is an error that names the file and the key.
func LoadHyp(nameOrPath string) (Hyp, error) {
	if h, ok := builtinHyp(nameOrPath); ok {
		return h, nil
	}
	data, err := disk.Read(nameOrPath, yaml.MaxBytes)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return Hyp{}, &BadHypError{nameOrPath, "no such file, nor a built-in set: " + strings.Join(HypNames(), ", ")}
	case err != nil:
		return Hyp{}, fmt.Errorf("read hyperparameters: %w", err)
	}
	return decodeHyp(nameOrPath, func(h *Hyp) error { return yaml.Decode(data, h) })
}

// HypOf reads a set from a mapping in a file, as LoadHyp reads whole files.
func HypOf(path string, mapping *yaml.Node) (Hyp, error) {
	return decodeHyp(path, func(h *Hyp) error { return mapping.Decode(h) })
}

func decodeHyp(nameOrPath string, decode func(*Hyp) error) (Hyp, error) {
	h := hypLow
	if err := decode(&h); err != nil {
		return Hyp{}, &BadHypError{nameOrPath, err.Error()}
	}
	if reason := h.outOfRange(); reason != "" {
		return Hyp{}, &BadHypError{nameOrPath, reason}
	}
	return h, nil
}

// builtinHyp finds a set by its name, or by that of YOLOv5's file unless there
// is one.
func builtinHyp(name string) (Hyp, bool) {
	if strings.HasSuffix(name, ".yaml") {
		if disk.Exists(name) {
			return Hyp{}, false
		}
		name = strings.TrimPrefix(strings.TrimSuffix(filepath.Base(name), ".yaml"), "hyp.")
		name = strings.TrimPrefix(name, "scratch-")
	}
	for _, t := range hypTables {
		if strings.EqualFold(t.name, name) {
			return t.hyp, true
		}
	}
	return Hyp{}, false
}

// BadHypError says what is wrong with a hyperparameter file.
type BadHypError struct{ Path, Reason string }

func (e *BadHypError) Error() string { return "hyperparameters " + e.Path + ": " + e.Reason }

// BadInput marks the error as the input's fault, not the program's or the disk's.
func (e *BadHypError) BadInput() bool { return true }

// outOfRange names the first value that makes no sense, "" when all do.
func (h *Hyp) outOfRange() string {
	inf := math.Inf(1)
	checks := []struct {
		key      string
		v        float64
		from, to float64
	}{
		{"lr0", h.LR0, 0, inf}, {"lrf", h.LRF, 0, inf}, {"momentum", h.Momentum, 0, 1},
		{"weight_decay", h.WeightDecay, 0, inf}, {"warmup_epochs", h.WarmupEpochs, 0, inf},
		{"warmup_momentum", h.WarmupMomentum, 0, 1}, {"warmup_bias_lr", h.WarmupBiasLR, 0, inf},
		{"box", h.Box, 0, inf}, {"cls", h.Cls, 0, inf}, {"cls_pw", h.ClsPW, 0, inf},
		{"obj", h.Obj, 0, inf}, {"obj_pw", h.ObjPW, 0, inf}, {"iou_t", h.IoUT, 0, 1},
		{"anchor_t", h.AnchorT, 1, inf}, {"anchors", h.Anchors, 0, 100}, {"fl_gamma", h.FLGamma, 0, inf},
		{"label_smoothing", h.LabelSmoothing, 0, 1},
		{"hsv_h", h.HSVH, 0, 1}, {"hsv_s", h.HSVS, 0, 1}, {"hsv_v", h.HSVV, 0, 1},
		{"degrees", h.Degrees, 0, 180}, {"translate", h.Translate, 0, 1}, {"scale", h.Scale, 0, 1},
		{"shear", h.Shear, 0, 89}, {"perspective", h.Perspective, 0, .01},
		{"flipud", h.FlipUD, 0, 1}, {"fliplr", h.FlipLR, 0, 1}, {"mosaic", h.Mosaic, 0, 1},
		{"mixup", h.MixUp, 0, 1}, {"copy_paste", h.CopyPaste, 0, 1},
	}
	i := slices.IndexFunc(checks, func(c struct {
		key      string
		v        float64
		from, to float64
	}) bool {
		return !(c.v >= c.from && c.v <= c.to) || math.IsInf(c.v, 0)
	})
	if i < 0 {
		return ""
	}
	c := checks[i]
	if c.to == inf {
		return fmt.Sprintf("%s is %v, want a finite number from %v", c.key, c.v, c.from)
	}
	return fmt.Sprintf("%s is %v, want %v to %v", c.key, c.v, c.from, c.to)
}
