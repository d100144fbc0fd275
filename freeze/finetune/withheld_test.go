package finetune

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/freeze/checkpoint"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/options"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/safetensors"
)

// TestCheckpointRunsNothing resumes a checkpoint whose options name a library that
// leaves a mark as it is loaded.
func TestCheckpointRunsNothing(t *testing.T) {
	o := smallRun(t)
	dir := t.TempDir()
	library, mark := filepath.Join(dir, "helper.so"), filepath.Join(dir, "mark")
	source := filepath.Join(dir, "helper.c")
	code := "#include <stdio.h>\n__attribute__((constructor)) static void leave(void) { FILE *f = fopen(\"" + mark + "\", \"w\"); if (f) fclose(f); }\n"
	if err := os.WriteFile(source, []byte(code), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-o", library, source).CombinedOutput(); err != nil {
		t.Skipf("no C compiler makes a library: %v: %s", err, out)
	}
	marked := func() bool { _, err := os.Stat(mark); return err == nil }

	for name, change := range map[string]func(*options.Options){
		"device " + library:                  func(o *options.Options) { o.Device = library },
		"device " + library + ":0":           func(o *options.Options) { o.Device = library + ":0" },
		"provider-option lib=" + library:     func(o *options.Options) { o.ProviderOptions = []string{"lib=" + library} },
		"provider-option a=1,lib=" + library: func(o *options.Options) { o.ProviderOptions = []string{"a=1", "lib=" + library} },
	} {
		stored := o
		change(&stored)
		run := storedRun(t, stored)
		again := resumed(t, run)
		if _, err := Run(t.Context(), again, &quiet{t: t}); err == nil || !strings.Contains(err.Error(), "it asks for "+name+", which a file may not decide") {
			t.Errorf("%s: error %v", name, err)
		}
		if marked() {
			t.Fatalf("%s: the library was loaded", name)
		}
	}
	for _, device := range []string{"cpu", "cuda:1", "auto", "webgpu", "0"} {
		stored := o
		stored.Device = device
		if again := resumed(t, storedRun(t, stored)); again.Device != device || len(again.Withheld) > 0 {
			t.Errorf("device %s is not kept: %q, %v", device, again.Device, again.Withheld)
		}
	}

	// what the user names is loaded: the mark above could have been there
	if err := ort.Check(ort.Device{Kind: ort.Kind(library), Library: library}, nil); err == nil || !marked() {
		t.Errorf("asked for by name, the library is not loaded: %v", err)
	}
}

// storedRun is the folder of a run that was stopped at its first step.
func storedRun(t *testing.T, o options.Options) string {
	t.Helper()
	m, err := model.Load(o.Weights)
	if err != nil {
		t.Fatal(err)
	}
	f, err := m.File()
	if err != nil {
		t.Fatal(err)
	}
	text, err := o.YAML()
	if err != nil {
		t.Fatal(err)
	}
	info, err := json.Marshal(map[string]string{"options": string(text)})
	if err != nil {
		t.Fatal(err)
	}
	f.Names, f.Metadata["yolofreeze.state"] = nil, string(info)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "weights"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := safetensors.Write(filepath.Join(dir, "weights", checkpoint.LastFile), f); err != nil {
		t.Fatal(err)
	}
	return dir
}
