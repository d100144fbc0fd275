package finetune

import (
	"context"

	"yolofreeze/onnx/workers"
)

// heeding returns what f returns, or the cause as soon as the context ends; f then goes on
// unheard, so it must change nothing.
func heeding[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		if failed := workers.Try(func() { r.value, r.err = f() }); failed != nil {
			r.err = failed
		}
		done <- r
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}
