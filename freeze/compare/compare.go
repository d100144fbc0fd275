package compare

import (
	"fmt"
	"math"
	"slices"

	"yolofreeze/freeze"
	"yolofreeze/freeze/runs"
)

// Run is one run as its folder tells it; its JSON keys are stable.
type Run struct {
	Name   string      `json:"name"`
	Group  string      `json:"group"`
	Dir    string      `json:"dir"`
	Source string      `json:"source"` // yolofreeze, or yolov5
	Seed   runs.Figure `json:"seed"`
	Freezing
	Outcome
	Cost
	Environment runs.Environment `json:"environment"` // empty where it is unknown

	Curve    []runs.EpochPoint `json:"curve"`
	PerClass []runs.Class      `json:"per_class"`
	Settings map[string]string `json:"settings"`           // options and hyperparameters
	Warnings []string          `json:"warnings,omitempty"` // of rows that were left out

	plan *freeze.Plan
}

// Freezing is what a run froze.
type Freezing struct {
	Freeze []string `json:"freeze"` // selectors
	BN     []string `json:"bn"`
	Plans  []string `json:"plans,omitempty"` // what was frozen from which epoch on, where that was changed on the way

	Frozen    runs.Figure `json:"frozen"`    // parameters
	Trainable runs.Figure `json:"trainable"` // parameters
}

// Outcome is what a run came to.
type Outcome struct {
	Epochs    int         `json:"epochs"`
	Asked     runs.Figure `json:"epochs_asked"`
	BestEpoch int         `json:"best_epoch"` // by Fitness
	MAP50     runs.Figure `json:"map50"`      // at the best epoch, as are the next three
	MAP       runs.Figure `json:"map"`
	Precision runs.Figure `json:"precision"`
	Recall    runs.Figure `json:"recall"`
}

// Cost is what a run took.
type Cost struct {
	Seconds         runs.Figure   `json:"seconds"`           // from start to end
	ImagesPerSecond runs.Figure   `json:"images_per_second"` // while training, waiting for pictures included
	PeakRSS         runs.Figure   `json:"peak_rss_bytes"`
	Images          runs.Figure   `json:"images"`     // trained on, all epochs
	Phases          *runs.Phases  `json:"phases"`     // null where unknown
	SecondsTo       []runs.Figure `json:"seconds_to"` // each of the comparison's targets
}

// Comparison holds runs side by side; its JSON keys are stable.
type Comparison struct {
	Title    string              `json:"title"`
	Runs     []*Run              `json:"runs"`
	Groups   []*Group            `json:"groups"`
	Baseline string              `json:"baseline"` // the group that others are measured against
	BestMAP  runs.Figure         `json:"best_map"` // of any epoch of any run
	Targets  []float64           `json:"targets"`  // shares of BestMAP
	Classes  []ClassDifference   `json:"classes"`
	Settings []SettingDifference `json:"settings"`
	Plans    []PlanRow           `json:"plans"`

	folder string // of the report, which links to runs start from; "" where it is not known
}

// defaultTargets are the shares of the best mAP that runs are timed to.
var defaultTargets = []float64{.5, .8, .9, .95}

// New puts runs side by side: runs that differ in nothing but the
// seed form a group, the first group without anything frozen is the baseline.
// Without targets the usual ones hold.
func New(title string, list []*Run, targets ...float64) (*Comparison, error) {
	if len(list) == 0 {
		return nil, fmt.Errorf("compare: no runs")
	}
	if len(targets) == 0 {
		targets = defaultTargets
	}
	c := &Comparison{Title: title, Runs: list, Targets: targets, BestMAP: runs.Unknown}
	nameRuns(list)
	for _, r := range list {
		for _, p := range r.Curve {
			if p.MAP.Known() && !(c.BestMAP >= p.MAP) {
				c.BestMAP = p.MAP
			}
		}
	}
	for _, r := range list {
		r.SecondsTo = make([]runs.Figure, len(targets))
		for i, share := range targets {
			r.SecondsTo[i] = r.secondsTo(share * float64(c.BestMAP))
		}
	}
	c.Groups = groupRuns(list)
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

func (c *Comparison) baseline() *Group {
	i := slices.IndexFunc(c.Groups, func(g *Group) bool { return g.Frozen == 0 || g.unfrozen() })
	return c.Groups[max(i, 0)]
}

// secondsTo is when the run first reached an mAP, unknown where it never did.
func (r *Run) secondsTo(mAP float64) runs.Figure {
	for _, p := range r.Curve {
		if float64(p.MAP) >= mAP {
			return p.Seconds
		}
	}
	return runs.Unknown
}

// summariseCurve keeps the best epoch's figures.
func (r *Run) summariseCurve() {
	best := math.Inf(-1)
	for _, p := range r.Curve {
		if f := runs.Fitness(float64(p.MAP50), float64(p.MAP)); f > best {
			best = f
			r.BestEpoch, r.MAP50, r.MAP, r.Precision, r.Recall = int(p.Epoch), p.MAP50, p.MAP, p.Precision, p.Recall
		}
	}
	r.Epochs = len(r.Curve)
}
