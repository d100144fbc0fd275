package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/ort"
	_ "yolofreeze/onnx/testkit" // has every rewritten graph checked
)

// programs are what scripts can execute.
var programs = map[string]func(){"yolofreeze": main}

func TestMain(m *testing.M) { testscript.Main(m, programs) }

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: filepath.Join("testdata", "script"), Setup: offerTools, Condition: condition})
}

// probe is a command with flags of every kind; it prints what it was given.
func probe() *cli.Command {
	return &cli.Command{
		Name:      "probe",
		ArgsUsage: "MODEL",
		Flags: []cli.Flag{
			flags.Named("imgsz"), flags.BatchSize(16),
			&cli.StringSliceFlag{Name: "freeze", Value: cli.NewStringSlice("0")},
			&cli.Float64Flag{Name: "lr0", Value: .01},
			&cli.StringFlag{Name: "data"},
			&flags.OptionalText{StringFlag: &cli.StringFlag{Name: "cache", Value: "auto"}, Alone: "ram"},
			&cli.BoolFlag{Name: "rect"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 0, 1); err != nil {
				return err
			}
			if c.Args().First() == "train" {
				return flags.Need(c, "imgsz", "data")
			}
			_, err := fmt.Fprintf(c.App.Writer, "imgsz=%d img=%d batch=%d freeze=%s lr0=%g data=%s cache=%s rect=%t json=%t args=%q",
				c.Int("imgsz"), c.Int("img"), c.Int("batch-size"), strings.Join(c.StringSlice("freeze"), ";"), c.Float64("lr0"),
				c.String("data"), c.String("cache"), c.Bool("rect"), term.Of(c).JSON, c.Args().Slice())
			return err
		},
	}
}

// call runs a line against probe and a group of it.
func call(line ...string) (code int, stdout, stderr string) {
	var out, log bytes.Buffer
	list := []*cli.Command{probe(), {Name: "dataset", Subcommands: []*cli.Command{probe()}}, failing()}
	code = execute(list, append([]string{"yolofreeze"}, line...), strings.NewReader(""), &out, &log)
	return code, out.String(), log.String()
}

func TestFlags(t *testing.T) {
	const standard = `imgsz=640 img=640 batch=16 freeze=0 lr0=0.01 data= cache=auto rect=false json=false args=[]`
	cases := []struct{ line, change string }{
		{"", ""},
		{"--imgsz 320", "imgsz=320 img=320"},
		{"--img 320", "imgsz=320 img=320"},
		{"--img-size=320", "imgsz=320 img=320"},
		{"-img 320", "imgsz=320 img=320"},
		{"--batch 8", "batch=8"},
		{"--batch-size -1", "batch=-1"},
		{"--freeze 0,1,2", "freeze=0;1;2"},
		{"--freeze 0 --freeze 1,!model.9.", "freeze=0;1;!model.9."},
		{"m.pt", `args=["m.pt"]`},
		{"m.pt --json", `json=true args=["m.pt"]`},
		{"m.pt --imgsz 320 --rect", `imgsz=320 img=320 rect=true args=["m.pt"]`},
		{"--rect m.pt --lr0 1e-3", `lr0=0.001 rect=true args=["m.pt"]`},
		{"--rect=false m.pt", `args=["m.pt"]`},
		{"-- --m.pt", `args=["--m.pt"]`},
		{"--data a -- -", `data=a args=["-"]`},
		{"-", `args=["-"]`},
		{"probe", `args=["probe"]`},
		{"--cache", "cache=ram"},
		{"--cache disk m.pt", `cache=disk args=["m.pt"]`},
		{"m.pt --cache --rect", `cache=ram rect=true args=["m.pt"]`},
		{"--cache=disk --imgsz 320", "cache=disk imgsz=320 img=320"},
		{"--data --odd", "data=--odd"},
		{"--freeze 0 1 2", "freeze=0;1;2"},
		{"--freeze 0 1 m.pt --rect", `freeze=0;1 rect=true args=["m.pt"]`},
		{"--freeze 0,1 2 --freeze 3 backbone", "freeze=0;1;2;3;backbone"},
		{"--im 320 --lr 1e-3 --fr 5 --re", "imgsz=320 img=320 lr0=0.001 freeze=5 rect=true"},
		{"--imgsz 320 320", "imgsz=320 img=320"},
		{"--batch_size 8 --da=x", "batch=8 data=x"},
		{"--ca --re", "cache=ram rect=true"},
	}
	for _, group := range [][]string{{"probe"}, {"dataset", "probe"}} {
		for _, c := range cases {
			t.Run(strings.Join(group, " ")+" "+c.line, func(t *testing.T) {
				code, stdout, stderr := call(append(group[:len(group):len(group)], strings.Fields(c.line)...)...)
				want := changed(standard, c.change)
				if code != term.ExitOK || stdout != want || stderr != "" {
					t.Errorf("exit code %d, printed\n%s%s, want\n%s", code, stdout, stderr, want)
				}
			})
		}
	}
}

// changed replaces the fields of standard that change names.
func changed(standard, change string) string {
	fields := strings.Fields(standard)
	for _, f := range strings.Fields(change) {
		name, _, _ := strings.Cut(f, "=")
		for i := range fields {
			if strings.HasPrefix(fields[i], name+"=") {
				fields[i] = f
			}
		}
	}
	return strings.Join(fields, " ")
}

func TestUsageErrors(t *testing.T) {
	cases := []struct{ line, message, hint string }{
		{"prob", `unknown command "prob"`, "did you mean probe?"},
		{"dataset prob --x", `unknown command "dataset prob"`, "did you mean probe?"},
		{"zzzzzzzz", `unknown command "zzzzzzzz"`, "see yolofreeze --help"},
		{"--imgsz 3", "unknown flag --imgsz", "see yolofreeze --help"},
		{"probe --imgz 320", "probe: unknown flag --imgz", "did you mean --imgsz, --img"},
		{"dataset probe --imgz 320", "dataset probe: unknown flag --imgz", "did you mean --imgsz, --img"},
		{"probe --zzzzzzzzzz", "probe: unknown flag --zzzzzzzzzz", "see yolofreeze probe --help"},
		{"probe m.pt --imgz", "unknown flag --imgz", "--imgsz"},
		{"probe --imgsz", "flag needs an argument: -imgsz", "--help"},
		{"probe --data --imgsz 320", "flag needs an argument: -data", "--help"},
		{"probe --imgsz x", `probe: invalid value "x" for flag -imgsz`, "see yolofreeze probe --help"},
		{"probe --rect=maybe", `invalid boolean value "maybe"`, "--help"},
		{"probe --imgsz 1 --img 2", "Cannot use two forms of the same flag", "--help"},
		{"probe train --imgsz 3", "probe: flag --data is missing", "see yolofreeze probe --help"},
		{"probe train --imgsz 3 --data=", "probe: flag --data is missing", "see yolofreeze probe --help"},
		{"probe --freeze 0 ./a b.pt", `probe: unexpected argument "b.pt"`, "usage"},
		{"probe --l 1 --r --im 2 --c x --b 3", "probe: --c is the beginning of --cache, --config", "write out which"},
		{"probe a b", `probe: unexpected argument "b"`, "usage: yolofreeze probe [flags] MODEL"},
	}
	for _, c := range cases {
		t.Run(c.line, func(t *testing.T) {
			code, stdout, stderr := call(strings.Fields(c.line)...)
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			if code != term.ExitUsage || stdout != "" || len(lines) != 2 {
				t.Fatalf("exit code %d, printed %q and %q", code, stdout, stderr)
			}
			if !strings.HasPrefix(lines[0], "yolofreeze: ") || !strings.Contains(lines[0], c.message) {
				t.Errorf("error %q, want %q", lines[0], c.message)
			}
			if !strings.HasPrefix(lines[1], "hint: ") || !strings.Contains(lines[1], c.hint) {
				t.Errorf("hint %q, want %q", lines[1], c.hint)
			}
		})
	}
}

// TestCommands holds what run relies on for every command of the program.
func TestCommands(t *testing.T) {
	var walk func(path []string, list []*cli.Command)
	walk = func(path []string, list []*cli.Command) {
		for _, c := range list {
			path := append(path[:len(path):len(path)], c.Name)
			name := strings.Join(path, " ")
			if c.Usage == "" {
				t.Errorf("%s has no usage line", name)
			}
			for _, f := range c.Flags {
				if r, ok := f.(cli.RequiredFlag); ok && r.IsRequired() {
					t.Errorf("%s: --%s is Required, so the file of --config cannot set it; use needFlags", name, f.Names()[0])
				}
				if d, ok := f.(cli.DocGenerationFlag); !ok || d.GetUsage() == "" {
					t.Errorf("%s: --%s has no usage text", name, f.Names()[0])
				}
			}
			var out, log bytes.Buffer
			if code := run(append(append([]string{"yolofreeze"}, path...), "--help"), nil, &out, &log); code != term.ExitOK || !strings.Contains(out.String(), c.Usage) {
				t.Errorf("%s --help: exit code %d, %s", name, code, log.String())
			}
			walk(path, c.Subcommands)
		}
	}
	walk(nil, commands())
}

// failing fails in the way that its argument names.
func failing() *cli.Command {
	ways := map[string]error{
		"plain":       errors.New("line one\nline two"),
		"input":       fmt.Errorf("reading: %w", term.BadInputf("bad\x1b[31m").Hinted("mend it")),
		"usage":       fmt.Errorf("asking: %w", term.Usagef("misspelt")),
		"unavailable": fmt.Errorf("starting: %w", answer{unavailable: true}),
		"runtime":     fmt.Errorf("starting: %w", &ort.Unavailable{What: "cuda:0", Reason: errors.New("no device")}),
		"nonfinite":   errors.Join(errors.New("also"), answer{nonFinite: true}),
		"said":        term.BadInput(fmt.Errorf("reading: %w", answer{unavailable: true})),
		"asked":       term.BadInput(term.Usagef("misspelt")),
		"unsaid":      term.BadInput(errors.New("torn")),
		"outer":       term.BadInputf("reading: %w", answer{unavailable: true}),
		"fault":       term.BadInputf("reading: %w", &fs.PathError{Op: "open", Path: "a", Err: syscall.EMFILE}),
		"faulty":      term.BadInput(&disk.InputError{Path: "a", Err: syscall.EIO}),
		"missing":     term.BadInput(&fs.PathError{Op: "open", Path: "a", Err: syscall.ENOENT}),
		"silent":      answer{},
	}
	return &cli.Command{Name: "fail", Action: func(c *cli.Context) error {
		switch way := c.Args().First(); way {
		case "panic":
			panic("broken")
		case "SIGINT", "SIGTERM", "SIGHUP":
			signal.Reset(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			return term.Interrupted{By: map[string]os.Signal{"SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM, "SIGHUP": syscall.SIGHUP}[way]}
		default:
			return ways[way]
		}
	}}
}

type answer struct{ nonFinite, unavailable bool }

func (a answer) Error() string     { return "answer" }
func (a answer) NonFinite() bool   { return a.nonFinite }
func (a answer) Unavailable() bool { return a.unavailable }
func (a answer) BadInput() bool    { return false }

func TestExitCodes(t *testing.T) {
	cases := []struct {
		way    string
		code   int
		stderr string
	}{
		{"plain", term.ExitFailure, "yolofreeze: line one; line two\n"},
		{"input", term.ExitBadInput, "yolofreeze: reading: bad\\x1b[31m\nhint: mend it\n"},
		{"usage", term.ExitUsage, "yolofreeze: asking: misspelt\n"},
		{"unavailable", term.ExitUnavailable, "yolofreeze: starting: answer\n"},
		{"runtime", term.ExitUnavailable, "yolofreeze: starting: cuda:0 is not available: no device\n"},
		{"nonfinite", term.ExitNonFinite, "yolofreeze: also; answer\n"},
		{"said", term.ExitUnavailable, "yolofreeze: reading: answer\n"},
		{"asked", term.ExitUsage, "yolofreeze: misspelt\n"},
		{"unsaid", term.ExitBadInput, "yolofreeze: torn\n"},
		{"outer", term.ExitUnavailable, "yolofreeze: reading: answer\n"},
		{"fault", term.ExitFailure, "yolofreeze: reading: open a: too many open files\n"},
		{"faulty", term.ExitFailure, "yolofreeze: a: input/output error\n"},
		{"missing", term.ExitBadInput, "yolofreeze: open a: no such file or directory\n"},
		{"silent", term.ExitFailure, "yolofreeze: answer\n"},
		{"SIGINT", 130, "yolofreeze: interrupted by signal: interrupt\n"},
		{"SIGTERM", 143, "yolofreeze: interrupted by signal: terminated\n"},
		{"SIGHUP", 129, "yolofreeze: interrupted by signal: hangup\n"},
		{"panic", term.ExitFailure, "yolofreeze: internal error: broken (YOLOFREEZE_DEBUG=1 shows where)\n"},
	}
	for _, c := range cases {
		code, stdout, stderr := call("fail", c.way)
		if code != c.code || stdout != "" || stderr != c.stderr {
			t.Errorf("%s: exit code %d, printed %q and %q, want %d and %q", c.way, code, stdout, stderr, c.code, c.stderr)
		}
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

func TestOutputLost(t *testing.T) {
	for _, c := range []struct {
		err    error
		code   int
		stderr string
	}{
		{syscall.EPIPE, term.ExitOK, ""},
		{syscall.ENOSPC, term.ExitFailure, "yolofreeze: writing standard output: no space left on device\n"},
	} {
		var log bytes.Buffer
		code := run([]string{"yolofreeze", "version"}, nil, broken{c.err}, &log)
		if code != c.code || log.String() != c.stderr {
			t.Errorf("%v: exit code %d, %q", c.err, code, log.String())
		}
	}
	if code := run([]string{"yolofreeze", "vers"}, nil, io.Discard, broken{errors.New("gone")}); code != term.ExitUsage {
		t.Errorf("without standard error the exit code is %d", code)
	}
}

// TestOneOutputLayer: only package term writes to users, so that nothing from data gets
// past its quoting.
func TestOneOutputLayer(t *testing.T) {
	writes := regexp.MustCompile(`\bfmt\.(Fp|P)rint|os\.Std(out|err)|io\.WriteString`)
	for _, pattern := range []string{"*.go", "../matrix/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(file, "_test.go") || file == "main.go" || file == "cmd_completion.go" { // which prints scripts
				continue
			}
			if found := writes.Find(text); found != nil {
				t.Errorf("%s writes by %s: use package term", file, found)
			}
		}
	}
}
