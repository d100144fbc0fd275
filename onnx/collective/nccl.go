//go:build !windows

package collective

/*
#include <stdlib.h>
#include "nccl.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"time"
	"unsafe"
)

// Devices are a group's CUDA devices, one for each rank, between which NCCL sums.
type Devices struct {
	group        *Group
	index        int // of this rank's device
	communicator unsafe.Pointer
	stream       unsafe.Pointer
}

// OpenDevices has NCCL join the ranks' devices, index being this rank's. It needs the library on all
// hosts, and a device of its own for each rank; where that fails anywhere, all ranks get an error.
func (g *Group) OpenDevices(index int) (*Devices, error) {
	d := &Devices{group: g, index: index}
	err := loadNCCL()
	id := (*C.nccl_id)(C.calloc(1, C.sizeof_nccl_id))
	defer C.free(unsafe.Pointer(id))
	if err == nil && g.Root() {
		err = ncclError("ncclGetUniqueId", C.nccl_new_id(id))
	}
	if err := g.allOf(err); err != nil {
		return nil, err
	}
	if err := g.Broadcast(unsafe.Slice((*byte)(unsafe.Pointer(id)), C.sizeof_nccl_id), 0); err != nil {
		return nil, err
	}
	joined := make(chan C.int, 1)
	own := *id
	places := (*[2]unsafe.Pointer)(C.calloc(2, C.size_t(unsafe.Sizeof(uintptr(0))))) // C's, for the call may outlive this one
	go func() {
		joined <- C.nccl_join(C.int(index), C.int(g.size), &own, C.int(g.rank), &places[0], &places[1])
	}()
	err = g.await(func() (bool, error) {
		select {
		case code := <-joined:
			return true, ncclError("ncclCommInitRank", code)
		default:
			return false, nil
		}
	})
	if err := g.allOf(err); err != nil {
		return nil, err
	}
	d.communicator, d.stream = places[0], places[1]
	C.free(unsafe.Pointer(places))
	return d, nil
}

// allOf returns an error on all ranks where one has it.
func (g *Group) allOf(own error) error {
	bad := []float64{0}
	if own != nil {
		bad[0] = 1
	}
	if err := g.SumFloat64(bad); err != nil {
		return err
	}
	if own == nil && bad[0] > 0 {
		return errors.New("NCCL does not start on another rank")
	}
	return own
}

// Sum puts the sum over all ranks in the place of count numbers of type float32 at an address of this
// rank's device, which must be idle there.
func (d *Devices) Sum(data unsafe.Pointer, count int) error {
	n, err := d.group.together(summing, count)
	if err == nil && n != count {
		err = fmt.Errorf("rank %d sums %d numbers, another %d", d.group.rank, count, n)
	}
	if err == nil {
		err = ncclError("ncclAllReduce", C.nccl_start_sum(C.int(d.index), data, C.size_t(count), d.communicator, d.stream))
	}
	if err == nil {
		err = d.group.await(func() (bool, error) {
			var done C.int
			err := ncclError("ncclAllReduce", C.nccl_done(d.communicator, d.stream, &done))
			return done != 0, err
		})
	}
	if d.group.failed == nil {
		d.group.failed = err
	}
	return err
}

// await asks until something is done, or a rank is lost meanwhile.
func (g *Group) await(done func() (bool, error)) error {
	begun, looked := time.Now(), time.Now()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if time.Since(begun) > time.Millisecond {
			time.Sleep(50 * time.Microsecond)
		}
		if time.Since(looked) > 500*time.Millisecond {
			looked = time.Now()
			if g.failed = g.link.check(); g.failed != nil {
				return g.failed
			}
		}
	}
}

// Close leaves NCCL.
func (d *Devices) Close() {
	if d == nil || d.communicator == nil {
		return
	}
	clean := C.int(0)
	if d.group.failed == nil {
		clean = 1
	}
	C.nccl_leave(d.communicator, d.stream, clean)
	d.communicator = nil
}

func ncclError(what string, code C.int) error {
	if code == 0 {
		return nil
	}
	return fmt.Errorf("%s: %s", what, C.GoString(C.nccl_text(code)))
}

// loadNCCL finds and loads the library.
func loadNCCL() error {
	path, err := findNCCL()
	if err != nil {
		return err
	}
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	if reason := C.nccl_load(name); reason != nil {
		return &Unavailable{"NCCL", path, errors.New(C.GoString(reason)), cureNCCL}
	}
	return nil
}
