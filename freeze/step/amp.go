package step

import (
	"fmt"
	"math"

	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/pass"
)

// ParseAMP returns the type that products are computed in: fp16, bf16, or
// Undefined for "", all in float32.
func ParseAMP(text string) (onnx.DType, error) {
	switch text {
	case "":
		return onnx.Undefined, nil
	case "fp16":
		return onnx.Float16, nil
	case "bf16":
		return onnx.BFloat16, nil
	}
	return onnx.Undefined, fmt.Errorf("amp %q: want fp16 or bf16", text)
}

// fits refuses a device that cannot compute products in a type: CUDA has kernels
// for bfloat16, and for the CPU provider rounding is written into the graph.
func fits(d ort.Device, products onnx.DType) error {
	if products != onnx.BFloat16 || d.Kind == ort.CPU || d.Kind == ort.CUDA {
		return nil
	}
	return &UnfitError{Device: d, Reason: fmt.Sprintf("products in %v need opset 22, whose kernels for them are known of CUDA alone", products),
		Cure: "use `amp fp16`, or `device cuda` or cpu"}
}

// CheckDevice tells whether a device starts with options of its provider, and computes
// products in a type there. The CPU provider needs no kernels for that: see fits.
func CheckDevice(d ort.Device, products onnx.DType, options map[string]string) error {
	if err := fits(d, products); err != nil {
		return err
	}
	if err := ort.Check(d, options); err != nil || products != onnx.Float16 || d.Kind == ort.CPU {
		return err
	}
	return ort.CheckFloat16(d, options)
}

// TargetOf is whom graphs are written for that run on a device.
func TargetOf(d ort.Device) pass.Target {
	switch d.Kind {
	case ort.CPU:
		return pass.CPUProvider
	case ort.WebGPU:
		return pass.WebGPU
	case ort.CUDA:
		return pass.CUDA
	}
	return pass.AnyProvider
}

// scaled reports whether the loss is multiplied before it is differentiated:
// bfloat16 has the range of float32, and gradients that fit there fit as they are.
func (s *Spec) scaled() bool { return s.AMP == onnx.Float16 }

// Scaler chooses the factor that the loss is multiplied by with products in
// float16, so that small gradients survive in float16, by the rule of PyTorch's
// GradScaler: it halves when gradients overflow, and doubles after 2000 steps in
// a row that did not.
type Scaler struct {
	Scale   float64 `json:"scale"`
	Good    int     `json:"good"`    // steps since it last changed
	Skipped int     `json:"skipped"` // steps that were left out
}

const (
	firstScale    = 65536
	growthFactor  = 2
	backoffFactor = 0.5
	growthSteps   = 2000
)

// newScaler returns the scaler that a run starts with.
func newScaler() *Scaler { return &Scaler{Scale: firstScale} }

// takeOver goes on from where another scaler was, if both are there.
func (s *Scaler) takeOver(from *Scaler) {
	if s != nil && from != nil {
		*s = *from
	}
}

// Update adapts the scale to a step's outcome.
func (s *Scaler) Update(overflow bool) {
	if overflow {
		s.Scale *= backoffFactor
		s.Good = 0
		s.Skipped++
		return
	}
	s.Good++
	if s.Good < growthSteps {
		return
	}
	s.Good = 0
	if grown := s.Scale * growthFactor; grown <= math.MaxFloat32 {
		s.Scale = grown
	}
}

// openNorm opens the graph that measures gradients, where the loss is scaled.
func (e *Engine) openNorm() error {
	if e.Scaler == nil {
		return nil
	}
	m, err := optim.BuildNorm(e.Graphs.layout.normed())
	if err != nil {
		return fmt.Errorf("build the graph that measures gradients: %w", err)
	}
	e.norm, err = e.runner.openBound("graph that measures gradients", m, e.runner.options)
	return err
}

// measure returns the global norm of the gradients as they are without the
// loss's scale, sets what the optimizer multiplies them by, and tells whether
// they are finite: there is no step otherwise.
func (e *Engine) measure() (norm float64, ok bool, err error) {
	if err := e.runner.run(e.norm); err != nil {
		return 0, false, fmt.Errorf("measure the gradients: %w", err)
	}
	norm = e.runner.scalar(optim.GradNorm) / e.Scaler.Scale
	ok = !math.IsNaN(norm) && !math.IsInf(norm, 0)
	factor := 1 / e.Scaler.Scale
	if limit := e.spec.Optimizer.ClipNorm; limit > 0 {
		factor *= min(limit/(norm+1e-6), 1)
	}
	e.runner.set(optim.GradientScale, factor)
	e.Scaler.Update(!ok)
	return norm, ok, nil
}
