package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/freeze/options"
	"yolofreeze/onnx/disk"
)

// cellFile says, in a run's folder, which flags the run was started with.
const cellFile = "compare.json"

// Run trains what is not trained yet and returns the runs' folders. Each
// run is a process of its own, so that its peak memory is its own too.
func Run(ctx context.Context, t *term.Terminal, output string, cells []Cell) ([]string, error) {
	dirs := make([]string, len(cells))
	for i, cell := range cells {
		dirs[i] = filepath.Join(output, cell.Name)
	}
	for i, cell := range cells {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		title := fmt.Sprintf("run %d/%d %s", i+1, len(cells), cell.Name)
		args := append([]string{"--project=" + output, "--name=" + cell.Name, "--exist-ok"}, cell.Flags...)
		switch weights := filepath.Join(dirs[i], "weights"); {
		case disk.Exists(filepath.Join(dirs[i], "summary.json")):
			t.Logf("%s: is done", title)
			continue
		case disk.Exists(filepath.Join(weights, "last.safetensors")):
			t.Logf("%s: goes on where it stopped", title)
			args = append([]string{"--resume-from=" + dirs[i]}, cell.deviceFlags()...)
		default:
			t.Logf("%s: %s", title, strings.Join(cell.Flags, " "))
			if err := cell.claim(dirs[i]); err != nil {
				return nil, err
			}
		}
		if err := trainChild(ctx, t, args); err != nil {
			disclaim(dirs[i])
			return nil, fmt.Errorf("run %s: %w", cell.Name, err)
		}
	}
	return dirs, nil
}

// deviceFlags are those that a checkpoint may not decide, and a resumed run is given again.
func (cell Cell) deviceFlags() []string {
	return slices.DeleteFunc(slices.Clone(cell.Flags), func(f string) bool {
		return !strings.HasPrefix(f, "--device=") && !strings.HasPrefix(f, "--provider-option=")
	})
}

// CheckFolder refuses a folder that another run stands in.
func (cell Cell) CheckFolder(dir string) error {
	data, err := disk.Read(filepath.Join(dir, cellFile), 1<<20)
	switch {
	case os.IsNotExist(err) && !disk.Exists(filepath.Join(dir, "results.csv")):
		return nil
	case err != nil:
		return term.BadInputf("%s: holds a run that compare did not start", dir).Hinted("choose another --output")
	}
	var old Cell
	if err := json.Unmarshal(data, &old); err != nil {
		return term.BadInput(fmt.Errorf("%s: %w", filepath.Join(dir, cellFile), err))
	}
	if slices.Equal(old.Flags, cell.Flags) {
		return nil
	}
	only := func(a, b []string) string {
		return strings.Join(slices.DeleteFunc(slices.Clone(a), func(f string) bool { return slices.Contains(b, f) }), " ")
	}
	return term.BadInputf("%s: was started with other flags: then %q, now %q", dir, only(old.Flags, cell.Flags), only(cell.Flags, old.Flags)).
		Hinted("choose another --output, or remove the folder to start this run anew")
}

// claim notes what the folder's run is started with.
func (cell Cell) claim(dir string) error {
	data, err := json.MarshalIndent(cell, "", "  ")
	if err == nil {
		err = disk.Claim(dir, disk.Inputs{})
	}
	if err == nil {
		err = disk.Write(filepath.Join(dir, cellFile), append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("start run %s: %w", cell.Name, err)
	}
	return nil
}

// disclaim gives a folder up in which nothing has begun, since the device, say, cannot
// start: the run may then be asked for with other flags.
func disclaim(dir string) {
	if disk.Untouched(dir, cellFile) {
		os.RemoveAll(dir)
	}
}

// childError is how a training process ended.
type childError struct{ code int }

func (e *childError) Error() string {
	return fmt.Sprintf("train ended with exit code %d; what it said stands above", e.code)
}

func (e *childError) ExitCode() int { return e.code }

// trainChild runs train in a process of its own. When the context ends, the
// child is told, saves its state, and the context's cause is returned.
func trainChild(ctx context.Context, t *term.Terminal, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self)
	if t.Quiet {
		args = append(args, "--quiet")
	}
	cmd.Args = append([]string{os.Args[0], "train"}, args...)
	cmd.Env = withoutFlags(os.Environ())
	cmd.Stdout, cmd.Stderr = io.Discard, t.RawErr() // a terminal stays one, and shows bars
	cmd.Cancel = func() error { return stopChild(cmd.Process, context.Cause(ctx)) }
	cmd.WaitDelay = 10 * time.Minute
	if err := runChild(cmd); err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if cmd.ProcessState == nil {
		return fmt.Errorf("start train: %w", err)
	}
	return &childError{max(cmd.ProcessState.ExitCode(), term.ExitFailure)}
}

// withoutFlags drops the variables that train would take for flags.
func withoutFlags(env []string) []string {
	taken := map[string]bool{}
	for _, f := range flags.Train(options.AllRuns, options.Variant, options.OneRun) {
		taken[flags.EnvironmentName(f)] = true
	}
	return slices.DeleteFunc(env, func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return taken[name] || slices.Contains([]string{"YOLOFREEZE_CONFIG", "YOLOFREEZE_JSON", "YOLOFREEZE_VERBOSE"}, name)
	})
}
