package main

import (
	"fmt"

	"yolofreeze/cmd/term"
	"yolofreeze/dataset"
	"yolofreeze/freeze/finetune"
)

// trainReporter shows a run: bars with YOLOv5's columns on a terminal, else a
// line per epoch; with --json an object per epoch on standard output.
type trainReporter struct {
	t      *term.Terminal
	bar    *term.Bar
	header bool
	last   finetune.BatchResult
}

func (r *trainReporter) Logf(format string, args ...any) {
	r.close()
	r.t.Logf(format, args...)
}

func (r *trainReporter) Warnf(format string, args ...any) {
	r.close()
	r.t.Warnf(format, args...)
}

func (r *trainReporter) Data(set *dataset.Set) { reportData(r.t, set) }

// close ends a bar that is under way.
func (r *trainReporter) close() {
	if r.bar != nil {
		r.bar.Finish()
		r.bar = nil
	}
}

const trainHeader = "%11s%11s%11s%11s%11s%11s%11s"

func (r *trainReporter) Batch(b finetune.BatchResult) {
	r.last = b
	if !r.t.Live {
		return
	}
	if r.bar == nil {
		r.t.Logf("\n"+trainHeader, "Epoch", "mem", "box_loss", "obj_loss", "cls_loss", "Instances", "Size")
		r.bar = r.t.Bar("", b.Batches)
		r.bar.Add(b.Batch - 1)
	}
	r.bar.Describe(trainLine(b))
	r.bar.Add(1)
	if b.Batch == b.Batches {
		r.close()
	}
}

func trainLine(b finetune.BatchResult) string {
	return fmt.Sprintf("%11s%10.3gG%11.4g%11.4g%11.4g%11d%11d", fmt.Sprintf("%d/%d", b.Epoch, b.Epochs-1),
		float64(b.Memory)/1e9, b.Box, b.Obj, b.Cls, b.Instances, b.Side)
}

func (r *trainReporter) Validating(done, batches int) {
	if !r.t.Live {
		return
	}
	if r.bar == nil {
		r.bar = r.t.Bar(fmt.Sprintf("%22s%11s%11s%11s%11s%11s%11s", "Class", "Images", "Instances", "P", "R", "mAP50", "mAP50-95"), batches)
	}
	r.bar.Add(1)
	if done == batches {
		r.close()
	}
}

func (r *trainReporter) Epoch(e finetune.EpochResult) {
	r.close()
	if !r.t.Live {
		if !r.header {
			r.header = true
			r.t.Logf(trainHeader+"%11s%11s%11s%11s", "Epoch", "mem", "box_loss", "obj_loss", "cls_loss", "Instances", "Size", "P", "R", "mAP50", "mAP50-95")
		}
		line := trainLine(r.last)
		if e.Evaluation != nil {
			line += fmt.Sprintf("%11.3g%11.3g%11.3g%11.3g", e.Precision, e.Recall, e.MAP50, e.MAP)
		}
		r.t.Logf("%s", line)
	} else if v := e.Evaluation; v != nil {
		r.t.Logf("%22s%11d%11d%11.3g%11.3g%11.3g%11.3g", "all", v.Images, v.Instances, e.Precision, e.Recall, e.MAP50, e.MAP)
	}
	if err := r.t.Stream(e.Row); err != nil {
		r.t.Warnf("%v", err)
	}
}
