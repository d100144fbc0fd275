//go:build linux

package collective

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"
)

// A stand-in for CUDA's runtime, whose device memory is the host's, and one for NCCL, whose ranks
// are threads of this process. A sum is done when the stream has been asked for it a few times.
const (
	standinCUDA = `
int cudaSetDevice(int device) { return device > 1; }
int cudaStreamCreateWithFlags(void **stream, unsigned flags) { *stream = (void *)1; return flags != 1; }
int cudaStreamQuery(void *stream) { static __thread int asked; return ++asked % 5 ? 600 : 0; }
int cudaStreamDestroy(void *stream) { return 0; }
const char *cudaGetErrorString(int code) { return "invalid device ordinal"; }`
	standinNCCL = `
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
typedef struct { char bytes[128]; } id;
typedef struct { int rank, size; } comm;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all = PTHREAD_COND_INITIALIZER;
static float *total;
static int here, turn;
int ncclGetUniqueId(id *i) { strcpy(i->bytes, "of rank 0"); return 0; }
int ncclCommInitRank(void **c, int size, id i, int rank) {
	if (strcmp(i.bytes, "of rank 0")) return 5;
	comm *made = malloc(sizeof *made);
	made->rank = rank, made->size = size;
	*c = made;
	return 0;
}
int ncclAllReduce(const void *from, void *to, size_t n, int type, int op, comm *c, void *stream) {
	if (type != 7 || op != 0 || !stream) return 4;
	pthread_mutex_lock(&lock);
	if (here == 0) total = calloc(n, sizeof *total);
	for (size_t i = 0; i < n; i++) total[i] += ((const float *)from)[i];
	int mine = turn;
	if (++here == c->size) here = 0, turn++, pthread_cond_broadcast(&all);
	while (mine == turn) pthread_cond_wait(&all, &lock);
	memcpy(to, total, n * sizeof *total);
	pthread_mutex_unlock(&lock);
	return 0;
}
int ncclCommGetAsyncError(comm *c, int *state) { *state = 0; return 0; }
int ncclCommDestroy(comm *c) { free(c); return 0; }
int ncclCommAbort(comm *c) { free(c); return 0; }
const char *ncclGetErrorString(int code) { return "invalid argument"; }`
)

// standin builds the stand-ins and has NCCL found there.
func standin(t *testing.T) {
	t.Helper()
	compiler, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc to make stand-ins with")
	}
	dir := t.TempDir()
	build := func(name, source string, more ...string) {
		file := filepath.Join(dir, name+".c")
		if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		args := append([]string{"-shared", "-fPIC", "-pthread", "-Wl,-soname," + name, "-o", filepath.Join(dir, name), file}, more...)
		if out, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	build("libcudart.so.13", standinCUDA)
	build("libnccl.so.2", standinNCCL, "-Wl,--no-as-needed", "-L"+dir, "-l:libcudart.so.13", "-Wl,-rpath,$ORIGIN")
	t.Setenv(ncclVariable, filepath.Join(dir, "libnccl.so.2"))
}

// TestDevices: what lies on devices is summed, and what fails on one rank's fails on all.
func TestDevices(t *testing.T) {
	standin(t)
	for rank, err := range onAll(2, func(g *Group) error {
		d, err := g.OpenDevices(g.Rank())
		if err != nil {
			return err
		}
		defer d.Close()
		for round := range 3 {
			data := []float32{1, float32(g.Rank()), float32(round)}
			if err := d.Sum(unsafe.Pointer(&data[0]), len(data)); err != nil {
				return err
			}
			if data[0] != 2 || data[1] != 1 || data[2] != float32(2*round) {
				return fmt.Errorf("sum %v", data)
			}
		}
		return g.Barrier()
	}) {
		if err != nil {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
	for rank, err := range onAll(2, func(g *Group) error {
		_, err := g.OpenDevices(2 * g.Rank())
		return err
	}) {
		if want := []string{"NCCL does not start on another rank", "ncclCommInitRank: invalid device ordinal"}[rank]; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("rank %d: %v, want %s", rank, err, want)
		}
	}
}

func TestNoNCCL(t *testing.T) {
	t.Setenv(ncclVariable, "nowhere.so")
	for rank, err := range onAll(2, func(g *Group) error {
		_, err := g.OpenDevices(0)
		return err
	}) {
		if want := "NCCL is not available: nowhere.so: no such file; correct or unset " + ncclVariable; err == nil || err.Error() != want {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
}
