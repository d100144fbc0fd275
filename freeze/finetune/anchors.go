package finetune

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"yolofreeze/dataset"
	"yolofreeze/freeze/options"
)

// enoughRecall is the best possible recall from which on anchors stay as they are.
const enoughRecall = .98

// checkAnchors looks whether the network's anchors suit the objects and, where
// others do better, replaces them (YOLOv5's AutoAnchor) if the head is new or
// the options say so: weights that are kept were trained for their anchors.
// hyp's anchors asks for new ones in any case. A resumed run keeps those it has.
func (j *job) checkAnchors(ctx context.Context) error {
	if j.resumed != nil || j.o.Epochs == 0 {
		return nil
	}
	forced := int(math.Round(j.o.Hyp.Anchors))
	for _, level := range j.model.Net.Anchors {
		if forced > 0 && forced != len(level) {
			return &options.Error{Reason: fmt.Sprintf("hyp: anchors %g: the model has %d a level, and only as many can be made anew", j.o.Hyp.Anchors, len(level))}
		}
	}
	if j.o.NoAutoAnchor {
		return nil
	}
	old, sizes := slices.Concat(j.model.Net.Anchors...), dataset.BoxSizes(j.all, j.size)
	recall, perBox := dataset.AnchorFit(sizes, old, j.o.Hyp.AnchorT)
	j.r.Logf("AutoAnchor: %.2f anchors/target, %.3f best possible recall (BPR)", perBox, recall)
	switch {
	case len(sizes) == 0, forced == 0 && recall > enoughRecall:
		return nil
	case j.teacher != nil:
		j.r.Warnf("the anchors fit these objects badly, but they are the teacher's, too, and stay")
		return nil
	case forced == 0 && !j.model.FreshHead() && !j.o.AutoAnchor:
		j.r.Warnf("the anchors fit these objects badly, but the head's weights were trained for them; `autoanchor` makes new ones")
		return nil
	}
	return j.replaceAnchors(ctx, sizes, old, recall, forced > 0)
}

// replaceAnchors fits new anchors, and takes them where they reach more of the objects.
func (j *job) replaceAnchors(ctx context.Context, sizes, old [][2]float64, recall float64, always bool) error {
	found, err := heeding(ctx, func() ([][2]float64, error) {
		return dataset.FitAnchors(sizes, len(old), j.o.Hyp.AnchorT, j.o.Seed), nil
	})
	if err != nil {
		return err
	}
	if found == nil {
		j.r.Warnf("AutoAnchor: %d objects are too few to fit %d anchors to, the model's stay", len(sizes), len(old))
		return nil
	}
	better, perBox := dataset.AnchorFit(sizes, found, j.o.Hyp.AnchorT)
	if !always && better <= recall {
		j.r.Logf("AutoAnchor: new anchors would reach %.3f, the model's stay", better)
		return nil
	}
	anchors := j.byLevel(found)
	j.model.Net.SetAnchors(anchors)
	j.r.Logf("AutoAnchor: %.2f anchors/target, %.3f BPR with new anchors %.1f", perBox, better, anchors)
	return nil
}

// byLevel deals anchors, smallest first, to the levels, finest stride first.
func (j *job) byLevel(anchors [][2]float64) [][][2]float64 {
	net := j.model.Net
	order := make([]int, len(net.Anchors))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(net.Strides[a], net.Strides[b]) })
	levels := make([][][2]float64, len(net.Anchors))
	for _, i := range order {
		n := len(net.Anchors[i])
		levels[i], anchors = anchors[:n:n], anchors[n:]
	}
	return levels
}
