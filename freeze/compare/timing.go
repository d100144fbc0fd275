package compare

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/disk"
)

// readTiming reads timing.csv and summary.json. Every process of a run counts
// from its own start: where a column falls, the run was resumed.
func (r *Run) readTiming() error {
	var before, last spent
	at := map[int]spent{}
	err := r.readOwn(runs.TimingFile, runs.TimingHeader, func(row []string) error {
		epoch, now, err := spentOf(row)
		if err != nil {
			return err
		}
		if now.restarted(last) {
			before = before.plus(last)
		}
		last = now
		at[epoch] = before.plus(now)
		return nil
	})
	if err != nil || len(at) == 0 {
		return err
	}
	for i := range r.Curve {
		if s, ok := at[int(r.Curve[i].Epoch)]; ok {
			r.Curve[i].Seconds = runs.Figure(s.Seconds)
		}
	}
	all, err := r.readSummary(before, last)
	if err != nil {
		return err
	}
	r.Seconds, r.Phases = runs.Figure(all.Seconds), &all.Phases
	if all.PeakRSS > 0 {
		r.PeakRSS = runs.Figure(all.PeakRSS)
	}
	if busy := all.busy(); busy > 0 {
		r.Images, r.ImagesPerSecond = runs.Figure(math.Round(all.images)), runs.Figure(all.images/busy)
	}
	return nil
}

// readSummary adds what the last process did after its last epoch.
func (r *Run) readSummary(before, last spent) (spent, error) {
	data, err := r.readOptional(runs.SummaryFile)
	if err != nil || data == nil {
		return before.plus(last), err
	}
	var report struct {
		runs.Timing
		Environment runs.Environment `json:"environment"`
	}
	if err := json.Unmarshal(data, &report); err != nil {
		return last, &disk.InputError{Path: filepath.Join(r.Dir, runs.SummaryFile), Err: err}
	}
	r.Environment = report.Environment
	final := spent{Timing: report.Timing}
	final.images = report.ImagesPerSecond * final.busy()
	if final.restarted(last) {
		before = before.plus(last)
	}
	return before.plus(final), nil
}

// spent is what a process, or several, took.
type spent struct {
	runs.Timing
	images float64
}

func (s spent) busy() float64 { return s.Phases.Data + s.Phases.Step + s.Phases.Optimizer }

// rounding is how far timing.csv's figures may lie above the true ones, and more.
const rounding = .002

// restarted reports whether s belongs to a process after that of last.
func (s spent) restarted(last spent) bool {
	fell := func(now, before float64) bool { return now < before-rounding }
	a, b := s.Phases, last.Phases
	return fell(s.Seconds, last.Seconds) || fell(a.Data, b.Data) || fell(a.Step, b.Step) || fell(a.Optimizer, b.Optimizer) ||
		fell(a.Validation, b.Validation) || fell(a.Saving, b.Saving) || fell(a.Features, b.Features)
}

func (s spent) plus(t spent) spent {
	a, b := s.Phases, t.Phases
	return spent{runs.Timing{Seconds: s.Seconds + t.Seconds, PeakRSS: max(s.PeakRSS, t.PeakRSS),
		Phases: runs.Phases{Data: a.Data + b.Data, Step: a.Step + b.Step, Optimizer: a.Optimizer + b.Optimizer, Validation: a.Validation + b.Validation, Saving: a.Saving + b.Saving, Features: a.Features + b.Features}}, s.images + t.images}
}

// spentOf reads a line of timing.csv.
func spentOf(row []string) (epoch int, s spent, err error) {
	values := make([]float64, len(row))
	for i, text := range row {
		if values[i], err = strconv.ParseFloat(text, 64); err != nil || !finite(values[i]) || values[i] < 0 {
			return 0, s, fmt.Errorf("column %s: %q is not a number", strings.Split(strings.TrimSpace(runs.TimingHeader), ",")[i], text)
		}
	}
	s.Seconds, s.PeakRSS = values[1], int64(values[9])
	s.Phases = runs.Phases{Data: values[2], Step: values[3], Optimizer: values[4], Validation: values[5], Saving: values[6], Features: values[7]}
	s.images = values[8] * s.busy()
	return int(values[0]), s, nil
}

// readEvents takes the times of epochs from TensorBoard's event files, which
// YOLOv5 writes beside results.csv, where nothing else tells them. Damaged or
// foreign files tell nothing.
func (r *Run) readEvents() error {
	if r.Seconds.Known() {
		return nil
	}
	files := disk.Glob(r.Dir, "events.out.tfevents.*")
	if len(files) != 1 {
		return nil // several: the run was resumed, and the time between does not count
	}
	data, err := disk.Read(files[0], runs.MostBytes)
	if err != nil {
		return nil
	}
	start, written := eventTimes(data)
	last := runs.Unknown
	for i := range r.Curve {
		if t, ok := written[int64(r.Curve[i].Epoch)]; ok && t >= start {
			r.Curve[i].Seconds = runs.Figure(t - start)
			last = r.Curve[i].Seconds
		}
	}
	r.Seconds = last
	return nil
}

// eventTimes reads an event file: records of a length (8 bytes), its checksum
// (4), an Event and its checksum (4), little endian
// (tensorflow/core/lib/io/record_writer.h). It returns the first event's time
// and, by step, the time of the last event that carries a summary, in seconds.
func eventTimes(data []byte) (start float64, written map[int64]float64) {
	written, start = map[int64]float64{}, math.NaN()
	for len(data) >= 16 {
		n := binary.LittleEndian.Uint64(data)
		if n > uint64(len(data)-16) {
			break
		}
		wall, step, summary := event(data[12 : 12+n])
		if math.IsNaN(start) {
			start = wall
		}
		if summary {
			written[step] = wall
		}
		data = data[16+n:]
	}
	return start, written
}

// event reads wall_time (field 1), step (2) and whether there is a summary (5)
// of an Event (tensorflow/core/util/event.proto).
func event(data []byte) (wall float64, step int64, summary bool) {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return wall, step, false
		}
		data = data[n:]
		switch {
		case number == 1 && kind == protowire.Fixed64Type:
			v, _ := protowire.ConsumeFixed64(data)
			wall = math.Float64frombits(v)
		case number == 2 && kind == protowire.VarintType:
			v, _ := protowire.ConsumeVarint(data)
			step = int64(v)
		case number == 5:
			summary = true
		}
		if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
			return wall, step, false
		}
		data = data[n:]
	}
	return wall, step, summary
}
