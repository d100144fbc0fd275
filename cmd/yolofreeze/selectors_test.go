package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/cmd/term"
	"yolofreeze/dataset/synth"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/yolov5"
)

// smallNetwork has five layers: three of backbone, one of neck, the head.
const smallNetwork = `{"nc": 2, "depth_multiple": 1.0, "width_multiple": 1.0, "anchors": [[10, 13, 16, 30]],
	"backbone": [[-1, 1, "Conv", [8, 6, 2, 2]], [-1, 1, "C3", [8]], [-1, 1, "SPPF", [16, 5]]],
	"head": [[-1, 1, "Conv", [8, 3, 2]], [[-1], 1, "Detect", ["nc", "anchors"]]]}`

// smallWeights writes weights of smallNetwork.
func smallWeights(t *testing.T, path string) *model.Model {
	t.Helper()
	table := map[string]any{}
	if err := json.Unmarshal([]byte(smallNetwork), &table); err != nil {
		t.Fatal(err)
	}
	net, err := yolov5.ParseTable(table, 0)
	if err != nil {
		t.Fatal(err)
	}
	state, err := net.Init(1)
	if err != nil {
		t.Fatal(err)
	}
	m := &model.Model{Net: net, State: state, Names: []string{"cup", "fork"}}
	if err := model.Save(path, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// wrong is a command line that must be refused.
type wrong struct {
	flags         string
	code          int
	message, hint string
}

func (c wrong) check(t *testing.T, line ...string) {
	t.Helper()
	line = append([]string{"yolofreeze"}, append(line, strings.Fields(c.flags)...)...)
	var out, log bytes.Buffer
	code := run(line, strings.NewReader(""), &out, &log)
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "yolofreeze: ") })
	switch {
	case code != c.code || out.Len() > 0 || i < 0:
		t.Fatalf("exit code %d, want %d; printed %q and %q", code, c.code, out.String(), log.String())
	case !strings.Contains(lines[i], c.message):
		t.Errorf("error %q, want %q", lines[i], c.message)
	case c.hint == "" && len(lines) == i+1:
	case len(lines) != i+2 || !strings.HasPrefix(lines[i+1], "hint: ") || !strings.Contains(lines[i+1], c.hint) || c.hint == "":
		t.Errorf("after the error %q, want a hint with %q", lines[i+1:], c.hint)
	}
}

// TestWrongSelectors: each wrong selector, policy and plan file has an error of its own.
func TestWrongSelectors(t *testing.T) {
	t.Chdir(t.TempDir())
	smallWeights(t, "small.safetensors")
	files := map[string]string{
		"empty.txt":  "# nothing but a remark\n",
		"nested.txt": "0-1\n@more.txt\n",
		"typo.txt":   "model.0.\nmodel.2.cv9.\n",
		"key.yaml":   "freze: [0-1]\n",
		"bn.yaml":    "freeze: [0-1]\nbn: [eval]\n",
		"rates.yaml": "freeze: [0-1]\nlr_scale: [\"backbone=0.1\"]\n",
		"flow.yaml":  "freeze: [0-1\n",
		"other.yaml": "version: 1\nfreeze: [1]\nbn: [eval]\nlayers: 1\nbackbone: 1\nhead: 0\ntensors:\n" +
			"  - {name: \"model.0.fc.weight\", shape: [8], buffer: false, frozen: true, by: \"1\"}\nbatchnorm:\n",
		"old.yaml": "version: 7\nfreeze: [1]\ntensors:\n",
	}
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []wrong{
		{"--freeze model.1O.", term.ExitBadInput, `selector "model.1O." matches no parameter`, "did you mean model.1"},
		{"--freeze bakbone", term.ExitBadInput, `"bakbone" matches no parameter`, "did you mean backbone"},
		{"--freeze model.2.cv9", term.ExitBadInput, `"model.2.cv9" matches no parameter`, "model.2.cv1"},
		{"--freeze all", term.ExitBadInput, "--freeze all freezes everything: all 29 parameters", "--freeze 4"},
		{"--freeze 5", term.ExitBadInput, "freezes everything", "leave the Detect layer trainable"},
		{"--freeze 6", term.ExitBadInput, "the model has 5 layers, 0 to 4", ""},
		{"--freeze 0-9", term.ExitBadInput, "no layer 9, the model has layers 0 to 4", ""},
		{"--freeze 3-1", term.ExitUsage, "the range runs backwards", "write 1-3"},
		{"--freeze 1-", term.ExitUsage, "not a layer number or range", "write 10 or 0-9"},
		{"--freeze 3,neck", term.ExitUsage, "3 beside other selectors is ambiguous", "write model.3."},
		{"--freeze model.[0", term.ExitUsage, "malformed glob", ""},
		{"--freeze [0,1,2]", term.ExitUsage, "malformed glob", "without brackets, such as 0,1,2"},
		{"--freeze backbone,!head", term.ExitBadInput, `"!head" has no effect`, "exclusions stand after"},
		{"--freeze backbone,!backbone", term.ExitBadInput, "freezes nothing", "see yolofreeze inspect"},
		{"--freeze *.running_mean", term.ExitBadInput, "matches only buffers", "--bn eval"},
		{"--freeze @none.yaml", term.ExitBadInput, "reading selectors from @none.yaml", ""},
		{"--freeze @.", term.ExitBadInput, "not a regular file", ""},
		{"--freeze @empty.txt", term.ExitBadInput, "empty.txt: no selector in this file", ""},
		{"--freeze @nested.txt", term.ExitBadInput, "nested.txt:2: ", ""},
		{"--freeze @typo.txt", term.ExitBadInput, `"model.2.cv9." matches no parameter`, "model.2.cv1"},
		{"--freeze @key.yaml", term.ExitBadInput, `key.yaml: line 1: unknown key "freze"`, "did you mean freeze"},
		{"--freeze @bn.yaml", term.ExitBadInput, "bn.yaml: line 2: bn holds only beside tensors", "give it with --bn"},
		{"--freeze @rates.yaml", term.ExitBadInput, "rates.yaml: line 2: lr_scale holds only beside tensors", "give it with --lr-scale"},
		{"--freeze @flow.yaml", term.ExitBadInput, "flow.yaml: line 1", ""},
		{"--freeze @other.yaml", term.ExitBadInput, "tensor model.0.fc.weight is not in this model", "use selectors for another model"},
		{"--freeze @old.yaml", term.ExitBadInput, "version 7 of plan files is not known", ""},
		{"--freeze 1 --bn evil", term.ExitUsage, `unknown mode "evil"`, "did you mean eval"},
		{"--freeze 1 --bn head=eval", term.ExitBadInput, "--bn head=eval matches no BatchNorm module", ""},
	} {
		t.Run(c.flags, func(t *testing.T) { c.check(t, "freeze", "small.safetensors", "--dry-run") })
	}
}

// TestWrongSchedules: train refuses schedules and rates before it writes anything.
func TestWrongSchedules(t *testing.T) {
	if err := ort.Init(); err != nil {
		t.Skipf("tier ort: %v", err)
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Chdir(t.TempDir())
	smallWeights(t, "small.safetensors")
	if err := synth.Write("shapes", synth.Options{Counts: map[string]int{"train": 2, "val": 1}, Size: 64}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []wrong{
		{"--unfreeze 1-2", term.ExitUsage, "--unfreeze 1-2: no epoch", "write 10:1-2"},
		{"--unfreeze x:1", term.ExitUsage, `"x" is not an epoch from 1 on`, "write 10:6-9,20:all"},
		{"--unfreeze 0:1", term.ExitUsage, `"0" is not an epoch from 1 on`, "write 10:6-9,20:all"},
		{"--unfreeze 1:!1", term.ExitUsage, "an exclusion unfreezes nothing", "stay as they are"},
		{"--unfreeze 1:3", term.ExitBadInput, `"unfreeze 1:3" has no effect`, "after what they are taken from"},
		{"--unfreeze 1:all,2:1", term.ExitBadInput, `"unfreeze 2:1" has no effect`, "after what they are taken from"},
		{"--unfreeze 1:bakbone", term.ExitBadInput, "matches no parameter", "did you mean backbone"},
		{"--unfreeze 1:9", term.ExitBadInput, "no layer 9, the model has layers 0 to 4", ""},
		{"--unfreeze 1:1,3:all", term.ExitUsage, "unfreeze 1:1,3:all: epoch 3 never comes, the run has epochs 0 to 2", ""},
		{"--lr-scale backbone", term.ExitUsage, "--lr-scale backbone: no factor", "write backbone=0.1"},
		{"--lr-scale backbone=0", term.ExitUsage, `"0" is not a positive number`, "use --freeze backbone"},
		{"--lr-scale neck=1,backbone=fast", term.ExitUsage, `"fast" is not a positive number`, "use --freeze backbone"},
		{"--lr-scale !1=2", term.ExitUsage, "an exclusion has no factor", ""},
		{"--lr-scale bakbone=0.1", term.ExitBadInput, "--lr-scale bakbone=0.1 matches no parameter", "did you mean backbone"},
		{"--lr-scale 9=0.1", term.ExitBadInput, "no layer 9", ""},
		{"--lr-decay 0", term.ExitUsage, "lr-decay 0: want more than 0, at most 1", ""},
		{"--lr-decay 1.1", term.ExitUsage, "lr-decay 1.1: want more than 0, at most 1", ""},
		{"--lr-decay slow", term.ExitUsage, `invalid value "slow" for flag -lr-decay`, "see yolofreeze train --help"},
	} {
		t.Run(c.flags, func(t *testing.T) {
			c.check(t, "train", "--weights", "small.safetensors", "--data", filepath.Join("shapes", "data.yaml"), "--freeze", "3",
				"--epochs", "3", "--imgsz", "64", "--batch-size", "1", "--device", "cpu")
		})
	}
	if _, err := os.Stat("runs"); err == nil {
		t.Error("a refused run has made its folder")
	}
}

// TestDryRunTable: a line per tensor of the model in its order, with its shape,
// what becomes of it and by which selector; the plan given back is told alike.
func TestDryRunTable(t *testing.T) {
	t.Chdir(t.TempDir())
	m := smallWeights(t, "small.safetensors")
	selected := []string{"--freeze", "backbone,!model.2.cv2.,model.4.m.0.bias", "--bn", "eval,model.1.*=affine-only"}
	table := command(t, append([]string{"freeze", "small.safetensors", "--dry-run"}, selected...)...)
	lines := strings.Split(table, "\n")
	if got := strings.Fields(lines[0]); !slices.Equal(got, []string{"tensor", "shape", "state", "by"}) {
		t.Errorf("the table's head is %q", got)
	}
	params, err := m.Net.Params()
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range params {
		state, by := expected(p)
		want := strings.TrimSpace(fmt.Sprintf("%s %v %s %s", p.Name, p.Shape, state, by))
		if got := strings.Join(strings.Fields(lines[i+1]), " "); got != want {
			t.Errorf("line %d is %q, want %q", i+1, got, want)
		}
	}
	if rest := strings.Fields(lines[len(params)+1]); len(rest) > 0 {
		t.Errorf("after the table %q", rest)
	}

	command(t, "convert", "small.safetensors", "-o", "art", "--imgsz", "64", "--batch-size", "1")
	command(t, append([]string{"freeze", "art"}, selected...)...)
	plan := "@" + filepath.Join("art", artifact.PlanFile)
	if again := command(t, "freeze", "small.safetensors", "--dry-run", "--freeze", plan); again != table {
		t.Errorf("given back with %s the plan is\n%s\nwas\n%s", plan, again, table)
	}
}

// expected says what TestDryRunTable's selectors do with a tensor.
func expected(p yolov5.Param) (state, by string) {
	in := func(prefix string) bool { return strings.HasPrefix(p.Name, prefix) }
	norm := strings.Contains(p.Name, ".bn.")
	switch {
	case p.Name == "model.4.m.0.bias":
		return "frozen", "model.4.m.0.bias"
	case strings.HasSuffix(p.Name, ".anchors"):
		return "frozen", ""
	case in("model.1.") && norm && p.Kind.Buffer():
		return "frozen", "bn model.1.*=affine-only"
	case in("model.1.") && norm:
		return "trains", "bn model.1.*=affine-only"
	case in("model.2.cv2.") && p.Kind.Buffer():
		return "moves", ""
	case in("model.2.cv2."):
		return "trains", "!model.2.cv2."
	case (in("model.0.") || in("model.2.")) && p.Kind.Buffer():
		return "frozen", "bn eval"
	case in("model.0.") || in("model.1.") || in("model.2."):
		return "frozen", "backbone"
	case p.Kind.Buffer():
		return "moves", ""
	}
	return "trains", ""
}
