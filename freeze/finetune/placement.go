package finetune

import (
	"fmt"

	"yolofreeze/freeze/step"
)

// checkPlacement warns of nodes that fell back to the CPU provider, or refuses them.
func (t *trainer) checkPlacement(e *step.Engine) (err error) {
	if t.placement, err = e.Placement(); err != nil {
		return err
	}
	type kind struct{ graph, op, why string }
	count := map[kind]int{}
	var kinds []kind
	for _, f := range t.placement.Fallbacks {
		k := kind{f.Graph, f.Op, f.Why}
		if count[k]++; count[k] == 1 {
			kinds = append(kinds, k)
		}
	}
	var unexpected []string
	for _, k := range kinds {
		n := count[k]
		if k.why == "" {
			k.why = "for a reason that is not known"
			unexpected = append(unexpected, fmt.Sprintf("%d %s (%s)", n, k.op, k.graph))
		}
		if !t.o.StrictPlacement {
			t.r.Warnf("%d %s of the %s graph run on the CPU provider instead of %s: %s", n, k.op, k.graph, e.Device(), k.why)
		}
	}
	if t.o.StrictPlacement && len(unexpected) > 0 {
		return &step.UnfitError{Device: e.Device(), Reason: "nodes left to the CPU provider without a known reason", Nodes: unexpected,
			Cure: "leave `strict-placement` out to train all the same, with copies between device and host in every step"}
	}
	return nil
}
