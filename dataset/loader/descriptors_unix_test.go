//go:build unix

package loader

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"yolofreeze/dataset"
)

// TestNoDescriptors: too many open files is no fault of pictures or labels.
func TestNoDescriptors(t *testing.T) {
	samples := paintedSamples(t, 3)
	var items []dataset.Item
	for _, s := range samples {
		items = append(items, dataset.Item{Split: "train", Picture: s.Path})
	}
	index := func() error {
		_, err := dataset.Index(dataset.Source{Path: "x", Names: []string{"a"}, Items: items, Read: func(dataset.Item, int, int, *dataset.Recorder) {}}, dataset.ReadOptions{AllowUnfit: true})
		return err
	}
	if err := index(); err != nil {
		t.Fatal(err)
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Skip(err)
	}
	low := old
	low.Cur = 64
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Skip(err)
	}
	var all []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		all = append(all, f)
	}
	err := index()
	for _, f := range all {
		f.Close()
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	var fault *dataset.FaultError
	if !errors.As(err, &fault) || fault.BadInput() || !errors.Is(err, syscall.EMFILE) {
		t.Errorf("error %v", err)
	}
}
