package setup

import (
	"archive/zip"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/fetch"
	"yolofreeze/onnx/ort/packages"
)

// maxWheel is the most bytes of a wheel; the largest, of cuDNN, has 0.7 GB.
const maxWheel = 4 << 30

// link is one in a page of an index: its address, with the checksum behind #.
var link = regexp.MustCompile(`(?i)<a\s[^>]*?href\s*=\s*["']([^"']+)["']`)

// fromIndex finds the wheel on a package's page of an index (the simple repository API of Python
// packages, as HTML), by its checksum, fetches and unpacks it.
func (i *Installer) fromIndex(ctx context.Context, p *packages.Package, index, files string) error {
	name, sum := p.Name+" "+p.Version, p.Sums[i.Platform]
	page, err := url.Parse(strings.TrimSuffix(index, "/") + "/" + p.Name + "/")
	if err != nil || page.Scheme != "https" && page.Scheme != "http" {
		return &Error{name, errors.New("the index must be named by an address that begins with https:// or http://"), advice}
	}
	fail := func(reason error) error { return &Error{name, fmt.Errorf("%s: %w", page.Redacted(), reason), advice} }
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, page.String(), nil)
	if err != nil {
		return fail(err)
	}
	request.Header.Set("Accept", "text/html")
	answer, err := fetch.Do(request)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) { // which would show the password
			err = inner.Err
		}
		return fail(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fail(fmt.Errorf("the index answers %s", answer.Status))
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, 64<<20))
	if err != nil {
		return fail(err)
	}
	for _, found := range link.FindAllSubmatch(text, -1) {
		at, err := answer.Request.URL.Parse(html.UnescapeString(string(found[1])))
		if err != nil || at.Fragment != "sha256="+sum {
			continue
		}
		at.Fragment = ""
		wheel := filepath.Join(i.Cache, "downloads", path.Base(at.Path))
		c, finish := i.client(name)
		err = c.Get(ctx, fetch.File{Name: name, Address: at.String(), Path: wheel, SHA256: sum, Limit: maxWheel})
		finish()
		if err != nil {
			return err
		}
		defer func() {
			os.Remove(wheel)
			os.Remove(filepath.Dir(wheel)) // where it is empty
		}()
		return unpack(wheel, p.Files, files)
	}
	return fail(fmt.Errorf("no file there has the SHA-256 %s", sum))
}

// configuredIndex is the index that pip's variable or files name, for machines without pip; "" where none is.
func configuredIndex() string {
	for _, name := range []string{"PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"} {
		if index := os.Getenv(name); index != "" {
			return index
		}
	}
	var places []string
	if file := os.Getenv("PIP_CONFIG_FILE"); file != "" {
		places = append(places, file)
	}
	if config, err := os.UserConfigDir(); err == nil {
		places = append(places, filepath.Join(config, "pip", "pip.conf"), filepath.Join(config, "pip", "pip.ini"))
	}
	if home, err := os.UserHomeDir(); err == nil {
		places = append(places, filepath.Join(home, ".config", "pip", "pip.conf"), filepath.Join(home, ".pip", "pip.conf"))
	}
	for _, place := range append(places, "/etc/pip.conf", "/etc/xdg/pip/pip.conf") {
		if index := indexIn(place); index != "" {
			return index
		}
	}
	return ""
}

// indexIn reads the index out of a configuration file of pip.
func indexIn(place string) string {
	text, err := disk.ReadText(place, 1<<20)
	if err != nil {
		return ""
	}
	section := ""
	for s := bufio.NewScanner(strings.NewReader(string(text))); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if strings.HasPrefix(line, "[") {
			section = line
		}
		key, value, ok := strings.Cut(line, "=")
		if key = strings.ReplaceAll(strings.TrimSpace(key), "_", "-"); ok && key == "index-url" && (section == "[global]" || section == "[download]") {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// fromFolder unpacks a wheel of the folder that the user named.
func (i *Installer) fromFolder(p *packages.Package, files string) error {
	if !disk.IsFolder(i.FindLinks) {
		return &Error{p.Name + " " + p.Version, fmt.Errorf("%s: no such folder", i.FindLinks), advice}
	}
	return i.fromFolderAt(p, i.FindLinks, files)
}

// fromFolderAt unpacks the wheel that has the package's name and checksum.
func (i *Installer) fromFolderAt(p *packages.Package, folder, files string) error {
	pattern := strings.ReplaceAll(p.Name, "-", "_") + "-" + p.Version + "-*.whl"
	found := disk.Glob(folder, pattern)
	for _, wheel := range found {
		sum, err := sha256File(wheel)
		if err != nil {
			return err
		}
		if sum == p.Sums[i.Platform] {
			return unpack(wheel, p.Files, files)
		}
	}
	reason := fmt.Errorf("%s: none of %s has the SHA-256 %s", folder, pattern, p.Sums[i.Platform])
	if len(found) == 0 {
		reason = fmt.Errorf("%s: there is no %s", folder, pattern)
	}
	return &Error{p.Name + " " + p.Version, reason, advice}
}

func sha256File(name string) (string, error) {
	f, _, err := disk.Open(name, maxWheel)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// unpack takes the files of some patterns out of a wheel, into one folder.
func unpack(wheel string, patterns []string, folder string) error {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return &disk.Error{Path: wheel, Reason: err.Error()}
	}
	defer z.Close()
	for _, f := range z.File {
		for _, pattern := range patterns {
			ok, _ := path.Match(pattern, f.Name)
			if !ok || strings.HasPrefix(path.Base(f.Name), "libnvblas.so") { // that would answer for every BLAS in the process
				continue
			}
			r, err := f.Open()
			if err != nil {
				return err
			}
			to := filepath.Join(folder, path.Base(f.Name))
			err = write(to, r)
			if err == nil && path.Base(path.Dir(f.Name)) == "bin" { // a program
				err = os.Chmod(to, 0o755)
			}
			r.Close()
			if err != nil {
				return fmt.Errorf("%s: %s: %w", wheel, f.Name, err)
			}
			break
		}
	}
	return nil
}
