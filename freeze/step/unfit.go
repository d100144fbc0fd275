package step

import (
	"strings"

	"yolofreeze/onnx/ort"
)

// UnfitError says that a device cannot do what is asked of it.
type UnfitError struct {
	Device ort.Device
	Reason string
	Nodes  []string // that it leaves to the CPU provider: operators with their number
	Cure   string
}

func (e *UnfitError) Error() string {
	reason := e.Reason
	if len(e.Nodes) > 0 {
		reason += ": " + strings.Join(e.Nodes, ", ")
	}
	return e.Device.String() + ": " + reason + "; " + e.Cure
}

// Unavailable marks the error for the exit code.
func (e *UnfitError) Unavailable() bool { return true }
