package finetune

import (
	"cmp"
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
func (t *training) checkAnchors() error {
	if t.resumed != nil || t.o.Epochs == 0 {
		return nil
	}
	forced := int(math.Round(t.o.Hyp.Anchors))
	for _, level := range t.model.Net.Anchors {
		if forced > 0 && forced != len(level) {
			return &options.Error{Reason: fmt.Sprintf("hyp: anchors %g: the model has %d a level, and only as many can be made anew", t.o.Hyp.Anchors, len(level))}
		}
	}
	if t.o.NoAutoAnchor {
		return nil
	}
	old, sizes := slices.Concat(t.model.Net.Anchors...), dataset.BoxSizes(t.set.Splits["train"], t.side)
	recall, perBox := dataset.AnchorFit(sizes, old, t.o.Hyp.AnchorT)
	t.r.Logf("AutoAnchor: %.2f anchors/target, %.3f best possible recall (BPR)", perBox, recall)
	switch {
	case len(sizes) == 0, forced == 0 && recall > enoughRecall:
		return nil
	case forced == 0 && !t.model.FreshHead() && !t.o.AutoAnchor:
		t.r.Warnf("the anchors fit these objects badly, but the head's weights were trained for them; `autoanchor` makes new ones")
		return nil
	}
	return t.replaceAnchors(sizes, old, recall, forced > 0)
}

// replaceAnchors fits new anchors, and takes them where they reach more of the objects.
func (t *training) replaceAnchors(sizes, old [][2]float64, recall float64, always bool) error {
	found := dataset.FitAnchors(sizes, len(old), t.o.Hyp.AnchorT, t.o.Seed)
	if found == nil {
		t.r.Warnf("AutoAnchor: %d objects are too few to fit %d anchors to, the model's stay", len(sizes), len(old))
		return nil
	}
	better, perBox := dataset.AnchorFit(sizes, found, t.o.Hyp.AnchorT)
	if !always && better <= recall {
		t.r.Logf("AutoAnchor: new anchors would reach %.3f, the model's stay", better)
		return nil
	}
	anchors := t.byLevel(found)
	t.model.Net.SetAnchors(anchors)
	t.r.Logf("AutoAnchor: %.2f anchors/target, %.3f BPR with new anchors %.1f", perBox, better, anchors)
	return nil
}

// byLevel deals anchors, smallest first, to the levels, finest stride first.
func (t *training) byLevel(anchors [][2]float64) [][][2]float64 {
	net := t.model.Net
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
