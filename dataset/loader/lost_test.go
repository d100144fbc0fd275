package loader

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLostPictures: a picture that the system does not give is waited for, and is
// never left out as if it were bad; nor is one that could be decoded before.
func TestLostPictures(t *testing.T) {
	pass := func(ctx context.Context, l *Loader, epoch int) (pictures int, err error) {
		for b, err := range l.Epoch(ctx, epoch) {
			if err != nil {
				return pictures, err
			}
			pictures += b.Size
		}
		return pictures, nil
	}
	for _, augment := range []bool{false, true} {
		samples := paintedSamples(t, 6)
		o := Options{Samples: samples, BatchSize: 4, ImageSize: 64, Rect: !augment, Augmentation: Augmentation{Augment: augment}, Reading: Reading{Workers: 2}}
		l, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := pass(t.Context(), l, 0); n != 6 || err != nil {
			t.Fatalf("%d pictures, %v", n, err)
		}
		dir := filepath.Dir(samples[0].Path)
		away := filepath.Join(t.TempDir(), "away")
		move := func(from, to string) {
			if err := os.Rename(from, to); err != nil {
				t.Error(err)
			}
		}

		move(dir, away)
		time.AfterFunc(200*time.Millisecond, func() { move(away, dir) })
		if n, err := pass(t.Context(), l, 1); n != 6 || err != nil {
			t.Errorf("away for a moment: %d pictures, %v", n, err)
		}

		move(dir, away)
		var lost *LostPictureError
		if _, err := pass(t.Context(), l, 2); !errors.As(err, &lost) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir) {
			t.Errorf("away: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		start := time.Now()
		if _, err := pass(ctx, l, 2); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > time.Second {
			t.Errorf("cancelled while waiting: %v after %v", err, time.Since(start))
		}
		cancel()
		move(away, dir)
		if n, err := pass(t.Context(), l, 3); n != 6 || err != nil || len(l.Bad()) > 0 {
			t.Errorf("there again: %d pictures, %v, bad %v", n, err, l.Bad())
		}

		if err := os.WriteFile(samples[2].Path, []byte("something else"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := pass(t.Context(), l, 4); !errors.As(err, &lost) || !strings.Contains(err.Error(), "not a picture") {
			t.Errorf("overwritten: %v", err)
		}
	}
}
