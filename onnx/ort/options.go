package ort

import (
	"errors"
	"fmt"
	"maps"

	ort "github.com/yalue/onnxruntime_go"
)

// OptLevel says how far the runtime rewrites a graph when it opens it.
type OptLevel int

// The runtime's levels; the zero value is all of them, its own default.
const (
	OptAll      OptLevel = iota
	OptNone              // the graph as it is
	OptBasic             // constant folding, redundant nodes
	OptExtended          // fusions for the provider, no re-laid-out tensors
)

var optLevels = map[OptLevel]ort.GraphOptimizationLevel{
	OptAll: ort.GraphOptimizationLevelEnableAll, OptNone: ort.GraphOptimizationLevelDisableAll,
	OptBasic: ort.GraphOptimizationLevelEnableBasic, OptExtended: ort.GraphOptimizationLevelEnableExtended,
}

// Options says how a session runs. The zero value is the runtime's own defaults
// on the CPU provider.
type Options struct {
	// Device is where it runs, as Resolve or ParseDevice reads it.
	Device Device
	// Strict refuses a model of which any node would run on another provider than Device's.
	Strict bool
	// Threads that work on one operator; 0 is one for each physical core.
	Threads int
	// Optimize is how far the graph is rewritten, Optimized a file to write the outcome to.
	Optimize  OptLevel
	Optimized string
	// Placement has the session remember which provider runs which node.
	Placement bool
	// Profile is the prefix of a trace file that EndProfile completes.
	Profile string

	// Memory against speed. The arena keeps what it once allocated; patterns
	// plan all of a run's buffers as one block when shapes repeat; pre-packing
	// keeps a second, re-laid-out copy of constant weights; shrinking gives the
	// arena's unused blocks back after each run, so it needs the arena.
	NoArena, NoMemPattern, NoPrepack, ShrinkArena bool

	// Capture has the provider record what a binding's first run does on the
	// device, and repeat that at every later one (CUDA graphs). It goes through
	// the first run several times over, so a model that updates values in place
	// does so as often; and all that is bound must lie on the device, since a
	// repetition reads and writes the same addresses. Runs of one such session
	// must come from one operating system thread (runtime.LockOSThread).
	Capture bool

	// Native gives the CPU provider kernels for the operators of domain yolofreeze
	// (package native). It takes oneDNN's library (InitNative finds it).
	Native bool

	// ProviderOptions override what Open sets for the device's provider (keys as
	// https://onnxruntime.ai/docs/execution-providers/ lists them), ConfigEntries
	// are session configuration keys (onnxruntime_session_options_config_keys.h).
	ProviderOptions map[string]string
	ConfigEntries   map[string]string
}

// padFusion is the rewriting that makes a Pad before a Conv the Conv's own pads.
// With more of them on one side than on the other, cuDNN may have no plan for
// such a Conv (onnxruntime issue 26274), and the WebGPU plugin 0.4.0, which works
// in NHWC, computes it wrongly.
const padFusion = "Pad_Fusion"

// build makes the runtime's session options; the caller destroys them.
func (o Options) build() (*ort.SessionOptions, error) {
	level, ok := optLevels[o.Optimize]
	if !ok {
		return nil, fmt.Errorf("ort: no optimization level %d", o.Optimize)
	}
	if o.NoArena && o.ShrinkArena {
		return nil, errors.New("ort: NoArena and ShrinkArena exclude each other")
	}
	s, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	// Idle threads sleep: those of one session, spinning, take the cores from the
	// session that runs next and from the loader.
	config := map[string]string{"session.intra_op.allow_spinning": "0"}
	if o.NoPrepack {
		config["session.disable_prepacking"] = "1"
	}
	if o.Placement {
		config["session.record_ep_graph_assignment_info"] = "1"
	}
	if o.Strict && o.Device.Kind != CPU {
		config["session.disable_cpu_ep_fallback"] = "1"
	}
	if d := o.Device; d.Kind == CUDA || d.Kind == WebGPU {
		config["optimization.disable_specified_optimizers"] = padFusion
	}
	maps.Copy(config, o.ConfigEntries)
	steps := []func() error{
		func() error { return s.SetGraphOptimizationLevel(level) },
		func() error { return s.SetExecutionMode(ort.ExecutionModeSequential) },
		func() error { return s.SetIntraOpNumThreads(o.Threads) },
		func() error { return s.SetCpuMemArena(!o.NoArena) },
		func() error { return s.SetMemPattern(!o.NoMemPattern) },
		func() error { return o.files(s) },
		func() error { return o.addNative(s) },
		func() error {
			for key, value := range config {
				if err := s.AddSessionConfigEntry(key, value); err != nil {
					return fmt.Errorf("session option %s=%s: %w", key, value, err)
				}
			}
			return nil
		},
		func() error {
			if o.Capture {
				return o.Device.appendTo(s, o.Device.capturing(o.ProviderOptions))
			}
			return o.Device.appendTo(s, o.ProviderOptions)
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			s.Destroy()
			return nil, err
		}
	}
	return s, nil
}

func (o Options) files(s *ort.SessionOptions) error {
	if o.Optimized != "" {
		if err := s.SetOptimizedModelFilePath(o.Optimized); err != nil {
			return err
		}
	}
	if o.Profile != "" {
		return s.EnableProfiling(o.Profile)
	}
	return nil
}
