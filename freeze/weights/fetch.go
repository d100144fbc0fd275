package weights

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/torch"
)

// Releases is the address below which YOLOv5's releases lie: RELEASE/MODEL.pt.
const Releases = "https://github.com/ultralytics/yolov5/releases/download"

// Store is a folder of checkpoints that were fetched, each once.
type Store struct {
	Folder   string                  // such as weights in the cache folder; made where it is not there
	Address  string                  // in the place of Releases, such as a mirror's; "" for Releases
	Offline  bool                    // never ask for what is not there
	Logf     func(string, ...any)    // is told what happens, in lines; nil: nobody
	Progress func(done, total int64) // is told bytes, total 0 where the server does not say; nil: nobody
	Wait     time.Duration           // before the second attempt, doubled before each further one; 0 for a second
}

// Error says why a checkpoint cannot be had.
type Error struct {
	Name   string
	Reason error
	bad    bool // what came, or what was asked for, is at fault, and not the way to it
}

func (e *Error) Error() string { return e.Name + ": " + e.Reason.Error() }

func (e *Error) Unwrap() error { return e.Reason }

// BadInput tells a wrong file from a network that fails.
func (e *Error) BadInput() bool { return e.bad }

// Hint says what to do.
func (e *Error) Hint() string { return "give a file that you have instead" }

// Path is where a checkpoint lies once it is fetched.
func (s *Store) Path(c Checkpoint) string { return filepath.Join(s.Folder, c.Name()+".pt") }

// Has reports whether something lies there. It looks at no content.
func (s *Store) Has(c Checkpoint) bool { return disk.IsFile(s.Path(c)) }

// Get returns the path of a checkpoint, and fetches it where it is not there yet or has another
// checksum than it should. What was fetched takes its name only when its length and its checksum
// are right; where no checksum is known, when it opens as a checkpoint. What a broken connection
// has left stays beside it, and is gone on with at the next call. Errors are *[Error], ctx's or the system's.
func (s *Store) Get(ctx context.Context, c Checkpoint) (string, error) {
	path := s.Path(c)
	err := check(path, c)
	if err == nil {
		return path, nil
	}
	missing := errors.Is(err, os.ErrNotExist)
	switch {
	case s.Offline && missing:
		return "", &Error{c.Name(), fmt.Errorf("not in %s, and nothing is fetched offline", s.Folder), true}
	case s.Offline:
		return "", &Error{c.Name(), fmt.Errorf("%s: %w; nothing is fetched offline", path, err), true}
	case !missing:
		s.logf("%s: %v: it is fetched anew", path, err)
	}
	if err := os.MkdirAll(s.Folder, 0o777); err != nil {
		return "", err
	}
	unlock, err := s.lock(ctx, c)
	if err != nil {
		return "", err
	}
	defer unlock()
	if check(path, c) == nil { // another process was faster
		return path, nil
	}
	if err := s.fetch(ctx, c); err != nil {
		return "", err
	}
	return path, nil
}

// lock waits until no other process fetches the same.
func (s *Store) lock(ctx context.Context, c Checkpoint) (unlock func(), err error) {
	for told := false; ; told = true {
		unlock, err := disk.Lock(s.Path(c) + ".lock")
		var held *disk.Held
		if !errors.As(err, &held) {
			return unlock, err
		}
		if !told {
			s.logf("waiting: process %s fetches %s", held.Process, c.Name())
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (s *Store) fetch(ctx context.Context, c Checkpoint) error {
	address, err := url.JoinPath(s.address(), c.Release, c.Model+".pt")
	if err != nil {
		return &Error{c.Name(), err, true}
	}
	s.logf("fetching %s (licence: its authors', AGPL-3.0 or GPL-3.0) from %s", c.Name(), address)
	d := download{Store: s, c: c, address: address, part: s.Path(c) + ".part"}
	if c.SHA256 == "" { // nothing would tell two versions of it in one file
		s.logf("no checksum of %s is known here: what comes is held to the length that the server says, and must open as a checkpoint", c.Name())
		if err := remove(d.part); err != nil {
			return err
		}
	}
	begun := disk.Exists(d.part)
	if err := d.receiveAll(ctx); err != nil {
		return err
	}
	err = d.settle()
	if err == nil || !begun {
		return err
	}
	s.logf("%v: what an earlier call had left does not fit: all of it is fetched", err) // to what the server has now
	if err := d.receiveAll(ctx); err != nil {
		return err
	}
	return d.settle()
}

func (s *Store) address() string {
	if s.Address != "" {
		return s.Address
	}
	return Releases
}

func (s *Store) logf(format string, args ...any) {
	if s.Logf != nil {
		s.Logf(format, args...)
	}
}

// check holds a file against what is known of a checkpoint.
func check(path string, c Checkpoint) error {
	f, size, err := disk.Open(path, maxBytes)
	if err != nil {
		return err
	}
	defer f.Close()
	if c.SHA256 == "" {
		_, err := torch.Load(path)
		return err
	}
	if size != c.Bytes && c.Bytes > 0 {
		return fmt.Errorf("%d bytes instead of %d", size, c.Bytes)
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != c.SHA256 {
		return fmt.Errorf("its SHA-256 is %s instead of %s", sum, c.SHA256)
	}
	return nil
}

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Folder is the folder of checkpoints in the user's cache folder.
func Folder() (string, error) {
	cache, err := disk.CacheFolder()
	return filepath.Join(cache, "weights"), err
}
