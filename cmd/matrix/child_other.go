//go:build !linux

package matrix

import (
	"os"
	"os/exec"

	"yolofreeze/cmd/term"
)

// runChild runs a process.
func runChild(cmd *exec.Cmd) error { return cmd.Run() }

// stopChild passes on the signal that ended the context, but for the interrupt
// of a terminal, which tells the child itself.
func stopChild(p *os.Process, cause error) error {
	i, ok := cause.(term.Interrupted)
	if ok && i.By == os.Interrupt {
		return nil
	}
	return p.Signal(os.Interrupt)
}
