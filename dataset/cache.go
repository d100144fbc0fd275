package dataset

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"yolofreeze/dataset/picture"
	"yolofreeze/onnx/disk"
)

// sizes remembers picture headers between runs: opening and parsing each
// picture is most of the time of an index. Labels are never remembered, so an
// edited label file or class list cannot go unnoticed. A header counts while
// the picture's path and state are the same.
type sizes struct {
	file  string // "" where nothing is kept
	at    string // where relative paths begin: a run may begin elsewhere
	known map[string]sizeEntry

	mu      sync.Mutex
	current map[string]sizeEntry // of this run
	fresh   bool                 // current has what known has not
}

type sizeEntry struct {
	fileState
	info picture.Info
}

// maxSizesFile bounds the memory that a damaged file can claim.
const maxSizesFile = 1 << 30

// sizesMagic names the layout and the version of the rules that made it.
const sizesMagic = "yolofreeze picture sizes 3"

// openSizes loads what earlier runs found for the data set at path. With an error,
// which says what is wrong with the folder, nothing is kept.
func openSizes(dir, path string) (*sizes, error) {
	s := &sizes{current: map[string]sizeEntry{}}
	if dir == "" {
		return s, nil
	}
	if err := disk.Private(dir); err != nil {
		return s, err
	}
	s.at, _ = os.Getwd()
	key := sha256.Sum256([]byte(s.whole(path)))
	s.file = filepath.Join(dir, hex.EncodeToString(key[:16])+".tsv")
	s.known, _ = readSizes(s.file) // damaged: made anew
	return s, nil
}

// whole is the path whatever folder a run begins in.
func (s *sizes) whole(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.at, path)
}

// probe is Probe with memory. Only sound pictures are remembered.
func (s *sizes) probe(path string, l picture.Limits) (picture.Info, error) {
	if s.file == "" {
		return picture.Probe(path, l)
	}
	key := s.whole(path)
	old, known := s.known[key]
	now, err := old.again(path, known, l)
	if err != nil {
		return now.info, err
	}
	s.mu.Lock()
	s.current[key] = now
	s.fresh = s.fresh || !known || now != old
	s.mu.Unlock()
	return now.info, nil
}

// again is the entry of a picture as it is now: e where that is known and the picture's state
// is the same. A picture in its known state is not even opened: it is no link kept as text,
// since such a one is known by the state of what it leads to.
func (e sizeEntry) again(path string, known bool, l picture.Limits) (sizeEntry, error) {
	l = l.Filled()
	if known {
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && stateOf(st) == e.fileState {
			return e, l.Check(e.info.Width, e.info.Height)
		}
	}
	f, size, err := picture.Open(path, l.MaxBytes)
	if err != nil {
		return sizeEntry{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return sizeEntry{}, err
	}
	now := sizeEntry{fileState: stateOf(st)}
	if known && now.fileState == e.fileState {
		return e, l.Check(e.info.Width, e.info.Height)
	}
	now.info, err = picture.ProbeOpened(f, size, path, l)
	return now, err
}

// save writes the headers of this run. A folder that cannot be written costs
// time in the next run and nothing else.
func (s *sizes) save() {
	if s.file == "" || !s.fresh && len(s.current) == len(s.known) {
		return
	}
	var body bytes.Buffer
	for path, e := range s.current {
		fmt.Fprintf(&body, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%t\n", strconv.Quote(path), e.bytes, e.modified, e.changed,
			e.info.Width, e.info.Height, e.info.Format, e.info.Orientation, e.info.NoEnd)
	}
	sum := sha256.Sum256(body.Bytes())
	_ = disk.Write(s.file, fmt.Appendf(nil, "%s %x\n%s", sizesMagic, sum, body.Bytes()))
}

// readSizes parses a file of save; one that does not match its checksum, or
// holds anything unexpected, is an error.
func readSizes(file string) (map[string]sizeEntry, error) {
	data, err := disk.Read(file, maxSizesFile)
	if err != nil {
		return nil, err
	}
	head, body, _ := bytes.Cut(data, []byte("\n"))
	if want := fmt.Sprintf("%s %x", sizesMagic, sha256.Sum256(body)); string(head) != want {
		return nil, fmt.Errorf("%s: not a list of picture sizes, or damaged", file)
	}
	out := map[string]sizeEntry{}
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, 1<<20)
	for n := 2; lines.Scan(); n++ {
		path, e, err := parseSize(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		out[path] = e
	}
	return out, lines.Err()
}

func parseSize(line string) (path string, e sizeEntry, err error) {
	f := strings.Split(line, "\t")
	if len(f) != 9 {
		return "", e, fmt.Errorf("%d fields, want 9", len(f))
	}
	if path, err = strconv.Unquote(f[0]); err != nil {
		return "", e, fmt.Errorf("path %s: %w", f[0], err)
	}
	var n [6]int64
	for i, at := range [6]int{1, 2, 3, 4, 5, 7} {
		if n[i], err = strconv.ParseInt(f[at], 10, 64); err != nil {
			return "", e, err
		}
	}
	e = sizeEntry{fileState{n[0], n[1], n[2]}, picture.Info{Width: int(n[3]), Height: int(n[4]), Format: f[6], Orientation: int(n[5]), NoEnd: f[8] == "true"}}
	if e.info.Width <= 0 || e.info.Height <= 0 || e.info.Width > 1<<30 || e.info.Height > 1<<30 {
		return "", e, fmt.Errorf("size %dx%d", e.info.Width, e.info.Height)
	}
	return path, e, nil
}
