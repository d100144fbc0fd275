package finetune

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHeeding: what takes long while nothing is there to save ends with the context, not behind it.
func TestHeeding(t *testing.T) {
	stopped, never := errors.New("stopped"), make(chan int)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)
	if _, err := heeding(ctx, func() (int, error) { return <-never, nil }); !errors.Is(err, stopped) {
		t.Errorf("error %v", err)
	}
	if n, err := heeding(t.Context(), func() (int, error) { return 3, stopped }); n != 3 || !errors.Is(err, stopped) {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := heeding(t.Context(), func() (int, error) { panic("lost") }); err == nil || !strings.Contains(err.Error(), "lost") {
		t.Errorf("a panic is %v", err)
	}
}

// TestStoppedEarly: a run that is stopped before its first epoch says so and leaves no folder.
func TestStoppedEarly(t *testing.T) {
	o := smallRun(t)
	stopped := errors.New("stopped")
	for _, line := range []string{"", "freezing ", "Logging results to "} {
		ctx, cancel := context.WithCancelCause(t.Context())
		if line == "" {
			cancel(stopped)
		}
		q := &quiet{t: t, onLine: func(l string) {
			if strings.HasPrefix(l, line) {
				cancel(stopped)
			}
		}}
		if _, err := Run(ctx, o, q); !errors.Is(err, stopped) {
			t.Errorf("stopped at %q: %v", line, err)
		}
		if _, err := os.Stat(filepath.Join(o.Project, o.Name)); err == nil {
			t.Errorf("stopped at %q: the folder is left", line)
		}
	}
}
