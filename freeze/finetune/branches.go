package finetune

import (
	"context"
	"fmt"

	"yolofreeze/freeze/export"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
)

// branches tells whether the run makes a further branch, and does not go on with one.
func (j *job) branches() bool { return j.o.KeepClasses && j.resumed == nil }

// shareTrunk settles which first layers the branch that trains shares with those that stay
// as they are: those that are fixed in all stages, or that it shared before.
func (j *job) shareTrunk() error {
	if j.kept == nil {
		return nil
	}
	if j.branches() {
		j.shared = j.model.Net.Head()
		for _, s := range j.stages {
			if j.shared = min(j.shared, step.CutOf(s.Plan)); j.shared == 0 {
				return &disk.InputError{Path: j.o.Weights, Err: fmt.Errorf("`keep-classes` shares frozen first layers, but %s: freeze layers from the first one on, with fixed statistics, such as `freeze 10` `bn eval`", s.Plan.Moves(s.Plan.FixedPrefix()))}
			}
		}
	}
	for _, s := range j.stages {
		if err := j.model.CheckShared(s.Plan, j.shared); err != nil {
			return err
		}
	}
	if _, err := j.kept.Join(j.model, j.shared); err != nil {
		return err
	}
	j.r.Logf("keeping %d classes: the first %d layers are shared, the other %d of %s stay as they are beside the branch that trains",
		len(j.kept.Names), j.shared, len(j.kept.Net.Layers)-j.shared, j.kept.Path)
	return nil
}

// cost measures an export of all branches beside one without the branch that was trained.
func (j *job) cost(ctx context.Context, joined *onnx.Model) (*Branches, error) {
	if j.kept == nil {
		return nil, nil
	}
	before, err := export.ONNX(j.kept, j.source, export.Options{Version: j.o.Version, Batch: 1, Height: j.size.Height, Width: j.size.Width})
	if err != nil {
		return nil, err
	}
	costs, err := export.Costs(ctx, []*onnx.Model{before, joined}, j.o.Runtime)
	if err != nil {
		return nil, err
	}
	b := &Branches{Kept: j.kept.Names, Shared: j.shared, Before: costs[0], After: costs[1]}
	j.r.Logf("a picture of %v pixels takes %.2f GFLOPs and %.1f ms; without the new branch %.2f and %.1f",
		j.size, b.After.GFLOPs, b.After.Milliseconds, b.Before.GFLOPs, b.Before.Milliseconds)
	return b, nil
}
