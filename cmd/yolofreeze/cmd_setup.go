package main

import (
	"io"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/setup"
	"yolofreeze/cmd/term"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/ort/packages"
)

func setupCommand() *cli.Command {
	return &cli.Command{
		Name:  "setup",
		Usage: "install ONNX Runtime, or a provider for another device",
		Description: "Fetches ONNX Runtime's shared library, pinned and held to a checksum, into the cache folder; prints its\n" +
			"path. Archives of releases have one beside the program already. A package is had through pip, from an\n" +
			"index that PIP_INDEX_URL, pip.conf or --index-url names (the simple API of Python packages; no Python is\n" +
			"needed then), or out of a folder of wheels (--find-links); ONNX Runtime itself through npm, too.\n" +
			"No index is known by its address here, so where there is neither pip nor npm, one must be named.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "cuda", Usage: "ONNX Runtime with its CUDA provider, and CUDA 13 and cuDNN 9 where missing (Linux x64, about 1.2 GB)"},
			&cli.BoolFlag{Name: "webgpu", Usage: "the WebGPU provider, and on Debian and Ubuntu a software Vulkan driver for it"},
			&cli.BoolFlag{Name: "openvino", Usage: "the OpenVINO provider (Linux x64, Intel processors)"},
			&cli.BoolFlag{Name: "native", Usage: "oneDNN, which native kernels for the CPU compute with (Linux x64)"},
			&cli.BoolFlag{Name: "mpi", Usage: "mpich, by which several devices and machines train together, with its launcher"},
			&cli.BoolFlag{Name: "nccl", Usage: "NCCL, which sums gradients between CUDA devices (Linux x64, 220 MB)"},
			&cli.BoolFlag{Name: "standin", Hidden: true, Usage: "the CUDA provider without CUDA, for tests over stand-ins"},
			&cli.StringFlag{Name: "index-url", Usage: "`ADDRESS` of an index of Python packages to fetch from"},
			&cli.StringFlag{Name: "find-links", Usage: "`FOLDER` of wheels to take from, without a network"},
			&cli.StringFlag{Name: "platform", Usage: "`PLATFORM` whose library --output gets: linux-x64, linux-arm64, macos-arm64 or windows-x64"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FOLDER` for the library and its licences, in the place of the cache folder"},
		},
		Action: runSetup,
	}
}

// extras are flags of setup and what they install.
var extras = []struct {
	flag    string
	install func(*setup.Installer, *cli.Context) (string, error)
}{
	{"webgpu", func(i *setup.Installer, c *cli.Context) (string, error) { return i.InstallWebGPU(c.Context) }},
	{"openvino", func(i *setup.Installer, c *cli.Context) (string, error) {
		return i.Install(c.Context, &packages.OpenVINO)
	}},
	{"native", func(i *setup.Installer, c *cli.Context) (string, error) {
		return i.Install(c.Context, &packages.OneDNN)
	}},
	{"mpi", func(i *setup.Installer, c *cli.Context) (string, error) {
		return i.Install(c.Context, &packages.MPI)
	}},
	{"nccl", func(i *setup.Installer, c *cli.Context) (string, error) {
		return i.Install(c.Context, &packages.NCCL)
	}},
	{"standin", func(i *setup.Installer, c *cli.Context) (string, error) {
		return i.Install(c.Context, &packages.StandIn)
	}},
}

// installed is what setup prints; its JSON keys are stable.
type installed struct {
	Library string            `json:"library"`
	Extras  map[string]string `json:"extras,omitempty"` // by flag: the path of the library
}

func runSetup(c *cli.Context) error {
	if err := flags.NeedArgs(c, 0, 0); err != nil {
		return err
	}
	t := term.Of(c)
	cache, err := disk.CacheFolder()
	if err != nil {
		return err
	}
	i := &setup.Installer{
		Platform: packages.Here(), Cache: cache, FindLinks: c.String("find-links"), Index: c.String("index-url"), Logf: t.Logf,
		Progress: func(name string) (func(done, total int64), func()) { return fetchBar(t, name) },
	}
	var result installed
	if c.IsSet("output") || c.IsSet("platform") {
		result.Library, err = setupElsewhere(c, i)
	} else if result.Library, err = setupHere(c, i); err == nil {
		result.Extras = map[string]string{}
		for _, e := range extras {
			if err == nil && c.Bool(e.flag) {
				result.Extras[e.flag], err = e.install(i, c)
			}
		}
	}
	if err != nil {
		return err
	}
	return t.Result(result, func(w io.Writer) error {
		_, err := term.Fprintln(w, result.Library)
		return err
	})
}

// setupElsewhere fills a folder with ONNX Runtime for any platform.
func setupElsewhere(c *cli.Context, i *setup.Installer) (string, error) {
	if !c.IsSet("output") {
		return "", term.Usagef("--platform goes with --output: this machine's own cache folder is for its own platform")
	}
	refused := []string{"cuda"}
	for _, e := range extras {
		refused = append(refused, e.flag)
	}
	for _, flag := range refused {
		if c.Bool(flag) {
			return "", term.Usagef("--%s does not go with --output, which gets ONNX Runtime alone", flag)
		}
	}
	if c.IsSet("platform") {
		i.Platform = packages.Platform(c.String("platform"))
		if packages.Runtime.Sums[i.Platform] == "" {
			return "", term.Usagef("--platform %s: there are %v", i.Platform, packages.Platforms)
		}
	}
	return i.InstallIn(c.Context, &packages.Runtime, c.String("output"))
}

// setupHere sees that this machine has ONNX Runtime.
func setupHere(c *cli.Context, i *setup.Installer) (string, error) {
	t := term.Of(c)
	if os.Getenv(ort.LibraryVariable) != "" {
		t.Logf("using %s", ort.LibraryVariable)
		return ort.Find()
	}
	switch {
	case c.Bool("cuda"):
		return i.InstallCUDA(c.Context)
	case i.Has(&packages.CUDA):
		return i.Install(c.Context, &packages.CUDA)
	}
	if beside := filepath.Join(ort.Beside(), packages.Runtime.Library(i.Platform)); disk.IsFile(beside) {
		t.Logf("ONNX Runtime lies beside the program")
		return beside, nil
	}
	return i.Install(c.Context, &packages.Runtime)
}
