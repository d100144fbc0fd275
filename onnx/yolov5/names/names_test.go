package names

import (
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx/testkit/hostile"
)

// The texts are what Python's repr prints for the dicts.
func TestNames(t *testing.T) {
	for text, names := range map[string][]string{
		`{}`:                                {},
		`{0: 'person', 1: 'traffic light'}`: {"person", "traffic light"},
		`{0: "it's", 1: 'say "hi"'}`:        {"it's", `say "hi"`},
		`{0: 'both \' and "'}`:              {`both ' and "`},
		`{0: 'a\\b', 1: 'tab\tnl\ncr\r'}`:   {`a\b`, "tab\tnl\ncr\r"},
		`{0: 'Übergrößenträger', 1: '猫', 2: '😀'}`: {"Übergrößenträger", "猫", "😀"},
		`{0: '\x00\x7f\xa0', 1: '\u200b'}`:        {"\x00\x7f\u00a0", "\u200b"},
	} {
		if got := Format(names); got != text {
			t.Errorf("%q is written %s, want %s", names, got, text)
		}
		if got, err := Parse(text); err != nil || !slices.Equal(got, names) {
			t.Errorf("%s is read %q, %v", text, got, err)
		}
	}
	for text, names := range map[string][]string{
		`['a', "b",]`:              {"a", "b"},
		"{ 1 : 'b',\n 0:'a' , }":   {"a", "b"},
		`{"0": "cat", "1": "dog"}`: {"cat", "dog"}, // JSON, as some exporters write it
		`{0: '\u00e9\U0001F600'}`:  {"é😀"},
		`('a', 'b')`:               {"a", "b"},
		// What PyYAML makes of names such as 0, 1.50, yes, no and ~ where nothing quotes them.
		`{0: 0, 1: 17, 2: -3}`:                  {"0", "17", "-3"},
		`{0: 1.5, 1: True, 2: False, 3: None}`:  {"1.5", "True", "False", "None"},
		`{0: 1e-05, 1: 'off', 2: 3}`:            {"1e-05", "off", "3"},
		`{"0": 1, "1": true, "2": null, "3":2}`: {"1", "true", "null", "2"},
		`[0, 'a', True]`:                        {"0", "a", "True"},
		`{0: 'Дорога', 1: "кот'ик", 2: 'مرور'}`: {"Дорога", "кот'ик", "مرور"},
	} {
		if got, err := Parse(text); err != nil || !slices.Equal(got, names) {
			t.Errorf("%s is read %q, %v", text, got, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "neither { nor [ nor (",
		"person":                "neither { nor [ nor (",
		"{0: 'a'":               "neither a comma nor }",
		"{0: 'a}":               "without its end",
		"{0: a}":                "quoted name is missing",
		"{0: Truely}":           "quoted name is missing",
		"{0: 1 2}":              "neither a comma nor }",
		"{0: 1x}":               "quoted name is missing",
		"{'a'}":                 "class number is missing",
		"{x: 'a'}":              "not a class number",
		"{0: 'a', 0: 'b'}":      "class 0 is there twice",
		"{1: 'a'}":              "none is 0",
		"{-1: 'a'}":             "out of range",
		"{99999999: 'a'}":       "out of range",
		"{0: 'a'} x":            "text after the end",
		`{0: '\q'}`:             "not an escape",
		"{0: __import__('os')}": "quoted name is missing",
	} {
		if got, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{0: 'person', 1: "it's"}`))
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		text := string(data)
		names, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(Format(names))
		if err != nil || !slices.Equal(again, names) {
			t.Errorf("%q is written %s and read %q, %v", names, Format(names), again, err)
		}
	})
}
