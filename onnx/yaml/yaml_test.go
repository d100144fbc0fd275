package yaml

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"yolofreeze/onnx/testkit/hostile"
)

func TestParse(t *testing.T) {
	n, err := Parse([]byte("\ufeffnames: {0: no, 1: 1.50}\nbase: &b {x: 1, y: 2}\nown: {<<: *b, y: 3}\nsame: *b\nlist:\n- 1e-3\n- ~\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := n.Get("names").Pairs[1].Value.Text + n.Get("names").Get("0").Text; got != "1.50no" {
		t.Errorf("names are not as written: %q", got)
	}
	want := "map[base:map[x:1 y:2] list:[0.001 <nil>] names:map[0:no 1:1.5] own:map[x:1 y:3] same:map[x:1 y:2]]"
	if got := fmt.Sprint(n.Value()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if n, err := Parse([]byte("# nothing\n")); err != nil || n.Kind != Null {
		t.Errorf("an empty document: %v, %v", n, err)
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1\nb: [1\n":      "line 2: not valid YAML",
		"a: 1\nb: 2\na: 3\n": `line 3: key "a" is also on line 1`,
		"a: 1\n\tb: 2\n":     "line 2: not valid YAML",
		"a: 1\n---\nb: 2\n":  "a second document",
		"a: &a [*a]\n":       "within what it names",
		"? [a]\n: 1\n":       "line 1: a key that is a list or a map",
		"<<: 3\n":            "<< merges maps",
		"a: *b\n":            "line 1: not valid YAML",
		"a: \xff\n":          "line 1: not valid YAML",
		"{" + strings.Repeat("a: {", 80) + strings.Repeat("}", 81): "nested too deep",
	} {
		_, err := Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40q: got %v, want %q", text, err, want)
		}
	}
}

func TestDecode(t *testing.T) {
	type hyp struct {
		LR float64 `yaml:"lr0"`
	}
	type options struct {
		Name  string   `yaml:"name"`
		List  []string `yaml:"list,flow"`
		Many  int      `yaml:"many"`
		Seed  uint64   `yaml:"seed"`
		On    bool     `yaml:"on"`
		Hyp   hyp      `yaml:"hyp"`
		Other string   `yaml:"-"`
	}
	want := options{"010", []string{"1", "a b", "#"}, -3, 1<<64 - 1, true, hyp{1e-3}, ""}
	text, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	var got options
	if err := Decode(text, &got); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s reads as %+v, %v", text, got, err)
	}
	for text, want := range map[string]string{
		"nome: a\n":           `line 1: unknown field "nome"`,
		"hyp:\n  lr0: fast\n": `line 2: key lr0: want a number, not "fast"`,
		"hyp: 3\n":            "line 1: key hyp: want a map of keys to values, not a single value",
		"many: 1.5\n":         "line 1: key many: want a whole number",
		"on: 1\n":             "line 1: key on: want true or false",
		"list: a\n":           "line 1: key list: want a list, not a single value",
		"name: [a]\n":         "line 1: key name: want a text, not a list",
		"- 1\n":               "line 1: want a map",
	} {
		if err := Decode([]byte(text), &got); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	many := map[string]float64{}
	if err := Decode([]byte("a: 1\nb: .inf\nc: 2e-3\n"), &many); err != nil || fmt.Sprint(many) != "map[a:1 b:+Inf c:0.002]" {
		t.Errorf("%v, %v", many, err)
	}
}

// bombs are texts of at most MaxBytes that a reader could take for ever, or all memory, over.
func bombs() map[string]string {
	fill := func(s string) string { return strings.Repeat(s, MaxBytes/len(s)) }
	levels := func(first, each string) string {
		text := first
		for i := 1; i < 30; i++ {
			text += strings.NewReplacer("NEW", fmt.Sprint("n", i), "OLD", fmt.Sprint("n", i-1)).Replace(each)
		}
		return text
	}
	keys := &strings.Builder{}
	for i := 0; keys.Len() < MaxBytes-20; i++ {
		fmt.Fprintf(keys, "k%d: %d\n", i, i)
	}
	return map[string]string{
		"aliases":                 levels("n0: &n0 [x, x]\n", "NEW: &NEW [*OLD, *OLD, *OLD, *OLD]\n"),
		"merges":                  levels("n0: &n0 {a: 1}\n", "NEW: &NEW {<<: [*OLD, *OLD, *OLD, *OLD], bNEW: 1}\n"),
		"one merge over and over": "a: &a {" + strings.Repeat("", 0) + manyKeys(4000) + "}\n" + strings.Repeat("- {<<: *a}\n", 1000),
		"merged lists":            "- &a {" + manyKeys(4000) + "}\n" + strings.Repeat("- {<<: *a}\n", 4000),
		"keys":                    keys.String(),
		"open lists":              fill("["), "open maps": fill("{a: "), "in lists": fill("- "), "questions": fill("? "),
		"one line": "[" + fill("1,")[:MaxBytes-2] + "]", "empties": "[" + fill("[],")[:MaxBytes-2] + "]",
		"tags": fill("! "), "anchors": fill("- &a b\n"), "documents": fill("---\n"), "colons": fill(": "), "quotes": fill(`"a" `),
		"long": "a: " + fill("x")[3:], "number": "a: " + fill("9")[3:], "escapes": `a: "` + fill(`\u0041`)[:MaxBytes-6] + `"`,
		"lines": fill("- a\n"), "directives": fill("%a\n"), "blanks": fill(" "), "indents": fill("a:\n  b:\n"),
	}
}

func manyKeys(n int) string {
	b := &strings.Builder{}
	for i := range n {
		fmt.Fprintf(b, "k%d: 1, ", i)
	}
	return b.String()
}

// TestBombs: whatever a document says, an answer comes within memory that any machine has. The
// time is bounded by memory and by what is counted; the limit here only tells a second from hours.
func TestBombs(t *testing.T) {
	for name, text := range bombs() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		n, err := Parse([]byte(text))
		if err == nil {
			n.Value()
		}
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if megabytes := (after.TotalAlloc - before.TotalAlloc) >> 20; megabytes > 300 || took > 20*time.Second {
			t.Errorf("%s: %d MB, %v", name, megabytes, took)
		}
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

// FuzzParse: any bytes give a tree or a one-line error.
func FuzzParse(f *testing.F) {
	for _, text := range bombs() {
		f.Add([]byte(text[:min(len(text), 300)]))
	}
	f.Add([]byte("a: &a {b: 1}\nc: {<<: *a}\nd: |\n  x\n"))
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		n, err := Parse(data)
		if err == nil {
			n.Value()
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("an error of several lines: %q", err)
		}
	})
}
