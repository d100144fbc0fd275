//go:build !windows

package collective

/*
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "mpi.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
	"unsafe"
)

// mpi is the link by MPI. One goroutine, on a thread of its own, makes all calls: it takes
// operations from the others, and in between sends and hears beats, by which ranks know of each
// other that they live whatever else they do. Rank 0 listens to all, all listen to rank 0.
type mpi struct {
	rank, size int
	places     []string // of each rank: host and process
	work       chan *task
	silence    time.Duration // after which a rank is taken for lost

	peers   []*peer
	arrived int64 // operations that this rank has come to
	lost    error
	ticked  time.Time
	over    bool // MPI is finalized
}

// peer is another rank, as its beats tell of it.
type peer struct {
	rank             int
	in, out          *C.beat // not Go's memory: transfers outlive calls
	receive, send    C.uintptr_t
	sending          bool
	heard            time.Time
	arrived, trouble int64
}

// task is what the goroutine does for another.
type task struct {
	do   func() error
	done chan error
}

// How long an operation may wait for a rank that lives and does not come to it.
const patience = 30 * time.Minute

// loadMPI loads a library; version is the first line of what it says of itself.
func loadMPI(path string) (version string, err error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	text := make([]byte, 200)
	var major C.int
	reason := C.mpi_load(name, &major, (*C.char)(unsafe.Pointer(&text[0])), C.int(len(text)))
	version, _, _ = strings.Cut(string(text), "\x00")
	switch {
	case reason != nil && version != "":
		return version, fmt.Errorf("%s, %s", version, C.GoString(reason))
	case reason != nil:
		return "", errors.New(C.GoString(reason))
	case major < 1:
		return version, fmt.Errorf("%s serves version %d of the standard ABI, 1 is needed", version, major)
	}
	return version, nil
}

// joinMPI makes the link, the library being loaded.
func joinMPI(silence time.Duration) (*Group, error) {
	m := &mpi{work: make(chan *task), silence: silence}
	begun := make(chan error, 1)
	go m.live(begun)
	select {
	case err := <-begun:
		if err != nil {
			return nil, err
		}
	case <-time.After(time.Minute):
		return nil, errors.New("the ranks do not find each other: MPI_Init has not returned within a minute")
	}
	g := &Group{rank: m.rank, size: m.size, link: m, local: Local{0, 1}}
	if g.size == 1 {
		return g, nil
	}
	host, _ := os.Hostname()
	places, err := g.Gather(fmt.Appendf(nil, "%s, process %d", host, os.Getpid()))
	g.local.Size = 0
	for rank, place := range places {
		m.places = append(m.places, string(place))
		if name, _, _ := strings.Cut(string(place), ", process "); name == host {
			if g.local.Size++; rank < g.rank {
				g.local.Rank++
			}
		}
	}
	return g, err
}

// live is the goroutine that makes all calls.
func (m *mpi) live(begun chan<- error) {
	runtime.LockOSThread() // for good: MPI keeps things for the thread that began
	var rank, size C.int
	err := said("MPI_Init", C.mpi_init(&rank, &size))
	m.rank, m.size = int(rank), int(size)
	m.listen()
	begun <- err
	if err != nil {
		return
	}
	tick := time.NewTicker(m.pause())
	defer tick.Stop()
	for {
		select {
		case t := <-m.work:
			t.done <- t.do()
			if m.over {
				return
			}
		case <-tick.C:
			m.beat()
		}
	}
}

// pause is the time between two beats.
func (m *mpi) pause() time.Duration { return m.silence / 30 }

// call has the goroutine do something.
func (m *mpi) call(do func() error) error {
	t := &task{do, make(chan error, 1)}
	m.work <- t
	return <-t.done
}

// said is the error that MPI's code stands for.
func said(what string, code C.int) error {
	if code == 0 {
		return nil
	}
	var text [512]C.char
	C.mpi_text(code, &text[0])
	return fmt.Errorf("%s: %s", what, C.GoString(&text[0]))
}

// listen begins to hear the ranks that this one listens to.
func (m *mpi) listen() {
	for rank := range m.size {
		if rank == m.rank || m.rank != 0 && rank != 0 {
			continue
		}
		room := (*C.beat)(C.calloc(2, C.sizeof_beat))
		p := &peer{rank: rank, in: room, out: (*C.beat)(unsafe.Add(unsafe.Pointer(room), C.sizeof_beat)), heard: time.Now()}
		_ = C.mpi_start_receive(p.in, C.int(rank), &p.receive) // what does not come is missed
		m.peers = append(m.peers, p)
	}
	m.ticked = time.Now()
}

// beat sends and hears beats where it is time to, and sees who is missed.
func (m *mpi) beat() {
	now := time.Now()
	gap := now.Sub(m.ticked)
	if gap < m.pause()/2 || m.lost != nil {
		return
	}
	m.ticked = now
	for _, p := range m.peers {
		if gap > m.silence/2 { // this process stood still itself
			p.heard = now
		}
		p.hear(now)
		m.speak(p, 0)
	}
	for _, p := range m.peers {
		switch patience := m.silence; {
		case p.trouble != 0:
			m.lose(int(p.trouble)-1, "rank 0 hears nothing of it")
		case m.rank != 0 && now.Sub(p.heard) > patience*4/3, m.rank == 0 && now.Sub(p.heard) > patience: // rank 0 decides first
			m.lose(p.rank, fmt.Sprintf("nothing was heard of it for %.0f s", now.Sub(p.heard).Seconds()))
		}
	}
}

// hear takes the beats that have come.
func (p *peer) hear(now time.Time) {
	for {
		var done C.int
		if C.mpi_test(&p.receive, &done) != 0 || done == 0 {
			return
		}
		p.heard, p.arrived, p.trouble = now, int64(p.in.arrived), int64(p.in.lost)
		if C.mpi_start_receive(p.in, C.int(p.rank), &p.receive) != 0 {
			return
		}
	}
}

// speak sends a beat, unless the one before is still under way.
func (m *mpi) speak(p *peer, lost int) {
	done := C.int(1)
	if p.sending && (C.mpi_test(&p.send, &done) != 0 || done == 0) {
		return
	}
	p.out.arrived, p.out.lost = C.int64_t(m.arrived), C.int64_t(lost)
	p.sending = C.mpi_start_send(p.out, C.int(p.rank), &p.send) == 0
}

// lose notes that a rank is lost; rank 0 tells the others.
func (m *mpi) lose(rank int, reason string) {
	if m.lost != nil {
		return
	}
	lost := &LostError{Rank: rank, Reason: reason}
	if rank < len(m.places) {
		lost.Place = m.places[rank]
	}
	m.lost = lost
	for _, p := range m.peers {
		if m.rank == 0 && p.rank != rank {
			m.speak(p, rank+1)
		}
	}
	until := time.Now().Add(m.pause())
	for _, p := range m.peers {
		for done := C.int(0); p.sending && done == 0 && time.Now().Before(until); time.Sleep(time.Millisecond) {
			_ = C.mpi_test(&p.send, &done)
		}
	}
}

// run starts an operation and waits for it. While others may be far from it yet, it does so
// asleep; what memory it uses stays where it is.
func (m *mpi) run(what string, asleep bool, start func(request *C.uintptr_t) C.int) error {
	if m.lost != nil {
		return m.lost
	}
	var request C.uintptr_t
	if err := said(what, start(&request)); err != nil {
		return m.missing(err)
	}
	begun := time.Now()
	for {
		var done C.int
		if err := said(what, C.mpi_spin(&request, &done, 200)); err != nil {
			return m.missing(err)
		}
		if done != 0 {
			return nil
		}
		if m.beat(); m.lost != nil {
			return m.lost
		}
		if waited := time.Since(begun); asleep && waited > 5*time.Millisecond {
			time.Sleep(min(waited/50, time.Millisecond))
			if waited > patience {
				return m.late()
			}
		}
	}
}

// missing finds the rank behind an error of the transport: the one that falls silent.
func (m *mpi) missing(cause error) error {
	for until := time.Now().Add(m.silence * 2); m.lost == nil && time.Now().Before(until); time.Sleep(m.pause()) {
		m.beat()
	}
	if lost := (*LostError)(nil); errors.As(m.lost, &lost) {
		lost.Reason += fmt.Sprintf(" (%v)", cause)
		return lost
	}
	m.lost = cause
	return cause
}

// late names who has not come to an operation.
func (m *mpi) late() error {
	rank := 0
	if m.rank == 0 {
		rank = slices.MinFunc(m.peers, func(a, b *peer) int { return int(a.arrived - b.arrived) }).rank
	}
	m.lose(rank, fmt.Sprintf("it lives, and has not come to where the others wait for it since %v", patience))
	return m.lost
}

func (m *mpi) meet(kind operation, number int) (most int, err error) {
	err = m.call(func() error {
		m.arrived++
		var pin runtime.Pinner
		defer pin.Unpin()
		numbers := []C.int64_t{C.int64_t(number), C.int64_t(kind), -C.int64_t(kind)}
		pin.Pin(&numbers[0])
		err := m.run("MPI_Iallreduce", true, func(r *C.uintptr_t) C.int { return C.mpi_start_max(&numbers[0], 3, r) })
		if err != nil {
			return err
		}
		most = int(numbers[0])
		return mixed(map[operation]bool{operation(numbers[1]): true, operation(-numbers[2]): true}, most)
	})
	return most, err
}

// largest is how many numbers or bytes one call of MPI is given.
const largest = 1 << 28

func (m *mpi) sum(data any) error {
	switch data := data.(type) {
	case []float32:
		return sumBy(m, data, 0)
	case []float64:
		return sumBy(m, data, 1)
	}
	return fmt.Errorf("no sums of %T", data)
}

func sumBy[T float32 | float64](m *mpi, data []T, wide C.int) error {
	return m.call(func() error {
		for part := range slices.Chunk(data, largest) {
			var pin runtime.Pinner
			pin.Pin(&part[0])
			if err := m.run("MPI_Iallreduce", false, func(r *C.uintptr_t) C.int {
				return C.mpi_start_sum(unsafe.Pointer(&part[0]), C.int(len(part)), wide, r)
			}); err != nil {
				return err // and the memory stays pinned, which MPI may still use
			}
			pin.Unpin()
		}
		return nil
	})
}

func (m *mpi) broadcast(data []byte, root int) error {
	return m.call(func() error {
		for part := range slices.Chunk(data, largest) {
			var pin runtime.Pinner
			pin.Pin(&part[0])
			if err := m.run("MPI_Ibcast", false, func(r *C.uintptr_t) C.int {
				return C.mpi_start_broadcast(unsafe.Pointer(&part[0]), C.int(len(part)), C.int(root), r)
			}); err != nil {
				return err
			}
			pin.Unpin()
		}
		return nil
	})
}

func (m *mpi) gather(data []byte, sizes []int) (parts [][]byte, err error) {
	counts, places, total := make([]C.int, len(sizes)), make([]C.int, len(sizes)), 0
	for i, n := range sizes {
		counts[i], places[i] = C.int(n), C.int(total)
		total += n
	}
	all := make([]byte, total+1)
	own := append(slices.Clone(data), 0) // never empty, so that there is something to point to
	err = m.call(func() error {
		var pin runtime.Pinner
		for _, p := range []any{&all[0], &own[0], &counts[0], &places[0]} {
			pin.Pin(p)
		}
		err := m.run("MPI_Iallgatherv", false, func(r *C.uintptr_t) C.int {
			return C.mpi_start_gather(unsafe.Pointer(&own[0]), C.int(len(data)), unsafe.Pointer(&all[0]), &counts[0], &places[0], r)
		})
		if err == nil {
			pin.Unpin()
		}
		return err
	})
	for i, n := range sizes {
		parts = append(parts, all[places[i]:][:n:n])
	}
	return parts, err
}

func (m *mpi) check() error {
	return m.call(func() error {
		m.beat()
		return m.lost
	})
}

// close ends MPI; where a rank is lost, that would not return.
func (m *mpi) close(clean bool) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = m.call(func() error {
			if !clean {
				return nil
			}
			for _, p := range m.peers {
				C.mpi_drop(&p.receive)
			}
			m.over = true
			return said("MPI_Finalize", C.mpi_finalize())
		})
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
	}
}

// abort has the launcher end all ranks, this one too.
func (m *mpi) abort(code int) {
	go func() { _ = m.call(func() error { C.mpi_abort(C.int(code)); return nil }) }()
	time.Sleep(10 * time.Second)
}
