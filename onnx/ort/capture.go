package ort

import (
	"maps"
	"strings"
)

// captureKeys are the options by which providers record a run and repeat it.
var captureKeys = map[Kind]string{CUDA: "enable_cuda_graph", WebGPU: "enableGraphCapture"}

// CaptureKey reports whether a provider's option is the one that Options.Capture sets.
func CaptureKey(option string) bool {
	for _, key := range captureKeys {
		if key == option {
			return true
		}
	}
	return false
}

// capturing adds the option to others of the device's provider.
func (d Device) capturing(options map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, options)
	all[captureKeys[d.Kind]] = "1"
	return all
}

// CheckCapture tells whether Options.Capture is there for a device: only CUDA and WebGPU have it.
func CheckCapture(d Device) error {
	if captureKeys[d.Kind] != "" {
		return nil
	}
	why := ""
	if d.Why != "" {
		why = " (" + d.Why + ")"
	}
	return asked("device %v captures no graphs, only cuda and webgpu do%s", d, why)
}

// NotCaptured reports whether a session failed to open because the provider
// cannot capture its model: nodes of it would run elsewhere.
func NotCaptured(err error) bool {
	return err != nil && strings.Contains(err.Error(), "cannot use the graph capture feature")
}
