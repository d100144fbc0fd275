// Package fetch brings files from servers: whole, with the checksum they should have, or not at all.
package fetch

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
)

// File is what is fetched, and from where to where.
type File struct {
	Name    string             // in messages
	Note    string             // said where the fetching begins, such as a licence; may be ""
	Address string             // http or https
	Path    string             // where it lies in the end; its folder is made where it is not there
	SHA256  string             // "" where it is not known
	Bytes   int64              // its length; 0 where it is not known
	Limit   int64              // the most bytes that are taken where the length is not known
	Opens   func(string) error // judges a file without a known checksum
}

// Client fetches files.
type Client struct {
	Offline  bool                    // never ask for what is not there
	Logf     func(string, ...any)    // is told what happens, in lines; nil: nobody
	Progress func(done, total int64) // is told bytes, total 0 where the server does not say; nil: nobody
	Wait     time.Duration           // before the second attempt, doubled before each further one; 0 for a second
}

// Error says why a file cannot be had.
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

// Get has the file at its path, and fetches it where it is not there yet or has another
// checksum than it should. What was fetched takes its name only when its length and its checksum
// are right; where no checksum is known, when it opens. What a broken connection
// has left stays beside it, and is gone on with at the next call. Errors are *[Error], ctx's or the system's.
func (c *Client) Get(ctx context.Context, f File) error {
	err := f.check(f.Path)
	if err == nil {
		return nil
	}
	missing := errors.Is(err, os.ErrNotExist)
	folder := filepath.Dir(f.Path)
	switch {
	case c.Offline && missing:
		return &Error{f.Name, fmt.Errorf("not in %s, and nothing is fetched offline", folder), true}
	case c.Offline:
		return &Error{f.Name, fmt.Errorf("%s: %w; nothing is fetched offline", f.Path, err), true}
	case !missing:
		c.logf("%s: %v: it is fetched anew", f.Path, err)
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	unlock, err := c.lock(ctx, f)
	if err != nil {
		return err
	}
	defer unlock()
	if f.check(f.Path) == nil { // another process was faster
		return nil
	}
	return c.fetch(ctx, f)
}

// lock waits until no other process fetches the same.
func (c *Client) lock(ctx context.Context, f File) (unlock func(), err error) {
	for told := false; ; told = true {
		unlock, err := disk.Lock(f.Path + ".lock")
		var held *disk.Held
		if !errors.As(err, &held) {
			return unlock, err
		}
		if !told {
			c.logf("waiting: process %s fetches %s", held.Process, f.Name)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (c *Client) fetch(ctx context.Context, f File) error {
	c.logf("fetching %s%s from %s", f.Name, f.Note, f.shown())
	d := download{Client: c, f: f, part: f.Path + ".part"}
	if f.SHA256 == "" { // nothing would tell two versions of it in one file
		c.logf("no checksum of %s is known here: what comes is held to the length that the server says, and must open", f.Name)
		if err := remove(d.part); err != nil {
			return err
		}
	}
	begun := disk.Exists(d.part)
	if err := d.receiveAll(ctx); err != nil {
		return err
	}
	err := d.settle()
	if err == nil || !begun {
		return err
	}
	c.logf("%v: what an earlier call had left does not fit: all of it is fetched", err) // to what the server has now
	if err := d.receiveAll(ctx); err != nil {
		return err
	}
	return d.settle()
}

func (c *Client) logf(format string, args ...any) {
	if c.Logf != nil {
		c.Logf(format, args...)
	}
}

// shown is the address without a password.
func (f *File) shown() string {
	if u, err := url.Parse(f.Address); err == nil {
		return u.Redacted()
	}
	return f.Address
}

// check holds what lies at path against what is known of the file.
func (f *File) check(path string) error {
	if f.SHA256 == "" {
		if _, err := os.Stat(path); err != nil {
			return err
		}
		return f.Opens(path)
	}
	limit := f.Limit
	if f.Bytes > 0 {
		limit = max(limit, f.Bytes)
	}
	r, size, err := disk.Open(path, limit)
	if err != nil {
		return err
	}
	defer r.Close()
	if size != f.Bytes && f.Bytes > 0 {
		return fmt.Errorf("%d bytes instead of %d", size, f.Bytes)
	}
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != f.SHA256 {
		return fmt.Errorf("its SHA-256 is %s instead of %s", sum, f.SHA256)
	}
	return nil
}

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
