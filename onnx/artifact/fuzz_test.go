package artifact

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/onnx/testkit/hostile"
)

// FuzzManifest opens a sound folder with any manifest.
func FuzzManifest(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "art")
	if err := Write(dir, sample(f, 64), false); err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(dir, ManifestFile)
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"format":1,"batch":1,"imgsz":64,"files":{"freeze.yaml":{"size":-1}}}`))
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		hostile.Put(t, path, data)
		_, err := Open(dir)
		if bad := (*Error)(nil); err != nil && (!errors.As(err, &bad) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("not an Error of one line: %q", err)
		}
	})
}
