package hostile

import "testing"

// TestCounted: both counts see what an input takes.
func TestCounted(t *testing.T) {
	bytes, began := allocated(), spent()
	sink = make([]byte, 50<<20)
	for i := range sink {
		sink[i] = byte(i * i)
	}
	if got := allocated() - bytes; got < 50<<20 || got > 60<<20 {
		t.Errorf("50 MB are counted as %d bytes", got)
	}
	if spent() <= began {
		t.Error("no time was counted")
	}
}

var sink []byte
