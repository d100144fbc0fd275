package step

import "strings"

// UnfitError says that a device cannot do what is asked of it.
type UnfitError struct {
	Device string
	Reason string
	Nodes  []string // that it leaves to the CPU provider: operators with their number
	Cure   string
}

func (e *UnfitError) Error() string {
	reason := e.Reason
	if len(e.Nodes) > 0 {
		reason += ": " + strings.Join(e.Nodes, ", ")
	}
	return e.Device + ": " + reason + "; " + e.Cure
}

// Unavailable marks the error for the exit code.
func (e *UnfitError) Unavailable() bool { return true }
