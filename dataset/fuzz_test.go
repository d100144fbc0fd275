package dataset

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"testing"

	"yolofreeze/onnx/testkit/hostile"
)

// FuzzSizes reads lists of picture sizes whose checksum fits.
func FuzzSizes(f *testing.F) {
	f.Add([]byte("\"/a.png\"\t70\t1\t2\t24\t16\tpng\t1\tfalse\n"))
	f.Add([]byte("\"/a\\n.jpg\"\t70\t-1\t2\t0\t99999999999\tjpeg\t9\ttrue\n\"\n"))
	file := filepath.Join(f.TempDir(), "sizes.tsv")
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		hostile.Put(t, file, fmt.Appendf(nil, "%s %x\n%s", sizesMagic, sha256.Sum256(data), data))
		known, err := readSizes(file)
		if err != nil {
			return
		}
		for path, e := range known {
			if e.info.Width < 1 || e.info.Height < 1 {
				t.Errorf("%q: let %+v through", path, e)
			}
		}
	})
}
