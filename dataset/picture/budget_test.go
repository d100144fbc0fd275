package picture

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestDecodeBudget: pictures are decoded at the same time as far as they fit into the budget,
// one that never fits alone.
func TestDecodeBudget(t *testing.T) {
	d := newDecodeBudget(100 * decodeBytes)
	for _, c := range []struct{ pixels, most int64 }{{30, 3}, {50, 2}, {60, 1}, {1000, 1}} {
		var now, most atomic.Int64
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 50 {
					giveBack := d.take(c.pixels)
					n := now.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					now.Add(-1)
					giveBack()
				}
			})
		}
		group.Wait()
		if most.Load() > c.most {
			t.Errorf("%d pictures of %d pixels at once, want %d at most", most.Load(), c.pixels, c.most)
		}
	}
	newDecodeBudget(0).take(5)() // where nothing is free, one at a time
}
