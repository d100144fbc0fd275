// Package standin runs tests on ONNX Runtime's real CUDA provider without a GPU, over
// stand-ins for CUDA's libraries (src, in C): a device's memory is the host's, kernels
// compute nothing, and every call is written down. So it can be seen where nodes run, what is
// launched, copied, allocated, waited for and captured, and what failures are told as;
// neither results nor times can.
package standin

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"yolofreeze/onnx/disk"
)

const traceVariable = "STANDIN_TRACE"

// Rerun runs the test that calls it once more, in a process of its own over the stand-ins,
// and returns what that one called; env are variables for it, such as STANDIN_MEMORY
// (build.sh lists them). In that process it returns nil: the test then goes on with what is
// to be seen. Where the provider was not installed the test is skipped.
func Rerun(t *testing.T, env ...string) Trace {
	t.Helper()
	if os.Getenv(traceVariable) != "" {
		return nil
	}
	library := library(t)
	file := filepath.Join(t.TempDir(), "trace")
	segments := strings.Split(t.Name(), "/")
	for i, s := range segments {
		segments[i] = "^" + regexp.QuoteMeta(s) + "$"
	}
	name := strings.Join(segments, "/")
	cmd := exec.Command(os.Args[0], "-test.run="+name, "-test.v")
	cmd.Env = append(os.Environ(), "ONNXRUNTIME_SHARED_LIBRARY_PATH="+library, traceVariable+"="+file)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("over the stand-ins: %v\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return append(Trace{}, parse(string(text))...)
}

// Mark writes a mark into the trace, for Trace.Between.
func Mark(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(os.Getenv(traceVariable), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = fmt.Fprintln(f, "mark", name)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// library is the path of ONNX Runtime beside the stand-ins, which are compiled where
// their sources have changed.
func library(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("tier stand-in: Linux x64 only")
	}
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		cache = filepath.Join(os.Getenv("HOME"), ".cache")
	}
	cache = filepath.Join(cache, "yolofreeze")
	var provider string
	for _, folder := range append(disk.Glob(cache, "cuda-standin-*"), disk.Glob(cache, "onnxruntime-gpu-*")...) {
		if len(disk.Glob(folder, "libonnxruntime_providers_cuda.so")) > 0 {
			provider = cmp.Or(provider, folder)
		}
	}
	if provider == "" {
		t.Skip("tier stand-in: yolofreeze setup --standin installs the CUDA provider for it")
	}
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("tier stand-in: no C compiler")
	}
	root, err := os.Getwd() // of a test: its package's folder
	if err != nil {
		t.Fatal(err)
	}
	for len(disk.Glob(root, "go.mod")) == 0 && root != filepath.Dir(root) {
		root = filepath.Dir(root)
	}
	here := filepath.Join(root, "onnx", "testkit", "standin")
	sum := sha256.New()
	for _, file := range append(disk.Glob(filepath.Join(here, "src"), "*"), filepath.Join(here, "build.sh")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(text)
	}
	built := filepath.Join(provider, fmt.Sprintf("standin-%.4x", sum.Sum(nil)))
	if _, err := os.Stat(built); err != nil {
		made, err := os.MkdirTemp(provider, ".standin-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(made)
		if out, err := exec.Command("bash", filepath.Join(here, "build.sh"), provider, made).CombinedOutput(); err != nil {
			t.Fatalf("building the stand-ins: %v\n%s", err, out)
		}
		if err := os.Rename(made, built); err != nil && len(disk.Glob(built, "cuda")) == 0 { // another process was quicker
			t.Fatal(err)
		}
	}
	found := disk.Glob(built, "libonnxruntime.so.*")
	if len(found) != 1 {
		t.Fatalf("%s holds %d libraries of ONNX Runtime", built, len(found))
	}
	return found[0]
}
