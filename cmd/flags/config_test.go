package flags

import (
	"testing"

	"yolofreeze/onnx/testkit/hostile"
)

func FuzzParseConfig(f *testing.F) {
	for _, seed := range []string{"a: 1\nb: [x, 'y']\n", "a: &x 1\nb: *x\n", "? a\n: b\n", "a: |\n  text\n", "<<: {a: 1}\n", "{a: 1}", "---\n...\n"} {
		f.Add([]byte(seed))
	}
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		entries, err := parseConfig(data)
		if err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
		for _, e := range entries {
			if !e.list && e.Mapping == nil && len(e.Values) != 1 {
				t.Errorf("%+v", e)
			}
		}
	})
}
