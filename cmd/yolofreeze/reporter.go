package main

import (
	"fmt"
	"slices"
	"strings"

	"yolofreeze/cmd/datasets"
	"yolofreeze/cmd/term"
	"yolofreeze/dataset"
	"yolofreeze/freeze"
	"yolofreeze/freeze/finetune"
)

// trainReporter shows a run: bars with YOLOv5's columns on a terminal, else a
// line per epoch; with --json an object per epoch on standard output.
type trainReporter struct {
	t      *term.Terminal
	bar    *term.Bar
	frozen func(*freeze.Plan) []string // what of it is told
	header bool
	last   finetune.BatchResult
	room   int // columns of the last validation's row
}

func (r *trainReporter) Logf(format string, args ...any) {
	r.close()
	r.t.Logf(format, args...)
}

func (r *trainReporter) Warnf(format string, args ...any) {
	r.close()
	r.t.Warnf(format, args...)
}

func (r *trainReporter) Data(set *dataset.Set) { datasets.Report(r.t, set) }

func (r *trainReporter) Plan(p *freeze.Plan) {
	for _, line := range r.frozen(p) {
		r.t.Logf("freezing %s", line)
	}
}

// close ends a bar that is under way.
func (r *trainReporter) close() {
	if r.bar != nil {
		r.bar.Finish()
		r.bar = nil
	}
}

// The columns of training and validation, and which can be spared, the first first.
var (
	trainHeader = []string{"Epoch", "mem", "box_loss", "obj_loss", "cls_loss", "Instances", "Size"}
	trainSpare  = []int{1, 6, 5, 4}
	valHeader   = []string{"Class", "Images", "Instances", "P", "R", "mAP50", "mAP50-95"}
	valSpare    = []int{1, 0, 2}
)

func (r *trainReporter) Batch(b finetune.BatchResult) {
	r.last = b
	if !r.t.Live {
		return
	}
	if r.bar == nil {
		r.t.Logf("\n%s", term.Columns(r.t.Room(b.Batches), trainHeader, trainSpare...))
		r.bar = r.t.Bar("", b.Batches)
		r.bar.Add(b.Batch - 1)
	}
	r.bar.Describe(term.Columns(r.bar.Room(), trainCells(b), trainSpare...))
	r.bar.Add(1)
	if b.Batch == b.Batches {
		r.close()
	}
}

func trainCells(b finetune.BatchResult) []string {
	return []string{fmt.Sprintf("%d/%d", b.Epoch, b.Epochs-1), fmt.Sprintf("%.3gG", float64(b.Memory)/1e9), fmt.Sprintf("%.4g", b.Box),
		fmt.Sprintf("%.4g", b.Obj), fmt.Sprintf("%.4g", b.Cls), fmt.Sprint(b.Instances), fmt.Sprint(b.Side)}
}

func (r *trainReporter) Validating(done, batches int) {
	if !r.t.Live {
		return
	}
	if r.bar == nil {
		r.bar = r.t.Bar("", batches)
		r.room = r.bar.Room()
		r.bar.Describe(valRow(r.room, valHeader))
	}
	r.bar.Add(1)
	if done == batches {
		r.close()
	}
}

// valRow has the class's column twice as wide, where there is room.
func valRow(room int, cells []string) string {
	if room > 0 && room < 8*11 {
		return term.Columns(room, cells, valSpare...)
	}
	return strings.Repeat(" ", 11) + term.Columns(0, cells)
}

func (r *trainReporter) Epoch(e finetune.EpochResult) {
	r.close()
	if v := e.Evaluation; !r.t.Live {
		found := []string{"P", "R", "mAP50", "mAP50-95"}
		if !r.header {
			r.header = true
			r.t.Logf("%s", term.Columns(0, slices.Concat(trainHeader, found)))
		}
		line := trainCells(r.last)
		if v != nil {
			line = append(line, figures(e)...)
		}
		r.t.Logf("%s", term.Columns(0, line))
	} else if v != nil {
		r.t.Logf("%s", valRow(r.room, append([]string{"all", fmt.Sprint(v.Images), fmt.Sprint(v.Instances)}, figures(e)...)))
	}
	if err := r.t.Stream(e.Row); err != nil {
		r.t.Warnf("%v", err)
	}
}

func figures(e finetune.EpochResult) (list []string) {
	for _, v := range []float64{e.Precision, e.Recall, e.MAP50, e.MAP} {
		list = append(list, fmt.Sprintf("%.3g", v))
	}
	return list
}
