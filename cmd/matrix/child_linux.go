package matrix

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"yolofreeze/cmd/term"
)

// runChild runs a process in a group of its own, so that what a terminal sends
// comes once, from this process; it ends when this process does.
func runChild(cmd *exec.Cmd) error {
	runtime.LockOSThread() // the kernel watches the thread that starts the child
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	return cmd.Run()
}

// stopChild passes on the signal that ended the context.
func stopChild(p *os.Process, cause error) error {
	if i, ok := cause.(term.Interrupted); ok {
		return p.Signal(i.By)
	}
	return p.Signal(os.Interrupt)
}
