package compare

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"yolofreeze/freeze/runs"
)

// Spread describes a figure over the runs of a group; unknown ones are left out.
type Spread struct {
	Mean runs.Figure `json:"mean"`
	SD   runs.Figure `json:"sd"` // of the sample; unknown for one run
	Min  runs.Figure `json:"min"`
	Max  runs.Figure `json:"max"`
	N    int         `json:"n"`
}

func spreadOf(values []float64) Spread {
	values = slices.DeleteFunc(values, func(v float64) bool { return math.IsNaN(v) })
	s := Spread{runs.Unknown, runs.Unknown, runs.Unknown, runs.Unknown, len(values)}
	if s.N == 0 {
		return s
	}
	mean, sd := stat.MeanStdDev(values, nil)
	s.Mean, s.Min, s.Max = runs.Figure(mean), runs.Figure(slices.Min(values)), runs.Figure(slices.Max(values))
	if s.N > 1 {
		s.SD = runs.Figure(sd)
	}
	return s
}

func (g *Group) spread(of func(*Run) runs.Figure) Spread {
	values := make([]float64, len(g.members))
	for i, r := range g.members {
		values[i] = float64(of(r))
	}
	return spreadOf(values)
}

// summarise computes what a group's runs have in common.
func (g *Group) summarise(targets int) {
	first := g.members[0]
	g.Frozen, g.Trainable = first.Frozen, first.Trainable
	g.Epochs = g.spread(func(r *Run) runs.Figure { return runs.Figure(r.Epochs) })
	g.MAP50 = g.spread(func(r *Run) runs.Figure { return r.MAP50 })
	g.MAP = g.spread(func(r *Run) runs.Figure { return r.MAP })
	g.Seconds = g.spread(func(r *Run) runs.Figure { return r.Seconds })
	g.ImagesPerSecond = g.spread(func(r *Run) runs.Figure { return r.ImagesPerSecond })
	g.PeakRSS = g.spread(func(r *Run) runs.Figure { return r.PeakRSS })
	for i := range targets {
		s := g.spread(func(r *Run) runs.Figure { return r.SecondsTo[i] })
		g.SecondsTo = append(g.SecondsTo, s)
	}
	g.Band = g.band()
}

// band averages the runs epoch by epoch, as far as all of them go.
func (g *Group) band() []EpochRange {
	epochs := len(g.members[0].Curve)
	for _, r := range g.members {
		epochs = min(epochs, len(r.Curve))
	}
	list := make([]EpochRange, epochs)
	for i := range list {
		at := func(of func(*runs.EpochPoint) *runs.Figure) Spread {
			return g.spread(func(r *Run) runs.Figure { return *of(&r.Curve[i]) })
		}
		e := &list[i]
		e.Mean.Seconds = at(func(p *runs.EpochPoint) *runs.Figure { return &p.Seconds }).Mean
		for _, c := range runs.Columns {
			*c.Of(&e.Mean) = at(c.Of).Mean
		}
		m, m50 := at(func(p *runs.EpochPoint) *runs.Figure { return &p.MAP }), at(func(p *runs.EpochPoint) *runs.Figure { return &p.MAP50 })
		e.MinMAP, e.MaxMAP, e.MinMAP50, e.MaxMAP50 = m.Min, m.Max, m50.Min, m50.Max
	}
	return list
}

// ClassDifference is one class's average precision in every group.
type ClassDifference struct {
	Name      string       `json:"name"`
	Instances int          `json:"instances"`
	Baseline  runs.Figure  `json:"baseline"` // mean AP over IoU .5 … .95
	Groups    []Difference `json:"groups"`   // by group, the baseline's own is 0
}

// Difference is a group's mean minus the baseline's.
type Difference struct {
	Mean runs.Figure `json:"mean"`
	// Half is half the width of the 95 % confidence interval: Student's t over
	// differences between runs of the same seed, or, where seeds do not pair up,
	// Welch's over both groups. Unknown for single runs.
	Half runs.Figure `json:"half"`
}

// classDifferences compares classes by name, largest difference first.
func classDifferences(base *Group, groups []*Group) []ClassDifference {
	var list []ClassDifference
	for _, name := range classNames(groups) {
		d := ClassDifference{Name: name, Baseline: runs.Unknown}
		own := classAP(base, name, &d.Instances)
		d.Baseline = spreadOf(values(own)).Mean
		for _, g := range groups {
			if g == base {
				d.Groups = append(d.Groups, Difference{0, runs.Unknown})
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
func classNames(groups []*Group) []string {
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

func classAP(g *Group, name string, instances *int) (list []seeded) {
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
	d := Difference{runs.Unknown, runs.Unknown}
	if len(a) == 0 || len(b) == 0 {
		return d
	}
	meanA, sdA := stat.MeanStdDev(values(a), nil)
	meanB, sdB := stat.MeanStdDev(values(b), nil)
	d.Mean = runs.Figure(meanA - meanB)
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

func halfWidth(standardError, freedom float64) runs.Figure {
	if standardError == 0 {
		return 0
	}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: freedom}.Quantile(1 - (1-confidence)/2)
	return runs.Figure(t * standardError)
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
