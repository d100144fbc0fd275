package setup

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/ort/packages"
)

// InstallCUDA installs ONNX Runtime with the CUDA provider, and those of NVIDIA's libraries that the
// provider needs and the machine lacks.
func (i *Installer) InstallCUDA(ctx context.Context) (string, error) {
	runtime, err := i.Install(ctx, &packages.CUDA)
	if err != nil {
		return "", err
	}
	missing := missingLibraries(ctx, filepath.Join(filepath.Dir(runtime), "libonnxruntime_providers_cuda.so"))
	known := loaderCache(ctx)
	if !strings.Contains(known, "libcudnn.so.9") {
		missing += " libcudnn"
	}
	for n := range packages.CUDALibraries {
		p := &packages.CUDALibraries[n]
		stem, _, _ := strings.Cut(p.Library(i.Platform), ".")
		if !strings.Contains(missing, stem) {
			continue
		}
		if _, err := i.Install(ctx, p); err != nil {
			return "", err
		}
	}
	if disk.IsFolder(i.folder(&packages.NVRTC)) { // something of CUDA is ours
		if _, err := i.Install(ctx, &packages.NVRTC); err != nil {
			return "", err
		}
	}
	if !strings.Contains(known, "libcuda.so.1") {
		i.Logf("no NVIDIA driver is seen (libcuda.so.1): CUDA will not start before one of 580.65 or newer is installed")
	}
	return runtime, nil
}

// missingLibraries lists what the loader does not find of what a library needs.
func missingLibraries(ctx context.Context, library string) string {
	out, _ := exec.CommandContext(ctx, "ldd", library).Output()
	var missing []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "not found") {
			missing = append(missing, line)
		}
	}
	return strings.Join(missing, " ")
}

// loaderCache lists the libraries that the system's loader knows.
func loaderCache(ctx context.Context) string {
	for _, program := range []string{"ldconfig", "/sbin/ldconfig"} { // which is not on every user's path
		if out, err := exec.CommandContext(ctx, program, "-p").Output(); err == nil {
			return string(out)
		}
	}
	return ""
}

// vulkanDriver is the file by which the provider finds the driver in software.
const vulkanDriver = "vk_swiftshader_icd.json"

var vulkanFiles = []string{"libvulkan.so.1", "libvk_swiftshader.so", vulkanDriver}

// InstallWebGPU installs the WebGPU provider, and where Debian's packages are had a Vulkan driver in software.
func (i *Installer) InstallWebGPU(ctx context.Context) (string, error) {
	library, err := i.Install(ctx, &packages.WebGPU)
	if err != nil || i.Platform == packages.MacARM64 {
		return library, err
	}
	folder := filepath.Dir(library)
	if there(filepath.Join(folder, vulkanDriver)) {
		return library, nil
	}
	err = i.staged(folder, func(tmp, files string) error {
		if err := i.debianVulkan(ctx, tmp, files); err != nil {
			return err
		}
		return i.settle(files, folder, vulkanDriver)
	})
	if cause := context.Cause(ctx); cause != nil {
		return "", cause
	}
	if err != nil {
		i.Logf("no software Vulkan driver could be had (%v; it comes from Debian's package chromium-common): WebGPU needs the machine's own, libvulkan.so.1 and a driver", err)
	}
	return library, nil
}

// debianVulkan takes the Vulkan loader and SwiftShader, a Vulkan driver in software, out of a
// Debian package that apt verifies; nothing is installed.
func (i *Installer) debianVulkan(ctx context.Context, tmp, files string) error {
	apt := func(args ...string) error {
		c := exec.CommandContext(ctx, "apt-get", args...)
		c.Dir = tmp
		return runClient(c)
	}
	for _, program := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(program); err != nil {
			return errors.New(program + " is missing")
		}
	}
	if err := os.Chmod(tmp, 0o755); err != nil { // apt downloads as another user
		return err
	}
	i.Logf("downloading the files of a software Vulkan driver with apt-get")
	if err := apt("download", "-qq", "chromium-common"); err != nil {
		if os.Geteuid() != 0 {
			return err
		}
		if err := apt("update", "-qq"); err != nil {
			return err
		}
		if err := apt("download", "-qq", "chromium-common"); err != nil {
			return err
		}
	}
	found, err := filepath.Glob(filepath.Join(tmp, "chromium-common_*.deb"))
	if err != nil || len(found) != 1 {
		return errors.New("apt-get has left no package")
	}
	c := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", found[0])
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	err = untar(out, func(name string) string {
		if base := path.Base(name); path.Base(path.Dir(name)) == "chromium" && slices.Contains(vulkanFiles, base) {
			return filepath.Join(files, base)
		}
		return ""
	})
	return errors.Join(err, c.Wait())
}
