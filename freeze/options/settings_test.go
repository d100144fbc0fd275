package options

import (
	"errors"
	"strings"
	"testing"
)

// TestDeviceOptions: what cannot be run as asked is a mistake in what was asked for.
func TestDeviceOptions(t *testing.T) {
	for want, change := range map[string]func(*Options){
		`amp "half": want fp16 or bf16`:          func(o *Options) { o.AMP = "half" },
		`provider option "tf32": want KEY=VALUE`: func(o *Options) { o.ProviderOptions = []string{"tf32"} },
		"provider option enable_cuda_graph: `cuda-graph` captures": func(o *Options) {
			o.ProviderOptions = []string{"enable_cuda_graph=1"}
		},
		`kernels "fast": want one of [auto native stock]`: func(o *Options) { o.Kernels = "fast" },
		"cuda-graph repeats a step of one size":           func(o *Options) { o.CUDAGraph, o.MultiScale = true, true },
		"provider option a is given twice":                func(o *Options) { o.ProviderOptions = []string{"a=1", "a=2"} },
	} {
		o := Defaults()
		change(&o)
		var usage *Error
		if _, err := o.Parse(); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
	o := Defaults()
	o.ProviderOptions = []string{"gpu_mem_limit=1", "x=a=b"}
	if s, err := o.Parse(); err != nil || len(s.Runtime.ProviderOptions) != 2 || s.Runtime.ProviderOptions["x"] != "a=b" {
		t.Errorf("%+v, %v", s, err)
	}
}
