package lenient

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestNaN: words are found wherever the reader's pieces begin, and texts are let be.
func TestNaN(t *testing.T) {
	const in, want = `{"NaN":NaN,"a\\\"NaN":[-Infinity,Infinity]}`, `{"NaN":"a","a\\\"NaN":["Infinit","nfinit"]}`
	for pad := range 40 {
		space := strings.Repeat(" ", 1<<16-pad)
		got, err := io.ReadAll(&nanReader{r: iotest.HalfReader(strings.NewReader(space + in))})
		if err != nil || string(got) != space+want {
			t.Fatalf("%d before: %s, %v", len(space), got[len(got)-len(want):], err)
		}
	}
}
