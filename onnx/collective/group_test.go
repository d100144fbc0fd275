package collective

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// onAll runs a body on every rank of a group within the process, and returns their errors.
func onAll(size int, body func(g *Group) error) []error {
	errs := make([]error, size)
	var all sync.WaitGroup
	for _, g := range InProcess(size) {
		all.Go(func() { errs[g.Rank()] = g.Close(body(g), 3) })
	}
	all.Wait()
	return errs
}

// everything is what a rank does to try all operations; it checks what comes of them.
func everything(g *Group) error {
	n, r := g.Size(), g.Rank()
	total := n * (n - 1) / 2
	data := []float32{1, float32(r), float32(-2 * r)}
	wide := make([]float64, 100_000)
	for i := range wide {
		wide[i] = float64(i * r)
	}
	word := []byte(fmt.Sprintf("rank%d", r))
	if err := errors.Join(g.Barrier(), g.Sum(data), g.SumFloat64(wide), g.Broadcast(word, n-1)); err != nil {
		return err
	}
	if want := []float32{float32(n), float32(total), float32(-2 * total)}; !slices.Equal(data, want) {
		return fmt.Errorf("sum %v, want %v", data, want)
	}
	for i, v := range wide {
		if v != float64(i*total) {
			return fmt.Errorf("sum %d is %v", i, v)
		}
	}
	if want := fmt.Sprintf("rank%d", n-1); string(word) != want {
		return fmt.Errorf("broadcast %q, want %q", word, want)
	}
	mean := []float32{float32(r)}
	parts, err := g.Gather([]byte(strings.Repeat("x", 3*r)))
	if err := errors.Join(err, g.Mean(mean)); err != nil {
		return err
	}
	if want := float32(total) / float32(n); mean[0] != want {
		return fmt.Errorf("mean %v, want %v", mean[0], want)
	}
	for i, part := range parts {
		if len(part) != 3*i {
			return fmt.Errorf("rank %d gathered %q of rank %d", r, part, i)
		}
	}
	if len(parts) != n {
		return fmt.Errorf("%d parts", len(parts))
	}
	return errors.Join(g.Sum(nil), g.Broadcast(nil, 0))
}

func TestGroup(t *testing.T) {
	for size := 1; size <= 4; size++ {
		for rank, err := range onAll(size, everything) {
			if err != nil {
				t.Errorf("rank %d of %d: %v", rank, size, err)
			}
		}
	}
	if err := everything(nil); err != nil {
		t.Errorf("no group: %v", err)
	}
}

// TestGroupLeave: a rank's error reaches all others in their next operation.
func TestGroupLeave(t *testing.T) {
	own := errors.New("the disk is full")
	errs := onAll(3, func(g *Group) error {
		if g.Rank() == 1 {
			return own
		}
		if err := g.Sum(make([]float32, 5)); err != nil {
			return err
		}
		return errors.New("summed without rank 1")
	})
	for rank, err := range errs {
		var peer *PeerError
		switch {
		case rank == 1 && err != own:
			t.Errorf("rank 1 ends with %v", err)
		case rank != 1 && (!errors.As(err, &peer) || peer.Rank != 1 || peer.Code != 3 || peer.Text != "the disk is full"):
			t.Errorf("rank %d ends with %v", rank, err)
		}
	}
}

// TestGroupMixed: ranks that do different things are told so.
func TestGroupMixed(t *testing.T) {
	for rank, err := range onAll(2, func(g *Group) error {
		if g.Rank() == 0 {
			return g.Barrier()
		}
		return g.Sum(make([]float32, 1))
	}) {
		if err == nil || !strings.Contains(err.Error(), "not at the same operation") {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
	for rank, err := range onAll(2, func(g *Group) error { return g.Sum(make([]float32, 2+g.Rank())) }) {
		if rank == 0 && (err == nil || !strings.Contains(err.Error(), "sums 2 numbers, another 3")) {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
}

func TestShare(t *testing.T) {
	var all []int
	for _, g := range InProcess(3) {
		all = append(all, g.Share(7)...)
	}
	if want := []int{0, 3, 6, 1, 4, 2, 5}; !slices.Equal(all, want) {
		t.Errorf("shares %v, want %v", all, want)
	}
}
