package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/cmd/term"
)

func TestConfig(t *testing.T) {
	const standard = `imgsz=640 img=640 batch=16 freeze=0 lr0=0.01 data= cache=auto rect=false json=false args=[]`
	cases := []struct{ name, file, env, line, change string }{
		{"empty", "", "", "", ""},
		{"comments", "# nothing\n", "", "", ""},
		{"scalars", "imgsz: 320\nlr0: 1e-3\ndata: \"a b.yaml\"\nrect: true\njson: true\n", "", "", `imgsz=320 img=320 lr0=0.001 rect=true json=true`},
		{"one", "imgsz: 320", "", "", "imgsz=320 img=320"},
		{"byte order mark", "\ufeffimgsz: 320\n", "", "", "imgsz=320 img=320"},
		{"UTF-16", "\xff\xfei\x00m\x00g\x00:\x00 \x001\x00", "", "", "imgsz=1 img=1"},
		{"alias", "img: 320\nbatch: 8\n", "", "", "imgsz=320 img=320 batch=8"},
		{"underscore", "batch_size: 8\n", "", "", "batch=8"},
		{"list", "freeze: [0, 1, \"!model.9.\"]\n", "", "", "freeze=0;1;!model.9."},
		{"block list", "freeze:\n  - backbone\n  - '!9'\n", "", "", "freeze=backbone;!9"},
		{"scalar for a list", "freeze: 10\n", "", "", "freeze=10"},
		{"env over file", "imgsz: 320\nfreeze: 3\n", "IMGSZ=160", "", "imgsz=160 img=160 freeze=3"},
		{"env list over file", "freeze: 3\n", "FREEZE=1,2", "", "freeze=1;2"},
		{"flag over env", "imgsz: 320\n", "IMGSZ=160", "--img 96", "imgsz=96 img=96"},
		{"flag over file", "freeze: [3]\nrect: true\n", "", "--freeze 1 --rect=false", "freeze=1"},
		{"env alone", "", "BATCH_SIZE=4", "", "batch=4"},
		{"env bool", "", "RECT=true", "", "rect=true"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "c.yaml")
			if err := os.WriteFile(file, []byte(c.file), 0o644); err != nil {
				t.Fatal(err)
			}
			if name, value, ok := strings.Cut(c.env, "="); ok {
				t.Setenv("YOLOFREEZE_"+name, value)
			}
			want := changed(standard, c.change)
			if c.name == "scalars" {
				want = strings.Replace(want, "data=", "data=a b.yaml", 1)
			}
			for _, how := range []string{"flag", "environment"} {
				line := append([]string{"probe"}, strings.Fields(c.line)...)
				if how == "flag" {
					line = append(line, "--config", file)
				} else {
					t.Setenv("YOLOFREEZE_CONFIG", file)
				}
				code, stdout, stderr := call(line...)
				if code != term.ExitOK || stdout != want {
					t.Errorf("--config from %s: exit code %d, printed\n%s%s, want\n%s", how, code, stdout, stderr, want)
				}
			}
		})
	}
}

func TestConfigErrors(t *testing.T) {
	cases := []struct{ name, file, message, hint string }{
		{"unknown", "imgsz: 320\nepohcs: 3\nimgz: 3\n", `c.yaml:2: unknown key "epohcs": probe has no such flag`, "see yolofreeze probe --help"},
		{"near", "# sizes\n\nimgz: 320\n", `c.yaml:3: unknown key "imgz"`, "did you mean imgsz, img"},
		{"value", "lr0: 1\nimgsz: big\n", `c.yaml:2: key imgsz: value "big" does not fit --imgsz`, ""},
		{"bool", "rect: yes\n", `c.yaml:1: key rect: value "yes" does not fit --rect`, ""},
		{"list", "lr0: [.1, .2]\n", "c.yaml:1: key lr0: a list where --lr0 takes one value", ""},
		{"null", "imgsz:\n", "line 1: key imgsz: no value", ""},
		{"mapping", "imgsz: {a: 1}\n", "c.yaml:1: key imgsz: a map where --imgsz takes a value", ""},
		{"deep list", "freeze: [[1]]\n", "line 1: key freeze: neither a scalar", ""},
		{"not a mapping", "- a\n", "line 1: not one mapping", ""},
		{"scalar", "imgsz\n", "not one mapping", ""},
		{"documents", "imgsz: 1\n---\nimgsz: 2\n", "line 2: a second document", ""},
		{"twice", "imgsz: 1\nimg: 2\n", "c.yaml:2: key img: flag --imgsz is already set on line 1", ""},
		{"twice the key", "imgsz: 1\nimgsz: 2\n", "imgsz", ""},
		{"syntax", "imgsz: [1\n", "reading configuration ", ""},
		{"tab", "imgsz: 1\n\tlr0: 2\n", "line 2", ""},
		{"itself", "config: other.yaml\n", "a configuration cannot name another", ""},
		{"anchor", "imgsz: &a 1\nimg: *a\n", "anchor", ""},
		{"bytes", "\x00\xff\xfe", "c.yaml", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "c.yaml")
			if err := os.WriteFile(file, []byte(c.file), 0o644); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := call("probe", "--config", file)
			line, hint, _ := strings.Cut(stderr, "\n")
			if code != term.ExitBadInput || stdout != "" || !strings.Contains(line, c.message) || !strings.Contains(line, file) {
				t.Errorf("exit code %d, printed %q, want %q of %s", code, stdout+stderr, c.message, file)
			}
			if !strings.Contains(hint, c.hint) {
				t.Errorf("hint %q, want %q", hint, c.hint)
			}
		})
	}
	for _, file := range []string{"/no/such/file.yaml", t.TempDir(), "/dev/zero"} {
		if code, _, stderr := call("probe", "--config", file); code != term.ExitBadInput || !strings.Contains(stderr, file) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d, %q", file, code, stderr)
		}
	}
	t.Setenv("YOLOFREEZE_IMGSZ", "big")
	if code, _, stderr := call("probe"); code != term.ExitUsage || !strings.Contains(stderr, "YOLOFREEZE_IMGSZ") || !strings.Contains(stderr, "big") {
		t.Errorf("a bad variable: exit code %d, %q", code, stderr)
	}
}
