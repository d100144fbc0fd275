package dataset

import "testing"

// TestSingleClass: all objects are of one class, so that none is missing.
func TestSingleClass(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  string
	}{{[]string{"cat", "dog", "cow"}, "item"}, {[]string{"cat"}, "cat"}} {
		s := Set{Names: c.names, Splits: map[string][]Sample{"train": {{Path: "a.jpg", Labels: []Label{{Class: 0}, {Class: len(c.names) - 1}}}}}}
		s.SingleClass()
		labels := s.Splits["train"][0].Labels
		if len(s.Names) != 1 || s.Names[0] != c.want || labels[0].Class != 0 || labels[1].Class != 0 || len(s.Report.NeverSeen["train"]) != 0 {
			t.Errorf("%q became %+v", c.names, s)
		}
	}
}
