//go:build !windows

package collective

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"yolofreeze/onnx/disk"
)

// parentVariable names the socket on which ranks tell the process that has had them started who
// they are, and that they end. One that closes it without a word has died.
const parentVariable = "YOLOFREEZE_RANKS"

// Ranks are those that this process has had started on its host.
type Ranks struct {
	command *exec.Cmd
	folder  string // of the socket
	hears   net.Listener
	heard   sync.WaitGroup // of those who follow ranks
	turns   turns

	mu        sync.Mutex
	processes map[int]int // by rank, of those that have not ended
	lost      error       // a rank that has died
	code      string      // what a rank has said the run ends with
	late      *time.Timer // ends ranks that are left standing
}

// Start starts a program's ranks by mpiexec, the one that came with the library. They
// write to out and messages.
func Start(ranks int, out, messages io.Writer, program string, args ...string) (*Ranks, error) {
	mpiexec, err := findMPIExec()
	if err != nil {
		return nil, err
	}
	r := &Ranks{processes: map[int]int{}}
	if r.folder, err = os.MkdirTemp("", "yolofreeze-ranks-"); err != nil {
		return nil, fmt.Errorf("start ranks: %w", err)
	}
	socket := filepath.Join(r.folder, "socket")
	if r.hears, err = net.Listen("unix", socket); err != nil {
		os.RemoveAll(r.folder)
		return nil, fmt.Errorf("start ranks: %w", err)
	}
	c := exec.Command(mpiexec, append([]string{"-n", strconv.Itoa(ranks), program}, args...)...)
	c.Stdout, c.Stderr = out, messages
	c.Env = append(os.Environ(), parentVariable+"="+socket, "MPIR_CVAR_SUPPRESS_ABORT_MESSAGE=1")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // signals of the terminal come through this process
	r.command = c
	if err := c.Start(); err != nil {
		r.close()
		return nil, fmt.Errorf("start ranks: %w", err)
	}
	go r.listen()
	return r, nil
}

// findMPIExec returns the launcher of the library that ranks will load, which must be fit.
func findMPIExec() (string, error) {
	library, err := FindMPI()
	if err != nil {
		return "", err
	}
	if _, err := loadMPI(library); err != nil {
		return "", &Unavailable{"MPI", library, err, cureMPI}
	}
	folder := filepath.Dir(library)
	for _, path := range []string{filepath.Join(folder, "mpiexec"), filepath.Join(filepath.Dir(folder), "bin", "mpiexec")} {
		if disk.IsFile(path) {
			return path, nil
		}
	}
	path, err := exec.LookPath("mpiexec")
	if err != nil {
		return "", &Unavailable{"MPI", library, fmt.Errorf("there is no mpiexec beside it, in bin beside its folder, or on PATH"), cureMPI}
	}
	return path, nil
}

func (r *Ranks) listen() {
	for {
		c, err := r.hears.Accept()
		if err != nil {
			return
		}
		r.heard.Go(func() { r.follow(c) })
	}
}

// follow hears a rank until it ends.
func (r *Ranks) follow(c net.Conn) {
	defer c.Close()
	lines := bufio.NewScanner(c)
	var rank, process int
	if !lines.Scan() {
		return
	}
	if _, err := fmt.Sscan(lines.Text(), &rank, &process); err != nil {
		return
	}
	r.mu.Lock()
	r.processes[rank] = process
	r.mu.Unlock()
	done := r.turns.await(c)
	defer done()
	ended := lines.Scan()
	r.mu.Lock()
	defer r.mu.Unlock()
	if code := lines.Text(); ended && code != silent {
		r.code = code
		r.late = time.AfterFunc(time.Second, r.Kill) // ranks that stand still do not end
		return
	}
	delete(r.processes, rank)
	if !ended && r.code == "" && r.lost == nil {
		r.lost = &LostError{Rank: rank, Place: fmt.Sprintf("process %d", process), Reason: "its process has died"}
		r.late = time.AfterFunc(5*time.Second, r.Kill) // a launcher that leaves the others
	}
}

// Signal passes a signal on to every rank.
func (r *Ranks) Signal(s syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, process := range r.processes {
		_ = syscall.Kill(process, s)
	}
}

// Kill ends all ranks at once.
func (r *Ranks) Kill() {
	r.Signal(syscall.SIGKILL)
	_ = syscall.Kill(-r.command.Process.Pid, syscall.SIGKILL)
}

// Wait waits for the ranks to end, and returns the exit code of the run. A *LostError is a rank
// that has died; any other end the ranks have told of themselves.
func (r *Ranks) Wait() (code int, err error) {
	err = r.command.Wait()
	r.hearOut()
	r.close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.late != nil {
		r.late.Stop()
	}
	switch {
	case r.code != "":
		if code, err = strconv.Atoi(r.code); err != nil {
			return 1, fmt.Errorf("the ranks end with %q", r.code)
		}
		return code, nil
	case r.lost != nil:
		return 4, r.lost
	case err != nil:
		return 4, fmt.Errorf("%s: %w, and no rank has said why", r.command.Path, err)
	}
	return 4, fmt.Errorf("%s has ended, and no rank has said how", r.command.Path)
}

// hearOut waits until all has been heard that ranks had to say: their launcher may be gone before
// it is, but what is left standing of them would be heard for ever.
func (r *Ranks) hearOut() {
	done := make(chan struct{})
	go func() {
		r.heard.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
	}
}

func (r *Ranks) close() {
	r.hears.Close()
	os.RemoveAll(r.folder)
}

// announce tells the process that has had this rank started who it is; the connection stays.
func announce(rank int) (net.Conn, error) {
	socket := os.Getenv(parentVariable)
	if socket == "" {
		return nil, nil
	}
	c, err := net.Dial("unix", socket)
	if err == nil {
		_, err = fmt.Fprintln(c, rank, os.Getpid())
	}
	if err != nil {
		return nil, fmt.Errorf("reach the process that has started the ranks: %w", err)
	}
	return c, nil
}
