package picture

import (
	"context"
	"runtime/debug"
	"sync"

	"golang.org/x/sync/semaphore"

	"yolofreeze/onnx/machine"
)

// decodeBytes is what decoding takes for each pixel: the coefficients of a progressive JPEG or
// 16-bit samples, their colours, and a copy that is turned.
const decodeBytes = 16

// decodeBudget is the memory that all decoders of the process share. A picture that needs more
// than all of it is decoded alone.
type decodeBudget struct {
	bytes int64
	free  *semaphore.Weighted
}

// decodeRoom is half of the memory that was free when the first picture was decoded.
var decodeRoom = sync.OnceValue(func() *decodeBudget { return newDecodeBudget(machine.FreeMemory() / 2) })

func newDecodeBudget(bytes int64) *decodeBudget {
	bytes = max(bytes, 1)
	return &decodeBudget{bytes, semaphore.NewWeighted(bytes)}
}

// take waits for room for a picture, and returns what gives it back.
func (d *decodeBudget) take(pixels int64) (giveBack func()) {
	bytes := min(decodeBytes*pixels, d.bytes)
	d.free.Acquire(context.Background(), bytes) // ends: whoever has room decodes and gives it back
	return func() {
		if bytes > d.bytes/8 { // the collector would let as much again pile up
			debug.FreeOSMemory()
		}
		d.free.Release(bytes)
	}
}
