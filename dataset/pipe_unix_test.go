//go:build unix

package dataset_test

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"yolofreeze/dataset"
	"yolofreeze/dataset/yolo"
)

// TestPipeAsPicture must not hang: it is here because the index opens files.
func TestPipeAsPicture(t *testing.T) {
	file := smallSet(t, pair)
	pipe := filepath.Join(filepath.Dir(file), "images", "train", "pipe.jpg")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Skip(err)
	}
	done := make(chan error, 1)
	go func() {
		set, err := yolo.Open(file, dataset.ReadOptions{})
		if err == nil && set.Report.Corrupt != 1 {
			err = fmt.Errorf("%+v", set.Report)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("reading a pipe blocks")
	}
}
