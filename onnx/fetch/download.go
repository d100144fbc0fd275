package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"yolofreeze/onnx/disk"
)

const (
	attempts = 4                // at a server that fails or a connection that breaks
	idle     = 60 * time.Second // without a byte, after which a connection counts as broken
)

// download is a file on its way into another one beside its place.
type download struct {
	*Client
	f    File
	part string
	tag  string // of what the server sent before, to go on with the same
}

// refused says that asking again would not help.
type refused struct{ error }

func (r *refused) Unwrap() error { return r.error }

func isRefused(err error) bool { return errors.As(err, new(*refused)) }

// passing reports whether another attempt may go well.
func passing(err error) bool {
	var path *os.PathError
	return !isRefused(err) && !errors.As(err, &path)
}

// receiveAll fetches the file into its part, in as many attempts as are allowed.
func (d *download) receiveAll(ctx context.Context) error {
	wait := d.Wait
	if wait == 0 {
		wait = time.Second
	}
	for i := 1; ; i++ {
		err := d.attempt(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case i == attempts || !passing(err):
			if info, err := os.Stat(d.part); err == nil && info.Size() == 0 {
				os.Remove(d.part)
			}
			return &Error{d.f.Name, fmt.Errorf("could not be fetched: %w", err), isRefused(err)}
		}
		d.logf("%s: %v: once more", d.f.Name, err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
			wait *= 2
		}
	}
}

// attempt asks the server once for what is missing of the file.
func (d *download) attempt(ctx context.Context) error {
	f, err := disk.Append(d.part)
	if err != nil {
		return err
	}
	defer f.Close()
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if d.f.Bytes > 0 && have >= d.f.Bytes { // whole, or not what it should be
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	response, err := d.ask(ctx, have)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	total := response.ContentLength
	switch response.StatusCode {
	case http.StatusOK: // from the beginning
		have = 0
	case http.StatusPartialContent:
		var first, last int64
		if _, err := fmt.Sscanf(response.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &total); err != nil || first != have {
			err = fmt.Errorf("the server sends %q where the bytes from %d on were asked for", response.Header.Get("Content-Range"), have)
			return errors.Join(err, f.Truncate(0))
		}
	case http.StatusRequestedRangeNotSatisfiable: // there is not that much
		return errors.Join(fmt.Errorf("the server has no more than %d bytes", have), f.Truncate(0))
	default:
		err := fmt.Errorf("%s answers %s", response.Request.URL.Redacted(), response.Status)
		if response.StatusCode < 500 && response.StatusCode != http.StatusTooManyRequests && response.StatusCode != http.StatusRequestTimeout {
			return &refused{err}
		}
		return err
	}
	if limit := d.limit(); total > limit || d.f.Bytes > 0 && total > 0 && total != d.f.Bytes {
		return &refused{fmt.Errorf("%s has %d bytes, not %d", d.f.shown(), total, limit)}
	}
	if d.tag = response.Header.Get("ETag"); strings.HasPrefix(d.tag, "W/") { // a weak one is of no use here
		d.tag = ""
	}
	if err := errors.Join(f.Truncate(have), seek(f, have)); err != nil {
		return err
	}
	silence := time.AfterFunc(idle, func() { cancel(fmt.Errorf("nothing came for %v", idle)) })
	defer silence.Stop()
	err = d.receive(f, response.Body, have, total, func() { silence.Reset(idle) })
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// limit is the most bytes that are taken.
func (d *download) limit() int64 {
	if d.f.Bytes > 0 {
		return d.f.Bytes
	}
	return d.f.Limit
}

func seek(f *os.File, at int64) error {
	_, err := f.Seek(at, io.SeekStart)
	return err
}

// ask sends the request for the bytes from have on.
func (d *download) ask(ctx context.Context, have int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.f.Address, nil)
	if err != nil {
		return nil, &refused{err}
	}
	request.Header.Set("Accept-Encoding", "identity") // lengths and ranges are the file's
	if have > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		if d.tag != "" {
			request.Header.Set("If-Range", d.tag)
		}
	}
	return Do(request)
}

// receive writes what comes to f and makes it durable; alive is called whenever something comes.
func (d *download) receive(f *os.File, body io.Reader, have, total int64, alive func()) error {
	buffer := make([]byte, 1<<16)
	for {
		n, err := body.Read(buffer)
		alive()
		if have += int64(n); have > d.limit() {
			return &refused{errors.Join(fmt.Errorf("%s has more than %d bytes", d.f.shown(), d.limit()), f.Truncate(0))}
		}
		if _, err := f.Write(buffer[:n]); err != nil {
			return err
		}
		if d.Progress != nil && n > 0 {
			d.Progress(have, max(total, 0))
		}
		switch {
		case err == io.EOF && total > 0 && have < total, err != nil && err != io.EOF:
			return fmt.Errorf("the connection broke after %d of %d bytes: %w", have, total, err)
		case err == io.EOF:
			return f.Sync()
		}
	}
}

// settle checks what was fetched and gives it its name. What is wrong is removed.
func (d *download) settle() error {
	if err := d.f.check(d.part); err != nil {
		return errors.Join(&Error{d.f.Name, fmt.Errorf("what came from %s is thrown away: %w", d.f.shown(), disk.Cause(err)), true}, remove(d.part))
	}
	if err := os.Rename(d.part, d.f.Path); err != nil {
		return err
	}
	disk.Sync(filepath.Dir(d.f.Path))
	return nil
}

// Do sends a request as Client sends its own.
func Do(r *http.Request) (*http.Response, error) {
	r.Header.Set("User-Agent", "yolofreeze")
	return web.Do(r)
}

// web asks as the variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY say, and is not led from
// a safe address to another kind.
var web = &http.Client{
	Transport: transport(),
	CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) >= 10 || via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
			return &refused{fmt.Errorf("led on to %s", r.URL.Redacted())}
		}
		return nil
	},
}

// transport is the standard one, for servers that begin to answer within half a minute.
func transport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = 30 * time.Second
	return t
}
