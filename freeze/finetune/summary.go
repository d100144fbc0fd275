package finetune

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"yolofreeze/freeze"
)

// Report sums a run up; its JSON keys are stable.
type Report struct {
	RunDir    string       `json:"run_dir"`
	Best      string       `json:"best"` // weights of the best epoch, averaged
	Last      string       `json:"last"` // the state to resume from
	Export    string       `json:"onnx"` // the best as .onnx
	Metrics   Metrics      `json:"metrics"`
	Epochs    int          `json:"epochs"` // done
	Steps     int          `json:"steps"`  // of the optimizer
	Frozen    freeze.Count `json:"frozen"`
	Trainable freeze.Count `json:"trainable"`
	Skipped   int          `json:"skipped_steps"` // whose gradients overflowed in mixed precision
	Moved     Traffic      `json:"moved_bytes"`   // between host and device
	Placement *Placement   `json:"placement"`     // null where nothing was trained
	// DeviceMemory is the most that the device's allocator had in use for
	// training, in bytes; 0 on the CPU provider and where it does not tell.
	DeviceMemory int64 `json:"peak_device_bytes"`
	Timing
}

// Metrics are those of the best epoch.
type Metrics struct {
	Epoch     int     `json:"epoch"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	MAP50     float64 `json:"map50"`
	MAP       float64 `json:"map"`
	Fitness   float64 `json:"fitness"`
}

func metricsOf(epoch int, r Row) Metrics {
	return Metrics{epoch, r.Precision, r.Recall, r.MAP50, r.MAP, r.Fitness()}
}

// Timing is where the time of a process went. Images per second counts
// pictures trained over the time that training them took, waiting included.
type Timing struct {
	Seconds         float64 `json:"seconds"` // from start to end
	Phases          Phases  `json:"phases"`
	ImagesPerSecond float64 `json:"images_per_second"`
	PeakRSS         int64   `json:"peak_rss_bytes"` // 0 where the system does not tell
}

// Phases are seconds.
type Phases struct {
	Data       float64 `json:"data"`      // waiting for pictures
	Step       float64 `json:"step"`      // forward, loss, gradients
	Optimizer  float64 `json:"optimizer"` // clipping, update, moving average
	Validation float64 `json:"validation"`
	Saving     float64 `json:"saving"`
	Features   float64 `json:"features"` // making or opening the cache of frozen features
}

// clock adds up where time goes.
type clock struct {
	start                                               time.Time
	data, step, optimizer, validation, saving, features time.Duration
	images                                              int
}

func startClock() clock { return clock{start: time.Now()} }

func (c *clock) timing() Timing {
	t := Timing{Seconds: time.Since(c.start).Seconds(), PeakRSS: peakRSS(), Phases: Phases{c.data.Seconds(), c.step.Seconds(),
		c.optimizer.Seconds(), c.validation.Seconds(), c.saving.Seconds(), c.features.Seconds()}}
	if busy := (c.data + c.step + c.optimizer).Seconds(); busy > 0 {
		t.ImagesPerSecond = float64(c.images) / busy
	}
	return t
}

const timingHeader = "epoch,seconds,data,step,optimizer,validation,saving,features,images_per_second,peak_rss_bytes\n"

// line is a row of timing.csv: what this process has spent so far.
func (c *clock) line(epoch int) string {
	t := c.timing()
	return fmt.Sprintf("%d,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.2f,%d\n", epoch, t.Seconds, t.Phases.Data, t.Phases.Step,
		t.Phases.Optimizer, t.Phases.Validation, t.Phases.Saving, t.Phases.Features, t.ImagesPerSecond, t.PeakRSS)
}

func (t *training) report() *Report {
	s := t.stage.Plan.Summary()
	r := &Report{RunDir: t.dir, Epochs: t.p.Epoch, Steps: t.p.Steps, Frozen: s.Frozen, Trainable: s.Trainable, Timing: t.clock.timing(), Moved: t.moved, Placement: t.placement}
	if t.engine != nil {
		r.Moved = r.Moved.plus(t.engine.Moved())
		if stats, err := t.engine.DeviceMemory(); err == nil { // a figure that is absent spoils no run
			r.DeviceMemory, _ = strconv.ParseInt(stats["MaxInUse"], 10, 64)
		}
		if t.engine.Scaler != nil {
			r.Skipped = t.engine.Scaler.Skipped
		}
	}
	return r
}

func (r *Report) write(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return writeFile(path, append(data, '\n'))
}
