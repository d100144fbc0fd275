package options

import (
	"fmt"
	"os"
	"strings"

	"yolofreeze/onnx/collective"
	"yolofreeze/onnx/ort"
)

// CheckStored refuses what a file that others may have written (a checkpoint, a matrix of
// runs) must not choose: a library of a provider, which runs code as it is loaded, and
// options of a provider, which may name libraries and files.
func CheckStored(device string, providerOptions []string) error {
	if len(providerOptions) > 0 {
		return fmt.Errorf("provider option %s: only the command line, the environment and `config` may set them", providerOptions[0])
	}
	for _, name := range Devices(device) {
		if strings.EqualFold(name, ort.Auto) {
			continue
		}
		d, err := ort.ParseDevice(name)
		if err == nil && d.Library != "" {
			err = fmt.Errorf("device %q: only the command line, the environment and `config` may name a provider's library", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Devices are those that option device lists, one for each rank of a host: cuda:0,cuda:1, or 0,1
// as YOLOv5 has it.
func Devices(text string) []string {
	if _, err := os.Stat(text); err == nil { // a library whose path has a comma
		return []string{text}
	}
	list := strings.Split(text, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// deviceOf is the device of a rank of several: its own of the list, or with one for all the one
// of its number, where there is a choice.
func deviceOf(text string, at collective.Local) (d ort.Device, err error) {
	list := Devices(text)
	switch {
	case at.Size == 1 && len(list) == 1:
		return ort.Resolve(text)
	case len(list) > 1 && at.Rank >= len(list):
		return d, &Error{fmt.Sprintf("device %s lists %d devices, and %d ranks run on this host", text, len(list), at.Size)}
	case len(list) > 1:
		return ort.Resolve(list[at.Rank])
	}
	if d, err = ort.Resolve(text); err == nil && d.Kind != ort.CPU && !strings.ContainsAny(text, "0123456789") {
		d.Index = at.Rank
	}
	return d, err
}

// ParseProviderOptions reads KEY=VALUE pairs, as
// https://onnxruntime.ai/docs/execution-providers/ names them. It refuses those
// that capture graphs: not every graph can be (see Options.CUDAGraph).
func ParseProviderOptions(list []string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	options := map[string]string{}
	for _, pair := range list {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("provider option %q: want KEY=VALUE", pair)
		}
		if _, twice := options[key]; twice {
			return nil, fmt.Errorf("provider option %s is given twice", key)
		}
		if ort.CaptureKey(key) && value != "0" {
			return nil, fmt.Errorf("provider option %s: `cuda-graph` captures what can be captured, and sees to what that needs", key)
		}
		options[key] = value
	}
	return options, nil
}
