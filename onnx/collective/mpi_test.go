//go:build !windows

package collective

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	os.Setenv(silenceVariable, "1")
	if len(os.Args) == 3 && os.Args[1] == "scenario" { // this program, started again as a rank
		os.Exit(asRank(scenarios[os.Args[2]]))
	}
	os.Exit(m.Run())
}

// asRank is what a program does that is started as a rank.
func asRank(body func(*Group) error) int {
	g, err := Join()
	if err == nil {
		err = g.Close(body(g), 3)
	}
	if err == nil {
		return g.Exit(0)
	}
	if g.Speaks() {
		fmt.Fprintf(os.Stderr, "[%d] %v\n", g.Rank(), err)
	}
	if coded, ok := errors.AsType[interface {
		error
		ExitCode() int
	}](err); ok {
		return g.Exit(coded.ExitCode())
	}
	return g.Exit(3)
}

var scenarios = map[string]func(*Group) error{
	"everything": func(g *Group) error {
		if want := (Local{g.Rank(), g.Size()}); g.Local() != want {
			return fmt.Errorf("%+v on its host, want %+v", g.Local(), want)
		}
		return everything(g)
	},
	"leave": func(g *Group) error {
		if g.Rank() == 1 {
			return errors.New("the disk is full")
		}
		return g.Sum(make([]float32, 1<<20))
	},
	"die":         func(g *Group) error { return forEver(g, syscall.SIGKILL, 1) },
	"halt":        func(g *Group) error { return forEver(g, syscall.SIGSTOP, 1) },
	"root":        func(g *Group) error { return forEver(g, syscall.SIGKILL, 0) },
	"halted root": func(g *Group) error { return forEver(g, syscall.SIGSTOP, 0) },
	"busy": func(g *Group) error { // for longer than a silent rank has
		if g.Rank() == 1 {
			time.Sleep(2 * time.Second)
		}
		return everything(g)
	},
}

// forEver sums until it fails; a rank sends itself a signal on the way.
func forEver(g *Group, signal syscall.Signal, rank int) error {
	for i := 0; ; i++ {
		time.Sleep(20 * time.Millisecond)
		if i == 50 && g.Rank() == rank {
			_ = syscall.Kill(os.Getpid(), signal)
		}
		if err := g.Sum(make([]float32, 100_000)); err != nil {
			return err
		}
	}
}

// needMPI skips a test where the library is not there.
func needMPI(t *testing.T) {
	t.Helper()
	if _, err := FindMPI(); err != nil {
		t.Skipf("tier mpi: %v", err)
	}
}

// start runs a scenario on ranks of their own, and returns the exit code and what was said.
func start(t *testing.T, ranks int, scenario string) (int, string) {
	t.Helper()
	needMPI(t)
	var said bytes.Buffer
	r, err := Start(ranks, &said, &said, os.Args[0], "scenario", scenario)
	if err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, r.Kill)
	code, err := r.Wait()
	if !late.Stop() {
		t.Errorf("the ranks have not ended within a minute")
	}
	if err != nil {
		fmt.Fprintln(&said, err)
	}
	return code, said.String()
}

func TestRanks(t *testing.T) {
	for _, ranks := range []int{2, 3} {
		if code, said := start(t, ranks, "everything"); code != 0 || said != "" {
			t.Errorf("%d ranks: exit code %d: %s", ranks, code, said)
		}
	}
}

// TestRankLeaves: one rank's error ends all, with its exit code.
func TestRankLeaves(t *testing.T) {
	code, said := start(t, 3, "leave")
	if code != 3 || said != "[0] rank 1: the disk is full\n" {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// TestRankLost: a rank that dies, or stands still, is named, once.
func TestRankLost(t *testing.T) {
	t.Parallel()
	for scenario, lost := range map[string]int{"die": 1, "halt": 1, "root": 0, "halted root": 0} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			code, said := start(t, 3, scenario)
			if want := fmt.Sprintf("rank %d (", lost); code != 4 || !strings.Contains(said, want) || strings.Count(said, " is lost: ") != 1 {
				t.Errorf("exit code %d: %s", code, said)
			}
		})
	}
}

// TestRankBusy: a rank that computes for longer than it may be silent is not lost.
func TestRankBusy(t *testing.T) {
	t.Parallel()
	if code, said := start(t, 2, "busy"); code != 0 {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// TestOldMPI: a library that is older than the standard ABI is refused by name.
func TestOldMPI(t *testing.T) {
	compiler, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc to make a library with")
	}
	dir := t.TempDir()
	source, library := filepath.Join(dir, "old.c"), filepath.Join(dir, "libmpi.so")
	text := `#include <string.h>
int MPI_Get_library_version(char *v, int *n) { strcpy(v, "Old MPI v4.1.4, package\nmore"); *n = strlen(v); return 0; }`
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(compiler, "-shared", "-fPIC", "-o", library, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Setenv(mpiVariable, library)
	t.Setenv("PMI_SIZE", "2")
	t.Setenv("PMI_RANK", "1")
	want := "MPI is not available: " + library + ": Old MPI v4.1.4, package, it does not serve MPI 5's standard ABI; " + cureMPI
	if _, err := Join(); err == nil || err.Error() != want {
		t.Errorf("joined with %v, want %s", err, want)
	}
	if _, err := Start(2, nil, nil, "true"); err == nil || err.Error() != want {
		t.Errorf("started with %v, want %s", err, want)
	}
}

func TestLaunched(t *testing.T) {
	for _, l := range launchers {
		for _, name := range []string{l.size, l.rank} {
			t.Setenv(name, "")
		}
	}
	for i, c := range []struct{ env, want string }{
		{"", "0 of 1"},
		{"PMI_SIZE=4 PMI_RANK=3", "3 of 4"},
		{"OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=1", "1 of 2"},
		{"SLURM_STEP_NUM_TASKS=8 SLURM_PROCID=5", "5 of 8"},
		{"SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0", "0 of 1"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			for _, pair := range strings.Fields(c.env) {
				name, value, _ := strings.Cut(pair, "=")
				t.Setenv(name, value)
			}
			rank, size := Launched()
			if got := fmt.Sprintf("%d of %d", rank, size); got != c.want {
				t.Errorf("%s: %s, want %s", c.env, got, c.want)
			}
		})
	}
}

func TestSilence(t *testing.T) {
	for text, ok := range map[string]bool{"": true, "1.5": true, "0": false, "soon": false, "NaN": false} {
		t.Setenv(silenceVariable, text)
		if _, err := Silence(); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
