package weights

import (
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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yolofreeze/onnx"
	"yolofreeze/onnx/fetch"
	"yolofreeze/onnx/testkit/shared"
	"yolofreeze/onnx/torch"
)

func TestNamed(t *testing.T) {
	for given, want := range map[string]string{
		"yolov5s": "yolov5s-v7.0", "yolov5x.pt": "yolov5x-v7.0", "yolov5m-v6.0": "yolov5m-v6.0", "yolov5l6-v6.0.pt": "yolov5l6-v6.0", "yolov5n6.pt": "yolov5n6-v7.0",
	} {
		if c, ok := Named(given); !ok || c.Name() != want {
			t.Errorf("%s: %s, %t, want %s", given, c.Name(), ok, want)
		}
	}
	for _, given := range []string{"", "yolov5", "yolov5z.pt", "yolov5s-v5.0", "yolov5s.onnx", "models/yolov5s.pt", "yolov5s-seg.pt"} {
		if c, ok := Named(given); ok {
			t.Errorf("%q is %s", given, c.Name())
		}
	}
	for _, c := range All() {
		if sum, err := hex.DecodeString(c.SHA256); err != nil || len(sum) != 0 && len(sum) != 32 || (c.SHA256 == "") != (c.Bytes == 0) {
			t.Errorf("%s: checksum %q, %d bytes", c.Name(), c.SHA256, c.Bytes)
		}
	}
}

// TestSums holds the table against the files that are at hand.
func TestSums(t *testing.T) {
	for _, name := range []string{"yolov5n-v7.0", "yolov5n-v6.0", "yolov5s-v6.0"} {
		c, _ := Named(name)
		s := Store{Folder: shared.Path(t, "models"), Client: fetch.Client{Offline: true}}
		if _, err := s.Get(context.Background(), c); err != nil {
			t.Error(err)
		}
	}
}

// server serves one checkpoint, and what it does wrong.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	content  []byte
	breaks   []int                                         // after so many bytes of an answer, one answer each
	handle   func(http.ResponseWriter, *http.Request) bool // true: it has answered
	requests []string                                      // their ranges
}

func serve(t *testing.T, content []byte) *server {
	s := &server{content: content}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Header.Get("Range"))
	if s.handle != nil && s.handle(w, r) {
		return
	}
	if r.URL.Path != "/v7.0/yolov5t.pt" {
		http.NotFound(w, r)
		return
	}
	if len(s.breaks) > 0 {
		w = &breaking{w, s.breaks[0]}
		s.breaks = s.breaks[1:]
	}
	http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(s.content))
}

// breaking ends the connection after some bytes.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if len(p) > b.left {
		b.ResponseWriter.Write(p[:b.left])
		b.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	b.left -= len(p)
	return b.ResponseWriter.Write(p)
}

// fixture is a checkpoint, a server of it and an empty store.
func fixture(t *testing.T) (Checkpoint, *server, *Store) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	sum := sha256.Sum256(content)
	c := Checkpoint{"yolov5t", "v7.0", hex.EncodeToString(sum[:]), int64(len(content))}
	s := serve(t, content)
	return c, s, &Store{fetch.Client{Wait: time.Millisecond}, filepath.Join(t.TempDir(), "weights"), s.URL}
}

// holds checks what the store's folder holds.
func holds(t *testing.T, s *Store, want ...string) {
	t.Helper()
	entries, _ := os.ReadDir(s.Folder)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, want) {
		t.Errorf("the folder holds %q, want %q", names, want)
	}
}

func get(t *testing.T, s *Store, c Checkpoint, content []byte) {
	t.Helper()
	path, err := s.Get(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || !bytes.Equal(data, content) {
		t.Errorf("%d bytes, %v, want %d", len(data), err, len(content))
	}
	holds(t, s, "yolov5t-v7.0.pt")
}

// refuses says why the checkpoint is not had.
func refuses(t *testing.T, s *Store, c Checkpoint, bad bool, want string) {
	t.Helper()
	path, err := s.Get(context.Background(), c)
	var e *fetch.Error
	if path != "" && err != nil {
		t.Errorf("a path %q beside an error", path)
	}
	if !errors.As(err, &e) || e.BadInput() != bad || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v (bad input %t), want %q (%t)", err, e != nil && e.BadInput(), want, bad)
	}
}

func TestGet(t *testing.T) {
	c, server, s := fixture(t)
	var done, total int64
	s.Progress = func(d, n int64) { done, total = d, n }
	get(t, s, c, server.content)
	if done != c.Bytes || total != c.Bytes {
		t.Errorf("progress ends at %d of %d", done, total)
	}
	get(t, s, c, server.content) // from the folder
	if len(server.requests) != 1 {
		t.Errorf("requests %q", server.requests)
	}
	s.Offline = true
	get(t, s, c, server.content)

	if err := os.WriteFile(s.Path(c), []byte("spoilt"), 0o666); err != nil {
		t.Fatal(err)
	}
	refuses(t, s, c, true, "6 bytes instead of 320000; nothing is fetched offline")
	s.Offline = false
	get(t, s, c, server.content)
	os.Remove(s.Path(c))
	s.Offline = true
	refuses(t, s, c, true, "nothing is fetched offline")
}

// TestResume: a broken download is gone on with, in the same call and in a later one.
func TestResume(t *testing.T) {
	c, server, s := fixture(t)
	server.breaks = []int{1000, 0, 5000}
	get(t, s, c, server.content)
	if want := []string{"", "bytes=1000-", "bytes=1000-", "bytes=6000-"}; !slices.Equal(server.requests, want) {
		t.Errorf("ranges %q, want %q", server.requests, want)
	}

	c, server, s = fixture(t)
	server.breaks = []int{1000, 1000, 1000, 1000}
	refuses(t, s, c, false, "the connection broke after 4000 of 320000 bytes")
	holds(t, s, "yolov5t-v7.0.pt.part")
	server.requests = nil
	get(t, s, c, server.content)
	if want := []string{"bytes=4000-"}; !slices.Equal(server.requests, want) {
		t.Errorf("ranges %q, want %q", server.requests, want)
	}
}

// TestResumeOther: what is left of something else costs a second download, not the result.
func TestResumeOther(t *testing.T) {
	for name, left := range map[string][]byte{"other": []byte("something else"), "longer": make([]byte, 400000)} {
		c, server, s := fixture(t)
		if err := errors.Join(os.MkdirAll(s.Folder, 0o777), os.WriteFile(s.Path(c)+".part", left, 0o666)); err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { get(t, s, c, server.content) })
	}
	c, server, s := fixture(t)
	server.breaks = []int{1000}
	server.handle = func(w http.ResponseWriter, r *http.Request) bool { // knows no ranges
		r.Header.Del("Range")
		return false
	}
	get(t, s, c, server.content)
}

// TestWrong: what is not the checkpoint is refused, and nothing of it stays.
func TestWrong(t *testing.T) {
	answer := func(code int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(code)
			fmt.Fprint(w, body)
			return true
		}
	}
	c, server, s := fixture(t)
	server.content = bytes.Repeat([]byte("x"), len(server.content))
	refuses(t, s, c, true, "instead of "+c.SHA256)
	holds(t, s)
	for _, k := range []struct {
		code     int
		body     string
		bad      bool
		requests int
		want     string
	}{
		{200, "<html>sign in</html>", true, 1, "has 20 bytes, not 320000"},
		{200, string(make([]byte, 320001)), true, 1, "more than 320000 bytes"}, // its length is not told
		{404, "", true, 1, "404 Not Found"},
		{503, "", false, 4, "503 Service Unavailable"},
	} {
		server.handle, server.requests = answer(k.code, k.body), nil
		refuses(t, s, c, k.bad, k.want)
		holds(t, s)
		if len(server.requests) != k.requests {
			t.Errorf("%d: asked %d times, want %d", k.code, len(server.requests), k.requests)
		}
	}
	server.Close()
	refuses(t, s, c, false, "could not be fetched")
	holds(t, s)
}

// TestUnknownSum: where no checksum is known, what comes must open as a checkpoint.
func TestUnknownSum(t *testing.T) {
	c, server, s := fixture(t)
	c.SHA256, c.Bytes = "", 0
	var log []string
	s.Logf = func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) }
	refuses(t, s, c, true, "not a PyTorch checkpoint")
	holds(t, s)
	if !strings.Contains(strings.Join(log, "\n"), "no checksum of yolov5t-v7.0 is known here") {
		t.Errorf("log %q", log)
	}
	data, err := torch.EncodeState([]torch.NamedTensor{{Name: "model.0.conv.weight", Tensor: onnx.Of([]float32{1}, 1, 1, 1, 1), Parameter: true}})
	if err != nil {
		t.Fatal(err)
	}
	server.content = data
	server.breaks = []int{100}
	get(t, s, c, data)
}

// TestAtOnce: several processes fetch a checkpoint once.
func TestAtOnce(t *testing.T) {
	c, server, s := fixture(t)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			if _, err := s.Get(context.Background(), c); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if len(server.requests) != 1 {
		t.Errorf("requests %q", server.requests)
	}
	holds(t, s, "yolov5t-v7.0.pt")
}

// TestStop: a context that ends ends the download, and what has come stays for the next call.
func TestStop(t *testing.T) {
	c, server, s := fixture(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("stop")
	release := make(chan struct{})
	server.handle = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", fmt.Sprint(c.Bytes))
		w.Write(server.content[:1000])
		w.(http.Flusher).Flush()
		<-release
		return true
	}
	s.Progress = func(int64, int64) { cancel(stop) }
	_, err := s.Get(ctx, c)
	close(release)
	if !errors.Is(err, stop) {
		t.Errorf("%v, want %v", err, stop)
	}
	holds(t, s, "yolov5t-v7.0.pt.part")
}
