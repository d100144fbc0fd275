package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx/machine"
	"yolofreeze/onnx/ort"
)

// diagnosis is what doctor found; its JSON keys are stable.
type diagnosis struct {
	Runtime   runtimeState    `json:"onnxruntime"`
	Providers []providerState `json:"providers"`
	Cores     int             `json:"cores"`
	Memory    memoryState     `json:"memory"`
	Driver    string          `json:"nvidia_driver"` // "" where none is loaded
	Build     buildVersion    `json:"yolofreeze"`
	Native    nativeState     `json:"native_kernels"`
}

type runtimeState struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Error   string `json:"error"`
}

type providerState struct {
	Name      string `json:"name"`
	Device    string `json:"device"`   // what --device calls it; "" where yolofreeze does not use it
	Hardware  string `json:"hardware"` // what it runs on, where it tells
	Available bool   `json:"available"`
	Error     string `json:"error"`
	Trained   bool   `json:"trained"`   // steps of a tiny network gave the CPU provider's losses
	Fallbacks int    `json:"fallbacks"` // nodes of that step that ran on the CPU provider
}

// nativeState is of the kernels that train uses on the CPU where they can be had.
type nativeState struct {
	Path    string `json:"path"` // of oneDNN's library
	Error   string `json:"error"`
	Trained bool   `json:"trained"` // steps of a tiny network gave the stock kernels' losses
}

// memoryState is in bytes; total is zero where the system does not tell.
type memoryState struct {
	Total     int64 `json:"total"`
	Available int64 `json:"available"` // under all limits
}

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "train a tiny network on every device here, say what works and how to mend what does not",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "device", Usage: "try this `DEVICE` alone, as train takes it; exit code 4 where it cannot train"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 0, 0); err != nil {
				return err
			}
			d, unfit := diagnose(term.Of(c), c.String("device"))
			if wrong := (*ort.RequestError)(nil); errors.As(unfit, &wrong) {
				return unfit
			}
			if err := term.Of(c).Result(d, d.write); err != nil {
				return err
			}
			return unfit
		},
	}
}

// diagnose tries a device, or every one. The error says that nothing can train here.
func diagnose(t *term.Terminal, device string) (d diagnosis, unfit error) {
	d = diagnosis{Cores: runtime.NumCPU(), Memory: memoryState{machine.TotalMemory(), machine.FreeMemory()}, Driver: ort.Driver(), Build: readVersion(), Providers: []providerState{}}
	err := ort.Init()
	d.Runtime.Path, d.Runtime.Version = ort.Path(), ort.Version()
	if err != nil {
		d.Runtime.Error = t.Spelt(err.Error())
		if path, lost := ort.Find(); lost == nil {
			d.Runtime.Path = path // found, but unfit
		}
		return d, err
	}
	if device != "" {
		named, err := ort.Resolve(device)
		if err != nil {
			return d, err
		}
		s, unfit := trained(t, ort.Probe(named))
		if s.Name, s.Device = device, device; named.Why != "" {
			s.Device = named.String()
		}
		d.Providers = append(d.Providers, s)
		return d, unfit
	}
	providers, err := ort.Providers()
	if err != nil {
		return d, err
	}
	unfit = errors.New("no execution provider can train: not even the CPU's")
	for _, p := range providers {
		s, err := trained(t, p)
		if err == nil {
			unfit = nil
		}
		d.Providers = append(d.Providers, s)
	}
	d.Native = tryNative(t)
	return d, unfit
}

// tryNative has native kernels train a tiny network.
func tryNative(t *term.Terminal) (s nativeState) {
	err := ort.InitNative()
	if err == nil {
		s.Path = ort.NativePath()
		err = step.TryNative()
	}
	if s.Trained = err == nil; !s.Trained {
		s.Error = t.Spelt(term.OneLine(err.Error()))
	}
	return s
}

// trained has a provider that starts train a tiny network. The error says why it cannot.
func trained(t *term.Terminal, p ort.Provider) (providerState, error) {
	s := providerState{Name: p.Name, Hardware: p.Hardware, Available: p.Available}
	if p.Driven {
		s.Device = p.Device.Kind.String()
	}
	err := p.Error
	if p.Available {
		var list []step.Fallback
		if list, err = step.Try(p.Device); err != nil {
			err = untrained(p.Device, err)
		}
		s.Trained, s.Fallbacks = err == nil, len(list)
	}
	if err != nil {
		s.Error = t.Spelt(term.OneLine(err.Error()))
	}
	return s, err
}

// untrained says why a device that starts cannot train; failures that the runtime is known to
// tell of such a device have their own cure.
func untrained(d ort.Device, err error) error {
	if u := (*ort.Unavailable)(nil); errors.As(err, &u) {
		return u
	}
	cure := ort.KnownCure(d, err)
	if cure == "" {
		cure = "use another version of the provider, or `device cpu`"
	}
	return &ort.Unavailable{What: d.String(), Path: ort.Path(), Reason: err, Cure: cure}
}

func (d diagnosis) write(w io.Writer) error {
	term.Fprintf(w, "yolofreeze   %s, %s, %s\n", d.Build.Version, d.Build.Go, d.Build.Platform)
	term.Fprintf(w, "machine      %d cores", d.Cores)
	if m := d.Memory; m.Total > 0 {
		term.Fprintf(w, ", %.1f GB of memory, %.1f GB available", float64(m.Total)/1e9, float64(m.Available)/1e9)
	}
	if d.Driver != "" {
		term.Fprintf(w, ", NVIDIA driver %s", d.Driver)
	}
	term.Fprintf(w, "\n")
	if d.Runtime.Error != "" {
		term.Fprintln(w, strings.TrimSpace("ONNX Runtime cannot be used "+d.Runtime.Path))
	} else {
		term.Fprintf(w, "ONNX Runtime %s, %s\n", d.Runtime.Version, d.Runtime.Path)
	}
	for _, p := range d.Providers {
		switch {
		case p.Trained:
			term.Fprintf(w, "%-28s works: --device %s%s\n", p.Name, p.Device, p.remarks())
		case p.Available:
			term.Fprintf(w, "%-28s starts, but cannot train: %s\n", p.Name, p.Error)
		case p.Device != "":
			term.Fprintf(w, "%-28s %s\n", p.Name, strings.ReplaceAll(p.Error, d.Runtime.Path+": ", ""))
		}
	}
	switch n := d.Native; {
	case n.Trained:
		term.Fprintf(w, "%-28s work: --kernels native, %s\n", "native kernels", n.Path)
	case n.Path != "":
		term.Fprintf(w, "%-28s start, but cannot train: %s\n", "native kernels", n.Error)
	case n.Error != "":
		term.Fprintf(w, "%-28s %s\n", "native kernels", n.Error)
	}
	return nil
}

// remarks say what a training step showed of a provider.
func (p providerState) remarks() string {
	text := ""
	if p.Hardware != "" {
		text = " (" + p.Hardware + ")"
	}
	if p.Fallbacks > 0 {
		text += fmt.Sprintf(", but %d operators of a training step run on the CPU provider: slow", p.Fallbacks)
	}
	return text
}
