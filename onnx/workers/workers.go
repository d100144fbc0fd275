// Package workers runs goroutines that cannot end the program: what panics in one
// comes out where it is waited for.
package workers

import (
	"fmt"
	"os"
	"sync"
)

// Group is a sync.WaitGroup whose Wait panics with the first panic of its goroutines.
// The zero value is ready.
type Group struct {
	wg    sync.WaitGroup
	once  sync.Once
	panic any
}

// Go runs f in a goroutine of its own.
func (g *Group) Go(f func()) {
	g.wg.Go(func() {
		defer func() {
			if p := recovered(recover()); p != nil {
				g.once.Do(func() { g.panic = p })
			}
		}()
		f()
	})
}

// Wait waits for all goroutines.
func (g *Group) Wait() {
	g.wg.Wait()
	if g.panic != nil {
		panic(g.panic)
	}
}

// Try runs f and returns what it panics with as an error.
func Try(f func()) (err error) {
	defer func() {
		if p := recovered(recover()); p != nil {
			err = fmt.Errorf("internal error: %v (YOLOFREEZE_DEBUG=1 shows where)", p)
		}
	}()
	f()
	return nil
}

// recovered lets a panic go on where its place is asked for.
func recovered(p any) any {
	if p != nil && os.Getenv("YOLOFREEZE_DEBUG") != "" {
		panic(p)
	}
	return p
}
