package yolo

import (
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/dataset"
)

func TestConfigErrors(t *testing.T) {
	many := strings.Repeat("- ", 500) + "x"
	for _, c := range []struct{ name, text, want string }{
		{"no names", "train: images/train\n", `data.yaml: key "names" is missing`},
		{"missing folder", "train: images/nowhere\nnames: [a]\n", `key "train": "images/nowhere" is ROOT/images/nowhere: does not exist`},
		{"missing root", "path: elsewhere\ntrain: images/train\nnames: [a]\n", `key "path": ROOT/elsewhere does not exist`},
		{"nc", "train: images/train\nnc: 3\nnames: [a, b]\n", `data.yaml:2: key "nc": 3, but names lists 2`},
		{"gap", "train: images/train\nnames:\n  0: a\n  2: b\n", `line 4: number 2 leaves a gap`},
		{"double number", "train: images/train\nnames:\n  0: a\n  0: b\n", `0`},
		{"double key", "train: images/train\ntrain: images/val\nnames: [a]\n", `train`},
		{"double name", "train: images/train\nnames: [a, a]\n", `"a" is both class 0 and 1`},
		{"empty name", "train: images/train\nnames: [a, '']\n", `element 1 is empty`},
		{"named keys", "train: images/train\nnames: {cat: 0}\n", `"cat": must be a whole number`},
		{"tab", "train: images/train\nnames:\n\t0: a\n", `not valid YAML`},
		{"alias bomb", "a: &a [x, x]\nb: &b [*a, *a]\ntrain: *b\nnames: [a]\n", `key "train": element 0: must be text, not a list`},
		{"alias names", "a: &a [x, x]\ntrain: images/train\nnames: *a\n", `"x" is both class 0 and 1`},
		{"nested", "train: " + strings.Repeat("[", 5000) + "\nnames: [a]\n", `nested too deep`},
		{"nested lists", "train:\n  " + many + "\nnames: [a]\n", `nested too deep`},
		{"a list", "- a\n- b\n", `holds a list`},
		{"empty file", "", `the file is empty`},
		{"picture as list", "train: images/train/a.png\nnames: [a]\n", `must be a folder or a .txt list`},
		{"binary list", "train: images/train/a.txt\nnames: [a]\n", `not a list of pictures`},
		{"empty folder", "train: labels\nnames: [a]\n", `no pictures there`},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := files(t, map[string]any{
				"data.yaml": c.text, "images/train/a.png": picture, "labels/train/a.txt": "0 .5 .5 .2 .2",
				"images/train/a.txt": "\x89PNG\x00",
			})
			_, err := Open(filepath.Join(root, "data.yaml"), dataset.ReadOptions{})
			want := strings.ReplaceAll(c.want, "ROOT", root)
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %v, want one line with %s", err, want)
			}
		})
	}
}
