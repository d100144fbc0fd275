package step

import (
	"fmt"
	"slices"

	"yolofreeze/freeze"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
)

// Kernels are whose kernels may compute a training step on the CPU: Native ones compute whole
// layers (package op says which), Stock ones are ONNX Runtime's own, and auto takes native ones
// where they can be had.
var Kernels = []string{"auto", Native, Stock}

// The kernels that a step can have.
const (
	Native = "native"
	Stock  = "stock"
)

// kernelsError is a wish for native kernels where there are none.
type kernelsError struct{ reason string }

func (e *kernelsError) Error() string { return e.reason }

// Usage marks the error as one of what was asked for.
func (e *kernelsError) Usage() bool { return true }

// ChooseKernels returns Native or Stock for one of Kernels, a device and the type of
// products. Where auto cannot have native ones on the CPU, why says so; where
// they are asked for, that is the error, an *ort.Unavailable within.
func ChooseKernels(wish string, d ort.Device, products onnx.DType) (chosen string, why, err error) {
	if wish == Stock {
		return Stock, nil, nil
	}
	fits := d.Kind == ort.CPU && products == onnx.Undefined
	if fits {
		if why = ort.InitNative(); why == nil {
			return Native, nil, nil
		}
	}
	switch {
	case wish != Native:
		return Stock, why, nil
	case fits:
		return "", nil, fmt.Errorf("native kernels: %w, or use `kernels stock`", why)
	case products != onnx.Undefined:
		return "", nil, &kernelsError{"native kernels compute in float32: leave `amp` out, or use `kernels stock`"}
	default:
		return "", nil, &kernelsError{fmt.Sprintf("native kernels are the CPU's, and the device is %v: use `kernels stock` or `device cpu`", d)}
	}
}

// WholeLayers tells whether a plan leaves native kernels whole layers to compute: one that trains
// besides Detect's plain convolutions, layer head, or whose batch's own statistics are taken. Where
// there is none, stock kernels do the same in the same time.
func WholeLayers(p *freeze.Plan, head int) bool {
	return slices.ContainsFunc(p.TrainableNames(), func(name string) bool { return freeze.Layer(name) != head }) ||
		slices.ContainsFunc(p.BatchNorm, func(m freeze.Module) bool { return m.Mode == freeze.Batch })
}

// KernelsAgain is what a run that is resumed asks for, by the kernels that it had: a library
// that is gone, or another device, does not keep it from going on. Runs of earlier versions
// had stock ones.
func KernelsAgain(had string) string {
	if had == Native {
		return Kernels[0]
	}
	return Stock
}

// TryNative is Try of native kernels on the CPU.
func TryNative() error {
	_, err := try("with native kernels", ort.Options{Native: true})
	return err
}
