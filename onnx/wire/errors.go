package wire

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// badInput is an error that the file is to blame for.
type badInput struct{ err error }

func bad(format string, args ...any) error { return &badInput{fmt.Errorf(format, args...)} }

func (e *badInput) Error() string  { return e.err.Error() }
func (e *badInput) Unwrap() error  { return e.err }
func (e *badInput) BadInput() bool { return true }

// externalError refuses a tensor whose data lies beside the file: what a file may
// name could be any file of the machine.
type externalError struct{ entry, path string }

func (e *externalError) Error() string {
	return "its data lies in another file" + e.entry + ", which is not supported"
}

// Hint says how to join the two.
func (e *externalError) Hint() string {
	return fmt.Sprintf(`package onnx joins them: python -c "import onnx; onnx.save(onnx.load('%s'), 'joined.onnx')"; PyTorch writes one file with torch.onnx.export(…, external_data=False)`, e.path)
}

var lfsSize = regexp.MustCompile(`(?m)^size (\d+)`)

// impostor says what a file is that people publish under a model's name, if it is one of these.
func impostor(data []byte) error {
	head := strings.ToLower(string(bytes.TrimSpace(data[:min(len(data), 512)])))
	switch {
	case len(data) == 0:
		return bad("the file is empty")
	case strings.HasPrefix(head, "version https://git-lfs"):
		size := "elsewhere"
		if m := lfsSize.FindStringSubmatch(head); m != nil {
			size = m[1] + " bytes"
		}
		return bad("a Git LFS pointer, not a model: the real file is %s; run git lfs pull", size)
	case strings.HasPrefix(head, "<!doctype") || strings.HasPrefix(head, "<html") || strings.HasPrefix(head, "<?xml"):
		return bad("a web page, not a model: the download was refused or redirected")
	case strings.HasPrefix(head, "pk\x03\x04"):
		return bad("a zip archive (perhaps a .pt checkpoint), not an ONNX model")
	}
	return nil
}
