// Package setup installs ONNX Runtime, its providers and what they need, from the packages in which
// they are published. It knows no registry's address: it asks through clients of package
// registries, the index that its user has told pip of, or a folder of wheels.
package setup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/fetch"
	"yolofreeze/onnx/ort/packages"
)

// Installer installs packages for one platform.
type Installer struct {
	Platform  packages.Platform
	Cache     string // folder in which each package has its own
	FindLinks string // a folder of wheels, in the place of all else; "": none
	Index     string // address of an index of Python packages, in the place of all clients; "": none
	Logf      func(string, ...any)
	Progress  func(name string) (progress func(done, total int64), finish func()) // of a download; nil: nobody
}

// Error says why a package is not installed.
type Error struct {
	Name   string
	Reason error
	Advice string
}

func (e *Error) Error() string { return e.Name + ": " + e.Reason.Error() }
func (e *Error) Unwrap() error { return e.Reason }

// Unavailable has programs end as they do where the runtime is missing.
func (e *Error) Unavailable() bool { return true }

// Hint says what to do.
func (e *Error) Hint() string { return e.Advice }

const advice = "install pip or npm, name an index as pip's --index-url does, or a folder of wheels by --find-links; " +
	"a library that you have is named by ONNXRUNTIME_SHARED_LIBRARY_PATH"

// Has reports whether a package is in its folder of the cache.
func (i *Installer) Has(p *packages.Package) bool {
	library := p.Library(i.Platform)
	return library != "" && there(filepath.Join(i.folder(p), library))
}

func (i *Installer) folder(p *packages.Package) string {
	return filepath.Join(i.Cache, filepath.FromSlash(p.Folder))
}

// Install puts a package into its folder of the cache, unless it is there, and returns the path of its library.
func (i *Installer) Install(ctx context.Context, p *packages.Package) (string, error) {
	return i.InstallIn(ctx, p, i.folder(p))
}

// InstallIn puts a package into a folder: its library comes last, so that what is found is whole.
func (i *Installer) InstallIn(ctx context.Context, p *packages.Package, folder string) (string, error) {
	name := p.Name + " " + p.Version
	library := p.Library(i.Platform)
	if p.Sums[i.Platform] == "" || library == "" {
		return "", &Error{name, fmt.Errorf("there is none for %s", i.Platform), "build what you need, and name the library by ONNXRUNTIME_SHARED_LIBRARY_PATH"}
	}
	path := filepath.Join(folder, library)
	if there(path) {
		i.Logf("%s is there already", name)
		return path, nil
	}
	return path, i.staged(folder, func(tmp, files string) error {
		if err := i.get(ctx, p, tmp, files); err != nil {
			return err
		}
		if !there(filepath.Join(files, library)) {
			return &Error{name, fmt.Errorf("the package holds no %s", library), advice}
		}
		return i.settle(files, folder, library)
	})
}

func there(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() > 0
}

// staged calls work with a folder for what is passing and one below it for what is to stay, both in
// the file system of folder.
func (i *Installer) staged(folder string, work func(tmp, files string) error) error {
	parent := filepath.Dir(folder)
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return err
	}
	tmp, done, err := disk.Stage(filepath.Join(parent, ".setup"), 0o700)
	if err != nil {
		return err
	}
	defer done()
	files := filepath.Join(tmp, "files")
	if err := os.Mkdir(files, 0o700); err != nil {
		return err
	}
	return work(tmp, files)
}

// settle gives files their places, the one that is looked for last.
func (i *Installer) settle(files, folder, last string) error {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	entries, err := os.ReadDir(files)
	if err != nil {
		return err
	}
	move := func(name string) error { return os.Rename(filepath.Join(files, name), filepath.Join(folder, name)) }
	for _, e := range entries {
		if e.Name() != last {
			if err := move(e.Name()); err != nil {
				return err
			}
		}
	}
	if err := move(last); err != nil {
		return err
	}
	disk.Sync(folder)
	i.Logf("installed in %s", folder)
	return nil
}

// get fetches and unpacks a package by the first way that there is; the next one is tried where it fails.
func (i *Installer) get(ctx context.Context, p *packages.Package, tmp, files string) error {
	name := p.Name + " " + p.Version
	switch {
	case i.FindLinks != "":
		return i.fromFolder(p, files)
	case i.Index != "":
		return i.fromIndex(ctx, p, i.Index, files)
	}
	var reasons []string
	for _, way := range []func() error{
		func() error { return i.byPip(ctx, p, tmp, files) },
		func() error {
			index := configuredIndex()
			if index == "" {
				return errors.New("no index is configured (PIP_INDEX_URL, pip.conf)")
			}
			return i.fromIndex(ctx, p, index, files)
		},
		func() error {
			if p != &packages.Runtime {
				return nil
			}
			return i.byNPM(ctx, tmp, files)
		},
	} {
		err := way()
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if err == nil && there(filepath.Join(files, p.Library(i.Platform))) {
			return nil
		}
		if err != nil {
			reasons = append(reasons, err.Error())
		}
	}
	return &Error{name, fmt.Errorf("could not be had: %s", strings.Join(reasons, "; ")), advice}
}

// client fetches by address, through proxies, going on where a connection broke.
func (i *Installer) client(name string) (c *fetch.Client, finish func()) {
	c, finish = &fetch.Client{Logf: i.Logf}, func() {}
	if i.Progress != nil {
		c.Progress, finish = i.Progress(name)
	}
	return c, finish
}
