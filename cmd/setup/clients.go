package setup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"

	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/ort/packages"
)

// byPip has pip download the wheel, with its own configuration, and hold it to the checksum.
func (i *Installer) byPip(ctx context.Context, p *packages.Package, tmp, files string) error {
	python := findPip(ctx)
	if python == nil {
		return errors.New("pip is missing")
	}
	list := filepath.Join(tmp, "requirements.txt")
	line := fmt.Sprintf("%s==%s --hash=sha256:%s\n", p.Name, p.Version, p.Sums[i.Platform])
	if err := disk.Write(list, []byte(line)); err != nil {
		return err
	}
	args := append(python[1:], "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
		"--require-hashes", "--implementation", "cp", "--python-version", "312", "--abi", "cp312", "--requirement", list, "--dest", tmp)
	for _, tag := range tags(i.Platform) {
		args = append(args, "--platform", tag)
	}
	i.Logf("downloading %s %s with pip", p.Name, p.Version)
	if err := runClient(exec.CommandContext(ctx, python[0], args...)); err != nil {
		return fmt.Errorf("pip: %w", err)
	}
	return i.fromFolderAt(p, tmp, files)
}

// tags are the platforms that pip may take wheels of.
func tags(on packages.Platform) []string {
	processor := map[packages.Platform]string{packages.LinuxX64: "x86_64", packages.LinuxARM64: "aarch64"}[on]
	switch on {
	case packages.MacARM64:
		return []string{"macosx_14_0_arm64", "macosx_14_0_universal2"}
	case packages.WindowsX64:
		return []string{"win_amd64"}
	}
	var list []string
	for _, libc := range []string{"_2_28", "_2_27", "_2_17", "_2_12", "1"} {
		list = append(list, "manylinux"+libc+"_"+processor)
	}
	return list
}

// findPip returns the beginning of a command line of a Python that has pip.
func findPip(ctx context.Context) []string {
	for _, python := range [][]string{{"python3"}, {"python"}, {"py", "-3"}} {
		if exec.CommandContext(ctx, python[0], append(python[1:], "-m", "pip", "--version")...).Run() == nil {
			return python
		}
	}
	return nil
}

// runClient runs a command; its last line says what failed.
func runClient(c *exec.Cmd) error {
	out, err := c.CombinedOutput()
	if err == nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return errors.New(last)
	}
	return err
}

// byNPM has npm download the package of Node, and takes ONNX Runtime's library out of it.
func (i *Installer) byNPM(ctx context.Context, tmp, files string) error {
	node := packages.Node
	inside, library := node.Libraries[i.Platform], packages.Runtime.Library(i.Platform)
	if inside == "" {
		return fmt.Errorf("%s has none for %s that works alone", node.Name, i.Platform)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return errors.New("npm is missing")
	}
	i.Logf("downloading %s %s with npm", node.Name, node.Version)
	c := exec.CommandContext(ctx, npm, "pack", "--silent", node.Name+"@"+node.Version)
	c.Dir = tmp
	if err := runClient(c); err != nil {
		return fmt.Errorf("npm: %w", err)
	}
	path := filepath.Join(tmp, node.Name+"-"+node.Version+".tgz")
	if sum, err := sha256File(path); err != nil {
		return err
	} else if sum != node.Sum {
		return fmt.Errorf("npm: the SHA-256 of %s %s is %s instead of %s", node.Name, node.Version, sum, node.Sum)
	}
	f, _, err := disk.Open(path, maxWheel)
	if err != nil {
		return err
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	return untar(plain, func(name string) string {
		if name == inside {
			return filepath.Join(files, library)
		}
		return ""
	})
}

// untar writes the files of a tar archive to where place says; "" leaves one out.
func untar(r io.Reader, place func(name string) string) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if to := place(h.Name); to != "" && h.Typeflag == tar.TypeReg {
			if err := write(to, t); err != nil {
				return err
			}
		}
	}
}

func write(path string, r io.Reader) error {
	return disk.Replace(path, func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
}
