package finetune

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"yolofreeze/freeze"
)

// Figure is a number that may be unknown: NaN, which JSON has as null.
type Figure float64

// Unknown is a figure that nobody wrote down.
var Unknown = Figure(math.NaN())

// Known reports whether there is a number.
func (f Figure) Known() bool { return !math.IsNaN(float64(f)) && !math.IsInf(float64(f), 0) }

// MarshalJSON writes the number, or null.
func (f Figure) MarshalJSON() ([]byte, error) {
	if !f.Known() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(f))
}

// UnmarshalJSON reads a number or null.
func (f *Figure) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*f = Unknown
		return nil
	}
	return json.Unmarshal(data, (*float64)(f))
}

// ComparedRun is one run as its folder tells it; its JSON keys are stable.
type ComparedRun struct {
	Name   string   `json:"name"`
	Group  string   `json:"group"`
	Dir    string   `json:"dir"`
	Source string   `json:"source"` // yolofreeze, or yolov5
	Seed   Figure   `json:"seed"`
	Freeze []string `json:"freeze"` // selectors
	BN     []string `json:"bn"`

	Frozen    Figure `json:"frozen"`    // parameters
	Trainable Figure `json:"trainable"` // parameters

	Epochs    int    `json:"epochs"`
	Asked     Figure `json:"epochs_asked"`
	BestEpoch int    `json:"best_epoch"` // by Fitness
	MAP50     Figure `json:"map50"`      // at the best epoch, as are the next three
	MAP       Figure `json:"map"`
	Precision Figure `json:"precision"`
	Recall    Figure `json:"recall"`

	Seconds         Figure   `json:"seconds"`           // from start to end
	ImagesPerSecond Figure   `json:"images_per_second"` // while training, waiting for pictures included
	PeakRSS         Figure   `json:"peak_rss_bytes"`
	Images          Figure   `json:"images"`     // trained on, all epochs
	Phases          *Phases  `json:"phases"`     // null where unknown
	SecondsTo       []Figure `json:"seconds_to"` // each of the comparison's targets

	Curve    []EpochPoint      `json:"curve"`
	PerClass []ClassEvaluation `json:"per_class"`
	Settings map[string]string `json:"settings"`           // options and hyperparameters
	Warnings []string          `json:"warnings,omitempty"` // of rows that were left out

	plan *freeze.Plan
}

// EpochPoint is one row of results.csv, and when it was written.
type EpochPoint struct {
	Epoch     Figure    `json:"epoch"`   // the first is 0
	Seconds   Figure    `json:"seconds"` // since the run's start
	Train     [3]Figure `json:"train"`   // box, objectness, class loss
	Precision Figure    `json:"precision"`
	Recall    Figure    `json:"recall"`
	MAP50     Figure    `json:"map50"`
	MAP       Figure    `json:"map"`
	Val       [3]Figure `json:"val"`
	LR        [3]Figure `json:"lr"`
}

// Comparison holds runs side by side; its JSON keys are stable.
type Comparison struct {
	Title    string              `json:"title"`
	Runs     []*ComparedRun      `json:"runs"`
	Groups   []*RunGroup         `json:"groups"`
	Baseline string              `json:"baseline"` // the group that others are measured against
	BestMAP  Figure              `json:"best_map"` // of any epoch of any run
	Targets  []float64           `json:"targets"`  // shares of BestMAP
	Classes  []ClassDifference   `json:"classes"`
	Settings []SettingDifference `json:"settings"`
	Plans    []PlanRow           `json:"plans"`
}

// defaultTargets are the shares of the best mAP that runs are timed to.
var defaultTargets = []float64{.5, .8, .9, .95}

// NewComparison puts runs side by side: runs that differ in nothing but the
// seed form a group, the first group without anything frozen is the baseline.
// Without targets the usual ones hold.
func NewComparison(title string, runs []*ComparedRun, targets ...float64) (*Comparison, error) {
	if len(runs) == 0 {
		return nil, fmt.Errorf("compare: no runs")
	}
	if len(targets) == 0 {
		targets = defaultTargets
	}
	c := &Comparison{Title: title, Runs: runs, Targets: targets, BestMAP: Unknown}
	nameRuns(runs)
	for _, r := range runs {
		for _, p := range r.Curve {
			if p.MAP.Known() && !(c.BestMAP >= p.MAP) {
				c.BestMAP = p.MAP
			}
		}
	}
	for _, r := range runs {
		r.SecondsTo = make([]Figure, len(targets))
		for i, share := range targets {
			r.SecondsTo[i] = r.secondsTo(share * float64(c.BestMAP))
		}
	}
	c.Groups = groupRuns(runs)
	for _, g := range c.Groups {
		g.summarise(len(targets))
	}
	base := c.baseline()
	c.Baseline = base.Name
	c.Classes = classDifferences(base, c.Groups)
	c.Settings = settingDifferences(c.Groups)
	c.Plans = planRows(c.Groups)
	return c, nil
}

func (c *Comparison) baseline() *RunGroup {
	i := slices.IndexFunc(c.Groups, func(g *RunGroup) bool { return g.Frozen == 0 || g.unfrozen() })
	return c.Groups[max(i, 0)]
}

// secondsTo is when the run first reached an mAP, unknown where it never did.
func (r *ComparedRun) secondsTo(mAP float64) Figure {
	for _, p := range r.Curve {
		if float64(p.MAP) >= mAP {
			return p.Seconds
		}
	}
	return Unknown
}

// summariseCurve keeps the best epoch's figures.
func (r *ComparedRun) summariseCurve() {
	best := math.Inf(-1)
	for _, p := range r.Curve {
		if f := Fitness(float64(p.MAP50), float64(p.MAP)); f > best {
			best = f
			r.BestEpoch, r.MAP50, r.MAP, r.Precision, r.Recall = int(p.Epoch), p.MAP50, p.MAP, p.Precision, p.Recall
		}
	}
	r.Epochs = len(r.Curve)
}
