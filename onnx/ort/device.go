package ort

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// Device names an execution provider and, where it has several, one of its devices.
type Device struct {
	Kind  string // "cpu", "cuda"
	Index int
}

const (
	cpu  = "cpu"
	cuda = "cuda"
	auto = "auto"
)

func (d Device) String() string {
	if d.Kind == cpu {
		return cpu
	}
	return fmt.Sprintf("%s:%d", d.Kind, d.Index)
}

// ParseDevice reads cpu, cuda, cuda:N or N; "" is cpu.
func ParseDevice(text string) (Device, error) {
	kind, index, numbered := strings.Cut(strings.ToLower(text), ":")
	if _, err := strconv.Atoi(kind); err == nil && !numbered {
		kind, index, numbered = cuda, kind, true
	}
	n := 0
	if numbered {
		var err error
		if n, err = strconv.Atoi(index); err != nil || n < 0 || kind == cpu {
			return Device{}, fmt.Errorf("device %q: no such number", text)
		}
	}
	switch kind {
	case "", cpu:
		return Device{Kind: cpu}, nil
	case cuda:
		return Device{cuda, n}, nil
	}
	return Device{}, fmt.Errorf("device %q is not known: cpu, cuda, cuda:N, N or auto", text)
}

// cudaDefaults are the CUDA provider's options that differ from its own
// defaults or must not be left to chance. Convolution plans come from cuDNN's
// heuristics instead of trials; the arena grows by what is asked for, not by
// powers of two; copies stay on the stream of the kernels, which orders them.
var cudaDefaults = map[string]string{
	"cudnn_conv_algo_search":    "HEURISTIC",
	"do_copy_in_default_stream": "1",
	"arena_extend_strategy":     "kSameAsRequested",
	"prefer_nhwc":               "0",
}

// appendTo puts the device's provider before the CPU provider.
func (d Device) appendTo(s *ort.SessionOptions, options map[string]string) error {
	if d.Kind == cpu {
		if len(options) > 0 {
			return fmt.Errorf("ort: the CPU provider takes no provider options, got %v", options)
		}
		return nil
	}
	if !has("CUDAExecutionProvider") {
		return &Unavailable{d.String(), Path(), errors.New("this library was built without CUDA"),
			"run scripts/setup.sh --cuda, or train on --device cpu"}
	}
	c, err := ort.NewCUDAProviderOptions()
	if err != nil {
		return d.unavailable(err)
	}
	defer c.Destroy()
	// The first update loads the provider's library and looks for the device,
	// so what the second one refuses is an option.
	if err := c.Update(map[string]string{"device_id": strconv.Itoa(d.Index)}); err != nil {
		return d.unavailable(err)
	}
	all := maps.Clone(cudaDefaults)
	maps.Copy(all, options)
	all["device_id"] = strconv.Itoa(d.Index)
	if err := c.Update(all); err != nil {
		return fmt.Errorf("ort: options of the CUDA provider %v: %s", all, tidy(err.Error()))
	}
	if err := s.AppendExecutionProviderCUDA(c); err != nil {
		return d.unavailable(err)
	}
	return nil
}

func (d Device) unavailable(reason error) error {
	text := tidy(reason.Error())
	return &Unavailable{d.String(), Path(), errors.New(text), cudaCure(text)}
}

// cudaCure says what a person can do about the reason the provider gave.
func cudaCure(reason string) string {
	lower := strings.ToLower(reason)
	for _, c := range []struct{ sign, cure string }{
		{"insufficient", "the driver is older than the library's CUDA: update it (CUDA 13 needs 580.65 or newer)"},
		{"no cuda-capable device", "no NVIDIA GPU is seen: check nvidia-smi, or train on --device cpu"},
		{"invalid device ordinal", "there is no GPU of that number: nvidia-smi -L lists them"},
		{"out of memory", "another program holds the GPU's memory: nvidia-smi shows which"},
		{"libcuda.so", "the NVIDIA driver is missing: install it, nvidia-smi must work"},
		{"libcudnn", "cuDNN 9 is missing from the library path: install it, or run scripts/setup.sh --cuda"},
		{"libcu", "the CUDA libraries are missing from the library path: install CUDA 13, or run scripts/setup.sh --cuda"},
		{"providers_cuda", "the CUDA provider's library is not beside the runtime's: run scripts/setup.sh --cuda"},
	} {
		if strings.Contains(lower, c.sign) {
			return c.cure
		}
	}
	return "check nvidia-smi, or train on --device cpu"
}

// chooseAuto tries CUDA once per process.
var chooseAuto = sync.OnceValues(func() (Device, string) {
	d := Device{Kind: cuda}
	if err := try(d); err != nil {
		return Device{Kind: cpu}, fmt.Sprintf("auto chose cpu: %v", err)
	}
	return d, "auto chose " + d.String()
})

// Resolve returns the device that text asks for and, for auto, a line that says
// what was chosen and why. Asking for a named device does not try it: Open does.
func Resolve(text string) (d Device, why string, err error) {
	if strings.ToLower(text) != auto {
		d, err = ParseDevice(text)
		return d, "", err
	}
	if err := Init(); err != nil {
		return Device{}, "", err
	}
	d, why = chooseAuto()
	return d, why, nil
}

// asUnavailable makes any failure of a device's trial say so.
func asUnavailable(d Device, err error) error {
	var u *Unavailable
	if errors.As(err, &u) {
		return err
	}
	return d.unavailable(err)
}
