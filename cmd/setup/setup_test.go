package setup

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx/ort/packages"
)

const wheelName = "some_thing-1.2-cp312-cp312-manylinux_2_28_x86_64.whl"

// wheel makes a wheel, the package that it is, and the installer of an empty cache.
func wheel(t *testing.T) ([]byte, *packages.Package, *Installer, *[]string) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range map[string]string{"thing/capi/libthing.so.1": "library", "thing/LICENSE": "licence", "thing/x.py": "python", "../evil.so": "evil", "thing/capi/libnvblas.so.1": "blas"} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, text)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	p := &packages.Package{
		Name: "some-thing", Version: "1.2", Folder: "thing-1.2", Libraries: map[string]string{"linux": "libthing.so.1"},
		Files: []string{"thing/capi/*.so*", "thing/LICENSE", "*/*.so"}, Sums: map[packages.Platform]string{packages.LinuxX64: hex.EncodeToString(sum[:])},
	}
	var log []string
	i := &Installer{Platform: packages.LinuxX64, Cache: filepath.Join(t.TempDir(), "cache"),
		Logf: func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) }}
	return b.Bytes(), p, i, &log
}

// installs checks that the package is installed, and nothing else is left.
func installs(t *testing.T, i *Installer, p *packages.Package) {
	t.Helper()
	path, err := i.Install(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "library" || !i.Has(p) {
		t.Errorf("%s: %q, %v", path, text, err)
	}
	holds(t, i.Cache, p.Folder+"/LICENSE", p.Folder+"/evil.so", p.Folder+"/libthing.so.1")
}

// holds checks which files are below a folder.
func holds(t *testing.T, folder string, want ...string) {
	t.Helper()
	var got []string
	filepath.WalkDir(folder, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, _ := filepath.Rel(folder, path)
			got = append(got, filepath.ToSlash(name))
		}
		return nil
	})
	if !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", folder, got, want)
	}
}

// refuses checks that nothing is installed, and why.
func refuses(t *testing.T, i *Installer, p *packages.Package, want string) {
	t.Helper()
	_, err := i.Install(context.Background(), p)
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || i.Has(p) {
		t.Errorf("%v, want %q", err, want)
	}
	holds(t, i.Cache)
}

// index serves a wheel as an index of packages does.
func index(t *testing.T, p *packages.Package, content []byte) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/simple/some-thing/", func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "secret" {
			http.Error(w, "who is it", http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `<!DOCTYPE html><a href="../../files/other.whl#sha256=00">other</a><br>
			<a data-requires-python="&gt;=3.9" href="../../files/%s#sha256=%s">%s</a>`, wheelName, p.Sums[packages.LinuxX64], wheelName)
	})
	mux.HandleFunc("/files/"+wheelName, func(w http.ResponseWriter, _ *http.Request) { w.Write(content) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func TestIndex(t *testing.T) {
	content, p, i, log := wheel(t)
	s := index(t, p, content)
	i.Index = strings.Replace(s.URL, "//", "//me:secret@", 1) + "/simple"
	installs(t, i, p)
	installs(t, i, p)
	text := strings.Join(*log, "\n")
	if strings.Contains(text, "secret") || !strings.Contains(text, "some-thing 1.2 is there already") {
		t.Errorf("log %q", text)
	}

	_, p, i, _ = wheel(t)
	i.Index = s.URL + "/simple/"
	refuses(t, i, p, "401 Unauthorized")
	i.Index = s.URL + "/none"
	refuses(t, i, p, "404 Not Found")
	i.Index = strings.Replace(s.URL, "//", "//me:secret@", 1) + "/simple"
	p.Sums[packages.LinuxX64] = strings.Repeat("1", 64)
	refuses(t, i, p, "no file there has the SHA-256 111")
	i.Platform = packages.WindowsX64
	refuses(t, i, p, "there is none for windows-x64")
	i.Platform, i.Index = packages.LinuxX64, "ftp://x"
	refuses(t, i, p, "https:// or http://")
	var e *Error
	if _, err := i.Install(context.Background(), p); !errors.As(err, &e) || !e.Unavailable() || e.Hint() == "" {
		t.Error(err)
	}
}

// TestIndexLies: what is not the wheel is thrown away, whatever the page says of it.
func TestIndexLies(t *testing.T) {
	_, p, i, _ := wheel(t)
	i.Index = strings.Replace(index(t, p, []byte("not it")).URL, "//", "//me:secret@", 1) + "/simple"
	refuses(t, i, p, "its SHA-256 is")
}

func TestFindLinks(t *testing.T) {
	content, p, i, _ := wheel(t)
	i.FindLinks = t.TempDir()
	refuses(t, i, p, "there is no some_thing-1.2-*.whl")
	if err := os.WriteFile(filepath.Join(i.FindLinks, "some_thing-1.2-py3-none-any.whl"), []byte("other"), 0o666); err != nil {
		t.Fatal(err)
	}
	refuses(t, i, p, "none of some_thing-1.2-*.whl has the SHA-256")
	if err := os.WriteFile(filepath.Join(i.FindLinks, wheelName), content, 0o666); err != nil {
		t.Fatal(err)
	}
	installs(t, i, p)
	p.Libraries["linux"], p.Folder = "libother.so", "other"
	if _, err := i.Install(context.Background(), p); err == nil || !strings.Contains(err.Error(), "the package holds no libother.so") {
		t.Error(err)
	}
}

// TestPip: pip is asked by name, version, checksum and platform; what it leaves is held to the checksum again.
func TestPip(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("scripts of a shell stand in for pip")
	}
	content, p, i, _ := wheel(t)
	folder := t.TempDir()
	t.Setenv("PATH", folder+string(filepath.ListSeparator)+"/usr/bin"+string(filepath.ListSeparator)+"/bin")
	source := filepath.Join(folder, "content")
	script := "#!/bin/sh\n[ \"$3\" = --version ] && exit\necho \"$*\" >" + folder + "/asked\nwhile [ \"$1\" != --dest ]; do [ \"$1\" != --requirement ] || cat \"$2\" >>" + folder + "/asked; shift; done\ncp " + source + " \"$2/" + wheelName + "\"\n"
	if err := errors.Join(os.WriteFile(filepath.Join(folder, "python3"), []byte(script), 0o755), os.WriteFile(source, content, 0o666)); err != nil {
		t.Fatal(err)
	}
	installs(t, i, p)
	asked, err := os.ReadFile(filepath.Join(folder, "asked"))
	for _, want := range []string{"-m pip download", "--require-hashes", "--platform manylinux_2_28_x86_64", "some-thing==1.2 --hash=sha256:" + p.Sums[packages.LinuxX64]} {
		if err != nil || !strings.Contains(string(asked), want) {
			t.Errorf("pip was asked %q, %v, want %q", asked, err, want)
		}
	}

	_, p, i, _ = wheel(t)
	t.Setenv("PIP_INDEX_URL", "")
	t.Setenv("HOME", folder)
	t.Setenv("XDG_CONFIG_HOME", folder)
	if err := os.WriteFile(filepath.Join(folder, "python3"), []byte("#!/bin/sh\n[ \"$3\" = --version ] && exit\necho one; echo no such package >&2; exit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	refuses(t, i, p, "pip: no such package")
}

// TestConfiguredIndex: without pip, its variable and its file name the index.
func TestConfiguredIndex(t *testing.T) {
	home := t.TempDir()
	for _, name := range []string{"PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_CONFIG_FILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", home)
	file := filepath.Join(home, "pip.conf")
	if err := os.WriteFile(file, []byte("[install]\nindex-url = http://no\n[global]\ntimeout = 5\nindex_url=https://mirror/simple\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if got := indexIn(file); got != "https://mirror/simple" {
		t.Errorf("the file names %q", got)
	}
	t.Setenv("PIP_CONFIG_FILE", file)
	if got := configuredIndex(); got != "https://mirror/simple" {
		t.Errorf("the file that is named gives %q", got)
	}
	t.Setenv("PIP_INDEX_URL", "https://first/simple")
	if got := configuredIndex(); got != "https://first/simple" {
		t.Errorf("the variable gives %q", got)
	}
}

// TestTable: all that can be installed has checksums, files and libraries that fit each other.
func TestTable(t *testing.T) {
	list := append([]packages.Package{packages.Runtime, packages.CUDA, packages.StandIn, packages.WebGPU, packages.OpenVINO, packages.OneDNN, packages.MPI, packages.NCCL, packages.NVRTC}, packages.CUDALibraries...)
	folders := map[string]bool{}
	for _, p := range list {
		for on, sum := range p.Sums {
			if b, err := hex.DecodeString(sum); err != nil || len(b) != 32 || p.Library(on) == "" {
				t.Errorf("%s for %s: checksum %q, library %q", p.Name, on, sum, p.Library(on))
			}
		}
		if len(p.Sums) == 0 || len(p.Files) == 0 || p.Folder == "" {
			t.Errorf("%s: %+v", p.Name, p)
		}
		folders[p.Folder] = true
	}
	if len(folders) != 9 { // the libraries of CUDA share one
		t.Errorf("folders %v", folders)
	}
}
