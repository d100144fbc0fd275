package checkpoint

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"yolofreeze/freeze/runs"
	"yolofreeze/freeze/step"
)

// Progress is where a run stands: all that the next step depends on besides
// tensors. Pictures, their order and their augmentation follow from the seed,
// the epoch and the sample alone, so that no generator has a state of its own.
type Progress struct {
	Epoch   int  `json:"epoch"`   // the one that is being trained; of a finished run, their number
	Batch   int  `json:"batch"`   // batches of it that are done
	Trained bool `json:"trained"` // all are; validation is next

	Iteration int `json:"iteration"` // batches since the start of the run
	LastStep  int `json:"last_step"` // the iteration of the last optimizer step
	Steps     int `json:"steps"`     // optimizer steps

	Ranks int `json:"ranks,omitempty"` // that train together; 0 of earlier versions: one

	Scaler *step.Scaler `json:"scaler,omitempty"` // of mixed precision

	Sums [3]float64 `json:"sums"` // of the epoch's losses so far
	Last Row        `json:"last"` // epoch's row, whose metrics stand until the next validation
	Maps []float64  `json:"maps"` // average precision by class, for image weights

	BestFitness float64 `json:"best_fitness"`
	BestEpoch   int     `json:"best_epoch"`
	Best        Row     `json:"best"`
	HasBest     bool    `json:"has_best"`
	Stopped     bool    `json:"stopped"` // early
}

// check refuses what no run can have come to.
func (p *Progress) check() error {
	for _, c := range []struct {
		name        string
		value, most int
	}{
		{"epoch", p.Epoch, math.MaxInt32}, {"batch", p.Batch, math.MaxInt32}, {"iteration", p.Iteration, math.MaxInt32},
		{"last_step", p.LastStep + 1, p.Iteration + 1}, {"steps", p.Steps, p.Iteration + 1}, {"best_epoch", p.BestEpoch, p.Epoch},
	} {
		if c.value < 0 || c.value > c.most {
			return fmt.Errorf("%s is out of range: epoch %d, batch %d, iteration %d, last step %d, steps %d, best epoch %d",
				c.name, p.Epoch, p.Batch, p.Iteration, p.LastStep, p.Steps, p.BestEpoch)
		}
	}
	for _, v := range slices.Concat(p.Sums[:], p.Maps, []float64{p.BestFitness}) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return errors.New("a figure is no number")
		}
	}
	return nil
}

// Means are the epoch's losses so far.
func (p *Progress) Means() (mean [3]float64) {
	for i, sum := range p.Sums {
		mean[i] = sum / float64(max(p.Batch, 1))
	}
	return mean
}

// Row is a runs.Row as checkpoints hold it.
type Row runs.Row
