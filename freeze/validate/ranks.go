package validate

import (
	"bytes"
	"encoding/gob"
	"fmt"

	"yolofreeze/dataset/metric"
)

// tally is what one batch contributes to a validation.
type tally struct {
	Samples []int
	Found   [][]metric.Detection // by picture, in pixels of the original
	Labels  [][]metric.LabelBox
	Loss    [3]float64
}

// take adds a batch to what is found.
func (r *validation) take(t tally) error {
	for i, found := range t.Found {
		if err := r.evaluator.Add(found, t.Labels[i]); err != nil {
			return fmt.Errorf("validate %s: %w", r.o.Samples[t.Samples[i]].Path, err)
		}
	}
	r.found.Box, r.found.Obj, r.found.Cls = r.found.Box+t.Loss[0], r.found.Obj+t.Loss[1], r.found.Cls+t.Loss[2]
	r.batches++
	return nil
}

// together takes what all ranks have found, in the order of the batches: the outcome is
// that of one rank which looks at all of them.
func (r *validation) together(own []tally) error {
	var text bytes.Buffer
	if err := gob.NewEncoder(&text).Encode(own); err != nil {
		return fmt.Errorf("tell what was found: %w", err)
	}
	parts, err := r.o.Ranks.Gather(text.Bytes())
	if err != nil {
		return fmt.Errorf("gather what the ranks have found: %w", err)
	}
	all, most := make([][]tally, len(parts)), 0
	for rank, part := range parts {
		if err := gob.NewDecoder(bytes.NewReader(part)).Decode(&all[rank]); err != nil {
			return fmt.Errorf("read what rank %d has found: %w", rank, err)
		}
		most = max(most, len(all[rank]))
	}
	for i := range most {
		for _, batches := range all {
			if i >= len(batches) {
				continue
			}
			if err := r.take(batches[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
