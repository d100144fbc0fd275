// Package hostile holds what a reader may take for a file that was made to hurt it. Only
// tests import it.
package hostile

import (
	"fmt"
	"os"
	"runtime/metrics"
	"strings"
	"testing"
	"time"
)

// What reading one hostile file may take. Memory is all that was allocated on the way.
const (
	MostTime  = time.Second
	MostBytes = 300 << 20
)

// worst are the most time and bytes that an input has taken in this process.
var worst struct {
	took  time.Duration
	bytes uint64
}

// Fuzz fuzzes a reader and holds what each input takes against the limits: memory always,
// time only where YOLOFREEZE_FUZZ_WORST names a file, as scripts/faults.sh --fuzz does. The
// most seconds and MB of all inputs are written there.
func Fuzz(f *testing.F, read func(t *testing.T, data []byte)) {
	f.Helper()
	file := os.Getenv("YOLOFREEZE_FUZZ_WORST")
	f.Fuzz(func(t *testing.T, data []byte) {
		bytes, began := allocated(), spent()
		read(t, data)
		took := spent() - began
		bytes = allocated() - bytes
		if bytes > MostBytes {
			t.Errorf("%d bytes took %d MB, the limit is %d", len(data), bytes>>20, MostBytes>>20)
		}
		if file == "" {
			return
		}
		if took > MostTime {
			t.Errorf("%d bytes took %v, the limit is %v", len(data), took, MostTime)
		}
		if took <= worst.took && bytes <= worst.bytes {
			return
		}
		worst.took, worst.bytes = max(worst.took, took), max(worst.bytes, bytes)
		line := fmt.Sprintf("%.3f %d\n", worst.took.Seconds(), worst.bytes>>20)
		if err := os.WriteFile(file, []byte(line), 0o666); err != nil {
			t.Error(err)
		}
	})
}

// OneLine demands that what a reader says of a hostile file stays on one line.
func OneLine(t testing.TB, err error) {
	t.Helper()
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("an error of several lines: %q", err)
	}
}

// Put writes a file anew. To cut short one that is there makes some file systems wait for the disk.
func Put(t testing.TB, path string, data []byte) {
	t.Helper()
	os.Remove(path)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// allocated is how many bytes the process has taken from its heap since its start.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
