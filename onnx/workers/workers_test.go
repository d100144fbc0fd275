package workers_test

import (
	"strings"
	"testing"

	"yolofreeze/onnx/workers"
)

func TestGroup(t *testing.T) {
	t.Setenv("YOLOFREEZE_DEBUG", "")
	var done [3]bool
	var g workers.Group
	for i := range done {
		g.Go(func() {
			if i == 1 {
				panic("broken")
			}
			done[i] = true
		})
	}
	func() {
		defer func() {
			if p := recover(); p != "broken" {
				t.Errorf("panic %v", p)
			}
		}()
		g.Wait()
	}()
	if done != [3]bool{true, false, true} {
		t.Errorf("done: %v", done)
	}
}

func TestTry(t *testing.T) {
	t.Setenv("YOLOFREEZE_DEBUG", "")
	var none []int
	if err := workers.Try(func() { none[0]++ }); err == nil || !strings.Contains(err.Error(), "internal error: runtime error: index out of range") {
		t.Errorf("error %v", err)
	}
	if err := workers.Try(func() {}); err != nil {
		t.Error(err)
	}
}
