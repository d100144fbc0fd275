package matrix

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"yolofreeze/onnx/yaml"
)

func someCells(n int) (cells []Cell) {
	for i := range n {
		cells = append(cells, Cell{Name: fmt.Sprint(i)})
	}
	return cells
}

func TestShare(t *testing.T) {
	for _, c := range []struct{ env, cell, want string }{
		{"", "1/1", "0 1 2 3 4"},
		{"", "1/2", "0 2 4"},
		{"", "2/2", "1 3"},
		{"", "7/7", ""},
		{"", "0/2", "--cell 0/2: want K/N"},
		{"", "3/2", "--cell 3/2: want K/N"},
		{"", "2", "--cell 2: want K/N"},
		{"", "auto", "neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set"},
		{"SLURM_ARRAY_TASK_ID=1", "auto", "0"},
		{"SLURM_ARRAY_TASK_ID=5", "auto", "4"},
		{"SLURM_ARRAY_TASK_ID=0", "auto", "have the numbers 1 to 5"},
		{"JOB_COMPLETION_INDEX=0", "auto", "0"},
		{"JOB_COMPLETION_INDEX=5", "auto", "have the numbers 0 to 4"},
	} {
		t.Run(c.env+" "+c.cell, func(t *testing.T) {
			if name, value, ok := strings.Cut(c.env, "="); ok {
				t.Setenv(name, value)
			}
			cells, err := Share(someCells(5), c.cell)
			var names []string
			for _, cell := range cells {
				names = append(names, cell.Name)
			}
			if got := strings.Join(names, " "); err == nil && got != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// TestEmit: a shell and a reader of YAML find the command word by word in what is printed.
func TestEmit(t *testing.T) {
	command := []string{"printf", "%s\n", "it's", `a "b" $HOME`, "", "ä", "--freeze=0-9,!3"}
	want := "it's\na \"b\" $HOME\n\nä\n--freeze=0-9,!3\n--cell=auto\n"
	text, err := Emit("slurm", 4, t.TempDir(), command)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "\n#SBATCH --array=1-4\n") {
		t.Errorf("no array of four:\n%s", text)
	}
	if bash, err := exec.LookPath("bash"); err == nil {
		if out, err := exec.Command(bash, "-c", text).CombinedOutput(); err != nil || string(out) != want {
			t.Errorf("ran %q, %v, want %q", out, err, want)
		}
	}
	if text, err = Emit("kubernetes", 4, "", command); err != nil {
		t.Fatal(err)
	}
	var raw any
	if err := yaml.Decode([]byte(text), &raw); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	spec := raw.(map[string]any)["spec"].(map[string]any)
	if spec["completionMode"] != "Indexed" || fmt.Sprint(spec["completions"], spec["parallelism"]) != "4 4" {
		t.Errorf("spec %v", spec)
	}
	pod := spec["template"].(map[string]any)["spec"].(map[string]any)
	words := pod["containers"].([]any)[0].(map[string]any)["command"].([]any)
	if got, want := fmt.Sprintf("%q", words), fmt.Sprintf("%q", append(command, "--cell=auto")); got != want {
		t.Errorf("command %s, want %s", got, want)
	}
	if _, err := Emit("cron", 1, "", nil); err == nil || !strings.Contains(err.Error(), "want slurm or kubernetes") {
		t.Errorf("error %v", err)
	}
}
