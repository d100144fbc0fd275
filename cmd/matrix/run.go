package matrix

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/freeze/options"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/workers"
)

// cellFile says, in a run's folder, which flags the run was started with.
const cellFile = "compare.json"

// Run trains what is not trained yet and returns the runs' folders. Each
// run is a process of its own, so that its peak memory is its own too. With devices, as many
// runs go at once, each on one of them.
func Run(ctx context.Context, t *term.Terminal, output string, cells []Cell, devices []string) ([]string, error) {
	dirs := make([]string, len(cells))
	next := make(chan int, len(cells))
	for i, cell := range cells {
		dirs[i] = filepath.Join(output, cell.Name)
		next <- i
	}
	close(next)
	if len(devices) == 0 {
		devices = []string{""}
	}
	var failed error
	var mu sync.Mutex
	over := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return failed != nil
	}
	var all sync.WaitGroup
	for _, device := range devices {
		w := worker{t: t, device: device, output: output, several: len(devices) > 1, mu: &mu}
		all.Go(func() {
			for i := range next {
				if over() {
					return
				}
				var err error
				if panicked := workers.Try(func() {
					err = w.run(ctx, cells[i], dirs[i], fmt.Sprintf("run %d/%d %s", i+1, len(cells), cells[i].Name))
				}); panicked != nil {
					err = panicked
				}
				mu.Lock()
				failed = cmp.Or(failed, err) // what else is under way comes to its end
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if failed != nil {
		return nil, failed
	}
	return dirs, nil
}

// worker trains one run after the other, on one device.
type worker struct {
	t       *term.Terminal
	device  string // "": what the cells' flags say
	output  string
	several bool        // workers, whose children's lines are told apart
	mu      *sync.Mutex // for messages
}

// run trains a cell, unless that is done.
func (w *worker) run(ctx context.Context, cell Cell, dir, title string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.device != "" {
		title += " on " + w.device
	}
	args := append([]string{"--project=" + w.output, "--name=" + cell.Name, "--exist-ok"}, cell.Flags...)
	switch weights := filepath.Join(dir, "weights"); {
	case disk.Exists(filepath.Join(dir, "summary.json")):
		w.logf("%s: is done", title)
		return nil
	case disk.Exists(filepath.Join(weights, "last.safetensors")):
		w.logf("%s: goes on where it stopped", title)
		args = append([]string{"--resume-from=" + dir}, cell.deviceFlags()...)
	default:
		w.logf("%s: %s", title, strings.Join(cell.Flags, " "))
		if err := cell.claim(dir); err != nil {
			return err
		}
	}
	if w.device != "" {
		args = append(args, "--device="+w.device)
	}
	messages := w.t.RawErr() // a terminal stays one, and shows bars
	if w.several {
		lines := &labelled{to: w.t.Err, label: cell.Name + ": ", mu: w.mu}
		defer lines.flush()
		messages = lines
	}
	if err := trainChild(ctx, w.t, messages, args); err != nil {
		disclaim(dir)
		return fmt.Errorf("run %s: %w", cell.Name, err)
	}
	return nil
}

func (w *worker) logf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t.Logf(format, args...)
}

// labelled writes whole lines, each behind a label.
type labelled struct {
	to    io.Writer
	label string
	mu    *sync.Mutex
	line  []byte
}

func (l *labelled) Write(p []byte) (int, error) {
	l.line = append(l.line, p...)
	if end := bytes.LastIndexByte(l.line, '\n') + 1; end > 0 {
		l.mu.Lock()
		defer l.mu.Unlock()
		for line := range bytes.Lines(l.line[:end]) {
			l.to.Write(append([]byte(l.label), line...))
		}
		l.line = append(l.line[:0], l.line[end:]...)
	}
	return len(p), nil
}

// flush ends a last line that has no end.
func (l *labelled) flush() {
	if len(l.line) > 0 {
		l.Write([]byte("\n"))
	}
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
func trainChild(ctx context.Context, t *term.Terminal, messages io.Writer, args []string) error {
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
	cmd.Stdout, cmd.Stderr = io.Discard, messages
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
