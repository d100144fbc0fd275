package finetune

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Spread describes a figure over the runs of a group; unknown ones are left out.
type Spread struct {
	Mean Figure `json:"mean"`
	SD   Figure `json:"sd"` // of the sample; unknown for one run
	Min  Figure `json:"min"`
	Max  Figure `json:"max"`
	N    int    `json:"n"`
}

func spreadOf(values []float64) Spread {
	values = slices.DeleteFunc(values, func(v float64) bool { return math.IsNaN(v) })
	s := Spread{Unknown, Unknown, Unknown, Unknown, len(values)}
	if s.N == 0 {
		return s
	}
	mean, sd := stat.MeanStdDev(values, nil)
	s.Mean, s.Min, s.Max = Figure(mean), Figure(slices.Min(values)), Figure(slices.Max(values))
	if s.N > 1 {
		s.SD = Figure(sd)
	}
	return s
}

func (g *RunGroup) spread(of func(*ComparedRun) Figure) Spread {
	values := make([]float64, len(g.members))
	for i, r := range g.members {
		values[i] = float64(of(r))
	}
	return spreadOf(values)
}

// summarise computes what a group's runs have in common.
func (g *RunGroup) summarise(targets int) {
	first := g.members[0]
	g.Frozen, g.Trainable = first.Frozen, first.Trainable
	g.Epochs = g.spread(func(r *ComparedRun) Figure { return Figure(r.Epochs) })
	g.MAP50 = g.spread(func(r *ComparedRun) Figure { return r.MAP50 })
	g.MAP = g.spread(func(r *ComparedRun) Figure { return r.MAP })
	g.Seconds = g.spread(func(r *ComparedRun) Figure { return r.Seconds })
	g.ImagesPerSecond = g.spread(func(r *ComparedRun) Figure { return r.ImagesPerSecond })
	g.PeakRSS = g.spread(func(r *ComparedRun) Figure { return r.PeakRSS })
	for i := range targets {
		s := g.spread(func(r *ComparedRun) Figure { return r.SecondsTo[i] })
		g.SecondsTo = append(g.SecondsTo, s)
	}
	g.Band = g.band()
}

// band averages the runs epoch by epoch, as far as all of them go.
func (g *RunGroup) band() []EpochRange {
	epochs := len(g.members[0].Curve)
	for _, r := range g.members {
		epochs = min(epochs, len(r.Curve))
	}
	list := make([]EpochRange, epochs)
	for i := range list {
		at := func(of func(*EpochPoint) *Figure) Spread {
			return g.spread(func(r *ComparedRun) Figure { return *of(&r.Curve[i]) })
		}
		e := &list[i]
		for _, of := range epochFigures {
			*of(&e.Mean) = at(of).Mean
		}
		m, m50 := at(func(p *EpochPoint) *Figure { return &p.MAP }), at(func(p *EpochPoint) *Figure { return &p.MAP50 })
		e.MinMAP, e.MaxMAP, e.MinMAP50, e.MaxMAP50 = m.Min, m.Max, m50.Min, m50.Max
	}
	return list
}

// epochFigures reach every figure of a point.
var epochFigures = []func(*EpochPoint) *Figure{
	func(p *EpochPoint) *Figure { return &p.Epoch },
	func(p *EpochPoint) *Figure { return &p.Seconds },
	func(p *EpochPoint) *Figure { return &p.Train[0] },
	func(p *EpochPoint) *Figure { return &p.Train[1] },
	func(p *EpochPoint) *Figure { return &p.Train[2] },
	func(p *EpochPoint) *Figure { return &p.Precision },
	func(p *EpochPoint) *Figure { return &p.Recall },
	func(p *EpochPoint) *Figure { return &p.MAP50 },
	func(p *EpochPoint) *Figure { return &p.MAP },
	func(p *EpochPoint) *Figure { return &p.Val[0] },
	func(p *EpochPoint) *Figure { return &p.Val[1] },
	func(p *EpochPoint) *Figure { return &p.Val[2] },
	func(p *EpochPoint) *Figure { return &p.LR[0] },
	func(p *EpochPoint) *Figure { return &p.LR[1] },
	func(p *EpochPoint) *Figure { return &p.LR[2] },
}

// ClassDifference is one class's average precision in every group.
type ClassDifference struct {
	Name      string       `json:"name"`
	Instances int          `json:"instances"`
	Baseline  Figure       `json:"baseline"` // mean AP over IoU .5 … .95
	Groups    []Difference `json:"groups"`   // by group, the baseline's own is 0
}

// Difference is a group's mean minus the baseline's.
type Difference struct {
	Mean Figure `json:"mean"`
	// Half is half the width of the 95 % confidence interval: Student's t over
	// differences between runs of the same seed, or, where seeds do not pair up,
	// Welch's over both groups. Unknown for single runs.
	Half Figure `json:"half"`
}

// classDifferences compares classes by name, largest difference first.
func classDifferences(base *RunGroup, groups []*RunGroup) []ClassDifference {
	var list []ClassDifference
	for _, name := range classNames(groups) {
		d := ClassDifference{Name: name, Baseline: Unknown}
		own := classAP(base, name, &d.Instances)
		d.Baseline = spreadOf(values(own)).Mean
		for _, g := range groups {
			if g == base {
				d.Groups = append(d.Groups, Difference{0, Unknown})
				continue
			}
			d.Groups = append(d.Groups, difference(classAP(g, name, &d.Instances), own))
		}
		list = append(list, d)
	}
	largest := func(d ClassDifference) (most float64) {
		for _, g := range d.Groups {
			if g.Mean.Known() {
				most = max(most, math.Abs(float64(g.Mean)))
			}
		}
		return most
	}
	slices.SortStableFunc(list, func(a, b ClassDifference) int { return cmp.Compare(largest(b), largest(a)) })
	return list
}

// classNames lists the classes of all runs in the order in which they come.
func classNames(groups []*RunGroup) []string {
	var names []string
	seen := map[string]bool{}
	for _, g := range groups {
		for _, r := range g.members {
			for _, c := range r.PerClass {
				if !seen[c.Name] {
					seen[c.Name], names = true, append(names, c.Name)
				}
			}
		}
	}
	return names
}

// seeded is a figure of the run with a seed.
type seeded struct{ seed, value float64 }

func values(list []seeded) []float64 {
	out := make([]float64, len(list))
	for i, s := range list {
		out[i] = s.value
	}
	return out
}

func classAP(g *RunGroup, name string, instances *int) (list []seeded) {
	for _, r := range g.members {
		for _, c := range r.PerClass {
			if c.Name == name {
				*instances = max(*instances, c.Instances)
				list = append(list, seeded{float64(r.Seed), c.AP})
			}
		}
	}
	return list
}

const confidence = .95

// difference is the mean of a minus that of b.
func difference(a, b []seeded) Difference {
	d := Difference{Unknown, Unknown}
	if len(a) == 0 || len(b) == 0 {
		return d
	}
	meanA, sdA := stat.MeanStdDev(values(a), nil)
	meanB, sdB := stat.MeanStdDev(values(b), nil)
	d.Mean = Figure(meanA - meanB)
	if pairs := paired(a, b); len(pairs) == len(a) && len(pairs) == len(b) && len(pairs) > 1 {
		_, sd := stat.MeanStdDev(pairs, nil)
		d.Half = halfWidth(sd/math.Sqrt(float64(len(pairs))), float64(len(pairs)-1))
		return d
	}
	if len(a) < 2 || len(b) < 2 {
		return d
	}
	va, vb := sdA*sdA/float64(len(a)), sdB*sdB/float64(len(b))
	freedom := (va + vb) * (va + vb) / (va*va/float64(len(a)-1) + vb*vb/float64(len(b)-1))
	d.Half = halfWidth(math.Sqrt(va+vb), freedom)
	return d
}

func halfWidth(standardError, freedom float64) Figure {
	if standardError == 0 {
		return 0
	}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: freedom}.Quantile(1 - (1-confidence)/2)
	return Figure(t * standardError)
}

// paired returns the differences between figures of equal seeds.
func paired(a, b []seeded) (list []float64) {
	for _, x := range a {
		if i := slices.IndexFunc(b, func(y seeded) bool { return x.seed == y.seed }); i >= 0 {
			list = append(list, x.value-b[i].value)
		}
	}
	return list
}
