// Package shared finds the folder of real files (weights, photographs,
// recordings), which is not part of the project. Only tests import it.
package shared

import (
	"os"
	"path/filepath"
	"testing"
)

// Root is the folder: $YOLOFREEZE_SHARED, or shared beside the project; "" where it is absent.
func Root() string {
	root := os.Getenv("YOLOFREEZE_SHARED")
	if root == "" {
		dir, err := os.Getwd()
		for err == nil {
			if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
				break
			}
			if filepath.Dir(dir) == dir {
				return ""
			}
			dir = filepath.Dir(dir)
		}
		root = filepath.Join(filepath.Dir(dir), "shared")
	}
	root, err := filepath.Abs(root)
	if err == nil {
		_, err = os.Stat(root)
	}
	if err != nil {
		return ""
	}
	return root
}

// Path names a file or folder in it, or skips the test that needs what is not there.
func Path(t testing.TB, elem ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{Root()}, elem...)...)
	if Root() == "" {
		t.Skipf("the shared folder, and so %s, is absent: YOLOFREEZE_SHARED names it", path)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%v (YOLOFREEZE_SHARED names the shared folder)", err)
	}
	return path
}
