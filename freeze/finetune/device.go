package finetune

import (
	"fmt"
	"strings"

	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
)

// CheckStored refuses what a file that others may have written (a checkpoint, a matrix of
// runs) must not choose: a library of a provider, which runs code as it is loaded, and
// options of a provider, which may name libraries and files.
func CheckStored(device string, providerOptions []string) error {
	if len(providerOptions) > 0 {
		return fmt.Errorf("provider option %s: only the command line, the environment and `config` may set them", providerOptions[0])
	}
	if strings.EqualFold(device, "auto") {
		return nil
	}
	d, err := ort.ParseDevice(device)
	if err == nil && d.Library != "" {
		err = fmt.Errorf("device %q: only the command line, the environment and `config` may name a provider's library", device)
	}
	return err
}

// checkDevice looks at the options that say how graphs run.
func (o *Options) checkDevice() error {
	if _, err := step.ParseAMP(o.AMP); err != nil {
		return err
	}
	_, err := ParseProviderOptions(o.ProviderOptions)
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

// runtime says how the run's graphs are executed.
func (o *Options) runtime() ort.Options {
	options, _ := ParseProviderOptions(o.ProviderOptions) // checked before
	return ort.Options{Device: o.Device, ProviderOptions: options}
}

// checkPlacement warns of nodes that fell back to the CPU provider, or refuses them.
func (t *training) checkPlacement(e *step.Engine) (err error) {
	if t.placement, err = e.Placement(); err != nil {
		return err
	}
	type kind struct{ graph, op, why string }
	count := map[kind]int{}
	var kinds []kind
	for _, f := range t.placement.Fallbacks {
		k := kind{f.Graph, f.Op, f.Why}
		if count[k]++; count[k] == 1 {
			kinds = append(kinds, k)
		}
	}
	var unexpected []string
	for _, k := range kinds {
		n := count[k]
		if k.why == "" {
			k.why = "for a reason that is not known"
			unexpected = append(unexpected, fmt.Sprintf("%d %s (%s)", n, k.op, k.graph))
		}
		if !t.o.StrictPlacement {
			t.r.Warnf("%d %s of the %s graph run on the CPU provider instead of %s: %s", n, k.op, k.graph, e.Device(), k.why)
		}
	}
	if t.o.StrictPlacement && len(unexpected) > 0 {
		return &step.UnfitError{Device: e.Device(), Reason: "nodes left to the CPU provider without a known reason", Nodes: unexpected,
			Cure: "leave `strict-placement` out to train all the same, with copies between device and host in every step"}
	}
	return nil
}

// products is what Options.AMP says, which checkDevice has read before.
func (o *Options) products() onnx.DType {
	t, _ := step.ParseAMP(o.AMP)
	return t
}
