package torch

import (
	"bytes"
	"fmt"
	"strings"
)

const lfsHead = "version https://git-lfs.github.com/spec/"

// notCheckpoint explains a file that is neither a zip archive nor a pickle: what
// people really published or downloaded under the name of weights.
func notCheckpoint(data []byte) error {
	head := data[:min(len(data), 1024)]
	start := strings.ToLower(strings.TrimLeft(strings.TrimPrefix(string(head), "\uFEFF"), " \t\r\n"))
	starts := func(prefixes ...string) bool {
		for _, p := range prefixes {
			if strings.HasPrefix(start, p) {
				return true
			}
		}
		return false
	}
	switch {
	case len(data) == 0:
		return fmt.Errorf("empty file: the download is incomplete")
	case bytes.HasPrefix(head, []byte(lfsHead)):
		return fmt.Errorf("a Git LFS pointer; real file is %s, run git lfs pull", lfsSize(head))
	case starts("<!doctype html", "<html", "<head", "<body"):
		return fmt.Errorf("not a checkpoint: looks like an HTML page")
	case starts("<?xml"):
		return fmt.Errorf("not a checkpoint: looks like XML text")
	case starts("{", "["):
		return fmt.Errorf("not a checkpoint: looks like JSON text")
	case isTar(data):
		return fmt.Errorf("tar archive: the form of torch 0.1 is not supported, save it again with a later PyTorch")
	case bytes.HasPrefix([]byte("PK\x03\x04"), head): // shorter than the four bytes
		return incomplete(len(data))
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return fmt.Errorf("not a checkpoint: gzip data, unpack it first")
	case bytes.HasPrefix(head, []byte("7z\xbc\xaf\x27\x1c")):
		return fmt.Errorf("not a checkpoint: 7-Zip archive, unpack it first")
	case bytes.HasPrefix(head, []byte("\x89HDF")):
		return fmt.Errorf("not a PyTorch checkpoint: HDF5 file (Keras)")
	case len(data) > 9 && data[8] == '{':
		return fmt.Errorf("not a PyTorch checkpoint: looks like safetensors, name it .safetensors")
	}
	return fmt.Errorf("not a PyTorch checkpoint: begins with %q", head[:min(len(head), 8)])
}

// lfsSize returns the line "size N" of a pointer as "N bytes".
func lfsSize(head []byte) string {
	for line := range strings.Lines(string(head)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "size "); ok && digits(n) {
			return n + " bytes"
		}
	}
	return "of unknown size"
}

func digits(s string) bool {
	return s != "" && len(s) <= 20 && strings.Trim(s, "0123456789") == ""
}
