package compare

import (
	"fmt"
	"path/filepath"

	"yolofreeze/freeze/runs"
)

// facts are what a run's figures depend on beside its options.
var facts = []struct {
	name string
	of   func(*Run) string
}{
	{"processor", func(r *Run) string { return r.Environment.Processor }},
	{"threads", func(r *Run) string { return positive(r.Environment.Threads) }},
	{"memory", func(r *Run) string {
		if r.Environment.Memory == 0 {
			return ""
		}
		return bytesText(runs.Figure(r.Environment.Memory))
	}},
	{"system", func(r *Run) string { return r.Environment.System }},
	{"device", func(r *Run) string { return r.Environment.Device }},
	{"kernels", func(r *Run) string { return r.Environment.Kernels }},
	{"ONNX Runtime", func(r *Run) string { return r.Environment.Runtime }},
	{"program", func(r *Run) string {
		if r.Source != "yolofreeze" {
			return r.Source
		}
		return r.Source + " " + r.Environment.Version
	}},
	{"data", func(r *Run) string { return filepath.ToSlash(r.Settings["data"]) }},
	{"weights", func(r *Run) string { return filepath.ToSlash(r.Settings["weights"]) }},
	{"image size", func(r *Run) string { return r.Settings["imgsz"] }},
	{"batch size", func(r *Run) string { return r.Settings["batch_size"] }},
}

func positive(n int) string {
	if n < 1 {
		return ""
	}
	return fmt.Sprint(n)
}

// environmentTable says where and on what the groups ran, without what no run tells.
func (c *Comparison) environmentTable() *reportTable {
	t := &reportTable{Title: "Machine and data", Head: []string{""}, Note: "Times and memory compare between runs on the same machine alone."}
	for _, g := range c.Groups {
		t.Head = append(t.Head, g.Name)
	}
	for _, f := range facts {
		row, any := []reportCell{{Text: f.name}}, false
		for _, g := range c.Groups {
			text := f.of(g.members[0])
			for _, r := range g.members[1:] {
				if f.of(r) != text {
					text = "differs between its runs"
				}
			}
			any = any || text != ""
			row = append(row, reportCell{Text: orDash(text)})
		}
		if any {
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}
