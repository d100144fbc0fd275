package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/term"
	"yolofreeze/freeze/weights"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/fetch"
)

// weightsAddress names a mirror of YOLOv5's releases.
const weightsAddress = "YOLOFREEZE_WEIGHTS_URL"

// knownWeights is a checkpoint in the list of weights; its JSON keys are stable.
type knownWeights struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	Path   string `json:"path,omitempty"` // where it was fetched
}

func weightsCommand() *cli.Command {
	return &cli.Command{
		Name:      "weights",
		Usage:     "list YOLOv5's own checkpoints, or fetch some by name",
		ArgsUsage: "[NAMES…]",
		Description: "Without names: which checkpoints of YOLOv5's releases can be named, and where they lie if they were\n" +
			"fetched. With names, such as yolov5s or yolov5m6-v6.0.pt: fetches what is not there yet and prints the\n" +
			"paths; a file or folder that is there stands for itself. All commands that take weights take these\n" +
			"names. A proxy is used as HTTPS_PROXY and NO_PROXY say; " + weightsAddress + " names a mirror of\n" +
			weights.Releases + ".",
		Flags: []cli.Flag{offlineFlag()},
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return listWeights(c)
			}
			var paths []string
			for _, name := range c.Args().Slice() {
				path, err := weightsFile(c, name)
				if err != nil {
					return err
				}
				if !disk.Exists(path) {
					return term.BadInputf("%s: no such file, and no checkpoint of YOLOv5's releases is called so", path).Hinted(weightsHint)
				}
				paths = append(paths, path)
			}
			return term.Of(c).Result(map[string][]string{"paths": paths}, func(w io.Writer) error {
				for _, path := range paths {
					if _, err := term.Fprintln(w, path); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

const weightsHint = "yolofreeze weights lists their names"

// offlineFlag is that of all commands that take weights.
func offlineFlag() cli.Flag {
	return &cli.BoolFlag{Name: "offline", Usage: "never fetch weights that are given by name"}
}

// weightsFile is the file of weights as users give them: a path, or the name of a checkpoint of
// YOLOv5's, which is fetched where neither the working folder nor the cache has it.
func weightsFile(c *cli.Context, given string) (string, error) {
	if disk.Exists(given) {
		return given, nil
	}
	if own := strings.TrimSuffix(given, ".pt") + ".safetensors"; own != given+".safetensors" && disk.IsFile(own) {
		term.Of(c).Logf("%s is not there, %s beside it is taken", given, filepath.Base(own))
		return own, nil
	}
	checkpoint, ok := weights.Named(given)
	if !ok {
		if strings.HasPrefix(given, "yolov5") && filepath.Base(given) == given && (filepath.Ext(given) == ".pt" || filepath.Ext(given) == "") {
			return "", term.BadInputf("%s: no such file, and no checkpoint of YOLOv5's releases is called so", given).Hinted(weightsHint)
		}
		return given, nil // whoever reads it says what is wrong
	}
	store, err := weightsStore(c)
	if err != nil {
		return "", err
	}
	progress, finish := fetchBar(term.Of(c), checkpoint.Name())
	defer finish()
	store.Progress = progress
	return store.Get(c.Context, checkpoint)
}

// fetchBar shows how far the fetching of a file has come.
func fetchBar(t *term.Terminal, name string) (progress func(done, total int64), finish func()) {
	var b *term.Bar
	shown := 0
	return func(done, total int64) {
			if b == nil {
				b = t.Bar(name+" kB", int(total/1000))
			}
			b.Add(int(done/1000) - shown)
			shown = int(done / 1000)
		}, func() {
			if b != nil {
				b.Finish()
			}
		}
}

// isNamed reports whether weights are not a file but the name of one of YOLOv5's checkpoints.
func isNamed(given string) bool {
	_, ok := weights.Named(given)
	return ok && !disk.Exists(given)
}

// weightsStore is where checkpoints are kept and come from.
func weightsStore(c *cli.Context) (*weights.Store, error) {
	folder, err := weights.Folder()
	if err != nil {
		return nil, err
	}
	t := term.Of(c)
	t.StopGracefully("what has come stays for the next time")
	return &weights.Store{
		Client: fetch.Client{Offline: c.Bool("offline"), Logf: t.Logf},
		Folder: folder, Address: os.Getenv(weightsAddress),
	}, nil
}

func listWeights(c *cli.Context) error {
	store, err := weightsStore(c)
	if err != nil {
		return err
	}
	var list []knownWeights
	for _, known := range weights.All() {
		k := knownWeights{Name: known.Name(), Bytes: known.Bytes, SHA256: known.SHA256}
		if store.Has(known) {
			k.Path = store.Path(known)
		}
		list = append(list, k)
	}
	return term.Of(c).Result(map[string][]knownWeights{"weights": list}, func(w io.Writer) error {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		term.Fprintf(t, "name\tMB\tSHA-256\tfile\n")
		for _, k := range list {
			size, sum, path := "-", "not known", "-"
			if k.Bytes > 0 {
				size, sum = fmt.Sprintf("%.1f", float64(k.Bytes)/1e6), k.SHA256[:16]+"…"
			}
			if k.Path != "" {
				path = k.Path
			}
			term.Fprintf(t, "%s\t%s\t%s\t%s\n", k.Name, size, sum, path)
		}
		if err := t.Flush(); err != nil {
			return err
		}
		_, err := term.Fprintln(w, "a name without a release means v7.0; those without a checksum must open as checkpoints")
		return err
	})
}
