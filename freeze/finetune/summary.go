package finetune

import (
	"encoding/json"
	"fmt"
	goruntime "runtime"
	"strconv"
	"time"

	"yolofreeze/freeze"
	"yolofreeze/freeze/export"
	"yolofreeze/freeze/runs"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/machine"
	"yolofreeze/onnx/ort"
)

// Summary sums a run up; its JSON keys are stable.
type Summary struct {
	RunDir    string          `json:"run_dir"`
	Best      string          `json:"best"` // weights of the best epoch, averaged
	Last      string          `json:"last"` // the state to resume from
	Export    string          `json:"onnx"` // the best as .onnx
	Metrics   runs.Metrics    `json:"metrics"`
	Epochs    int             `json:"epochs"` // done
	Steps     int             `json:"steps"`  // of the optimizer
	Frozen    freeze.Count    `json:"frozen"`
	Trainable freeze.Count    `json:"trainable"`
	Plans     []string        `json:"plans,omitempty"`    // what was frozen from which epoch on, where that was changed
	Skipped   int             `json:"skipped_steps"`      // whose gradients overflowed in mixed precision
	Moved     step.Traffic    `json:"moved_bytes"`        // between host and device
	Placement *step.Placement `json:"placement"`          // null where nothing was trained
	Kernels   string          `json:"kernels"`            // native or stock; "" where nothing was trained
	Branches  *Branches       `json:"branches,omitempty"` // where the trained one stands beside others
	Teacher   artifact.Source `json:"teacher,omitzero"`   // whose classes the run keeps
	// DeviceMemory is the most that the device's allocator had in use for
	// training, in bytes; 0 on the CPU provider and where it does not tell.
	DeviceMemory int64            `json:"peak_device_bytes"`
	Environment  runs.Environment `json:"environment"`
	runs.Timing
}

// Branches say what a model with a further branch costs beside the one without it.
type Branches struct {
	Kept   []string    `json:"kept"`   // classes of the others
	Shared int         `json:"shared"` // first layers of all
	Before export.Cost `json:"before"` // a picture of the run's size
	After  export.Cost `json:"after"`
}

// clock adds up where time goes.
type clock struct {
	start                                               time.Time
	data, step, optimizer, validation, saving, features time.Duration
	images                                              int
}

func startClock() *clock { return &clock{start: time.Now()} }

func (c *clock) timing() runs.Timing {
	t := runs.Timing{Seconds: time.Since(c.start).Seconds(), PeakRSS: machine.PeakMemory(), Phases: runs.Phases{Data: c.data.Seconds(), Step: c.step.Seconds(),
		Optimizer: c.optimizer.Seconds(), Validation: c.validation.Seconds(), Saving: c.saving.Seconds(), Features: c.features.Seconds()}}
	if busy := (c.data + c.step + c.optimizer).Seconds(); busy > 0 {
		t.ImagesPerSecond = float64(c.images) / busy
	}
	return t
}

// line is a row of timing.csv: what this process has spent so far.
func (c *clock) line(epoch int) string {
	t := c.timing()
	return fmt.Sprintf("%d,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.2f,%d\n", epoch, t.Seconds, t.Phases.Data, t.Phases.Step,
		t.Phases.Optimizer, t.Phases.Validation, t.Phases.Saving, t.Phases.Features, t.ImagesPerSecond, t.PeakRSS)
}

// summary is what can be said of the run so far.
func (l *loop) summary() *Summary {
	s := l.stage.Plan.Summary()
	r := &Summary{RunDir: l.folder.dir, Epochs: l.p.Epoch, Steps: l.p.Steps, Frozen: s.Frozen, Trainable: s.Trainable, Plans: l.o.Plans, Timing: l.clock.timing(), Moved: l.moved, Placement: l.placement, Teacher: l.teacher.origin()}
	if l.engine != nil {
		r.Kernels = l.o.Kernels
	}
	r.Environment = environment(l.o.Version, l.o.Runtime.Device.String(), r.Kernels)
	if l.engine != nil {
		r.Moved = r.Moved.Plus(l.engine.Moved())
		if stats, err := l.engine.DeviceMemory(); err == nil { // a figure that is absent spoils no run
			r.DeviceMemory, _ = strconv.ParseInt(stats["MaxInUse"], 10, 64)
		}
		if l.engine.Scaler != nil {
			r.Skipped = l.engine.Scaler.Skipped
		}
	}
	return r
}

// environment is where this process runs.
func environment(version, device, kernels string) runs.Environment {
	return runs.Environment{Version: version, System: goruntime.GOOS + "/" + goruntime.GOARCH, Processor: machine.Processor(), Threads: goruntime.GOMAXPROCS(0),
		Memory: machine.TotalMemory(), Runtime: ort.Version(), Device: device, Kernels: kernels}
}

func (r *Summary) write(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return runs.WriteFile(path, append(data, '\n'))
}
