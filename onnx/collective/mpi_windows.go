package collective

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"
	"unsafe"
)

var errWindows = errors.New("no MPI for Windows serves the standard ABI")

func loadMPI(string) (string, error) { return "", errWindows }

func joinMPI(time.Duration) (*Group, error) { return nil, errWindows }

func announce(int) (net.Conn, error) { return nil, nil }

// Devices are never joined on Windows.
type Devices struct{}

// OpenDevices says that there is no NCCL.
func (g *Group) OpenDevices(int) (*Devices, error) { return nil, errWindows }

// Sum is never called, since OpenDevices fails.
func (d *Devices) Sum(unsafe.Pointer, int) error { return errWindows }

// Close does nothing.
func (d *Devices) Close() {}

// Ranks are never started on Windows.
type Ranks struct{}

// Start says that there is no MPI.
func Start(int, io.Writer, io.Writer, string, ...string) (*Ranks, error) {
	return nil, &Unavailable{"MPI", "", errWindows, "train on one device"}
}

// Signal is never called, since Start fails.
func (r *Ranks) Signal(syscall.Signal) {}

// Kill is never called, since Start fails.
func (r *Ranks) Kill() {}

// Wait is never called, since Start fails.
func (r *Ranks) Wait() (int, error) { return 1, errWindows }
