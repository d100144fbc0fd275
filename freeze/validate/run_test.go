package validate

import (
	"strings"
	"testing"
)

// TestGuarded: what panics while a picture is looked at is the validation's error.
func TestGuarded(t *testing.T) {
	if o := guarded(func() contribution { panic("lost") }); o.err == nil || !strings.Contains(o.err.Error(), "lost") {
		t.Errorf("error %v", o.err)
	}
	if o := guarded(func() contribution { return contribution{err: nil} }); o.err != nil {
		t.Errorf("error %v", o.err)
	}
}
