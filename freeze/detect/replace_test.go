package detect

import (
	"fmt"
	"testing"
)

func TestReplacements(t *testing.T) {
	names := []string{"car", "taxi", "bus"}
	got, err := Replacements([]string{"taxi=car", "1=bus"}, names)
	if err != nil || fmt.Sprint(got) != "map[1:[0 2]]" {
		t.Errorf("%v, %v", got, err)
	}
	for given, want := range map[string]string{
		"taxi":     "`replaces taxi`: want NEW=OLD, two classes, such as taxi=car",
		"taxi=1":   "`replaces taxi=1`: want NEW=OLD, two classes, such as taxi=car",
		"taxi=cab": "`replaces`: class cab: the model has no such class",
		"3=car":    "`replaces`: class 3: the model has no such class",
	} {
		if _, err := Replacements([]string{given}, names); err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %q", given, err, want)
		}
	}
}
