package options

import (
	"fmt"
	"strings"

	"yolofreeze/onnx/ort"
)

// CheckStored refuses what a file that others may have written (a checkpoint, a matrix of
// runs) must not choose: a library of a provider, which runs code as it is loaded, and
// options of a provider, which may name libraries and files.
func CheckStored(device string, providerOptions []string) error {
	if len(providerOptions) > 0 {
		return fmt.Errorf("provider option %s: only the command line, the environment and `config` may set them", providerOptions[0])
	}
	if strings.EqualFold(device, ort.Auto) {
		return nil
	}
	d, err := ort.ParseDevice(device)
	if err == nil && d.Library != "" {
		err = fmt.Errorf("device %q: only the command line, the environment and `config` may name a provider's library", device)
	}
	return err
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
