package finetune

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"yolofreeze/onnx/disk"
)

// resume takes up an earlier run: its options, but for those that may change, and its progress.
func (t *training) resume() error {
	s, err := readSaved(t.o.ResumeFrom)
	if err != nil {
		return err
	}
	t.o.LRDecay = cmp.Or(t.o.LRDecay, s.options.LRDecay) // 0 is what was not given
	list, err := s.options.differences(&t.o)
	if err != nil {
		return err
	}
	if len(list) > 0 && !t.o.Force {
		return &resumeError{s.path, list}
	}
	for _, d := range list {
		t.r.Warnf("resuming with %s", d)
	}
	t.resumed, t.p = s, s.info.Progress
	if finished := t.p.Epoch >= t.o.Epochs || t.p.Stopped; finished && disk.IsFile(strings.TrimSuffix(s.path, lastName)+exportName) {
		return &disk.InputError{Path: s.path, Err: fmt.Errorf("the run has finished: %d of %d epochs are done", t.p.Epoch, t.o.Epochs)}
	}
	return nil
}

// resumeError lists options that a resumed run would change.
type resumeError struct {
	path string
	list []string
}

func (e *resumeError) Error() string {
	return fmt.Sprintf("resume from %s: other options than the run was started with: %s", e.path, strings.Join(e.list, "; "))
}

func (e *resumeError) BadInput() bool { return true }

func (e *resumeError) Hint() string {
	return "leave these flags out, or resume with `force`; or start a new run with `weights` and this file"
}

// encodeOptions and decodeOptions keep options in a checkpoint's metadata, as the text of opt.yaml.
func encodeOptions(o *Options) (json.RawMessage, error) {
	text, err := o.document()
	if err != nil {
		return nil, err
	}
	return json.Marshal(string(text))
}

func decodeOptions(raw json.RawMessage) (o Options, err error) {
	var text string
	if err = json.Unmarshal(raw, &text); err == nil {
		o, err = readDocument([]byte(text))
	}
	if err != nil {
		return o, fmt.Errorf("options: %w", err)
	}
	return o, nil
}
