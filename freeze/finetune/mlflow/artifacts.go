package mlflow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"yolofreeze/onnx/disk"
)

// mostArtifact bounds a file that is handed to the server.
const mostArtifact = 64 << 30

// Artifact hands a file to the server, under a name with slashes: through the server
// where that takes files itself, by a copy where it keeps them in a folder that is here, too.
func (r *Run) Artifact(ctx context.Context, name, file string) error {
	fail := func(err error) error {
		if err == nil {
			return nil
		}
		return fmt.Errorf("mlflow: artifact %s: %w", name, err)
	}
	to, err := url.Parse(r.artifacts)
	if err != nil || r.artifacts == "" {
		return fail(errors.New("the server names no place for files"))
	}
	switch to.Scheme {
	case "mlflow-artifacts", "http", "https":
		at, err := r.proxy(to, name)
		if err == nil {
			err = r.put(ctx, at, file)
		}
		return fail(err)
	case "file", "":
		return fail(r.copy(filepath.FromSlash(to.Path), name, file))
	}
	return fail(fmt.Errorf("the server keeps files at %s://, which only it can reach: start it with --serve-artifacts", to.Scheme))
}

// proxy is the address at the server itself for a file of the run. Files go to no other
// host, and passwords neither.
func (r *Run) proxy(to *url.URL, name string) (*url.URL, error) {
	base := *r.client.base
	if to.Host != "" && to.Host != base.Host {
		return nil, fmt.Errorf("the server wants files at %s://%s, not at itself", to.Scheme, oneLine(to.Host))
	}
	if to.Scheme == "mlflow-artifacts" {
		return base.JoinPath("api/2.0/mlflow-artifacts/artifacts", to.Path, name), nil
	}
	base.Path = to.Path
	return base.JoinPath(name), nil
}

func (r *Run) put(ctx context.Context, at *url.URL, file string) error {
	kind := mime.TypeByExtension(path.Ext(at.Path))
	if kind == "" {
		kind = "application/octet-stream"
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	timeout := r.client.timeout + time.Duration(info.Size()>>20)*time.Second
	_, err = r.client.repeat(ctx, timeout, func(ctx context.Context) ([]byte, error) {
		f, size, err := disk.Open(file, mostArtifact)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return r.client.send(ctx, "PUT", at, kind, f, size)
	})
	return err
}

// copy copies a file to the run's folder. The server names it, so nothing is written but
// below a folder of the run's own, and only where it could be this machine's: the server
// is, or has made the folder.
func (r *Run) copy(folder, name, file string) error {
	if !filepath.IsAbs(folder) || !strings.HasSuffix(filepath.ToSlash(folder), "/"+r.ID+"/artifacts") {
		return fmt.Errorf("the server keeps files at %q, which is no folder of this run", oneLine(folder))
	}
	if !disk.IsFolder(folder) && !r.local() {
		return errors.New("the server keeps files in a folder of its own machine: start it with --serve-artifacts")
	}
	to := filepath.Join(folder, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	f, _, err := disk.Open(file, mostArtifact)
	if err != nil {
		return err
	}
	defer f.Close()
	return disk.Replace(to, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
}

// local tells whether the server is this machine.
func (r *Run) local() bool {
	host := r.client.base.Hostname()
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
