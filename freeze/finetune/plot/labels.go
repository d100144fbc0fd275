package plot

import (
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"yolofreeze/dataset"
)

const mostOutlines = 1000

// Labels draws what a split's objects are like: instances by class, outlines of
// the first thousand boxes about one centre, where centres lie, and how large
// boxes are, in shares of the picture.
func Labels(path string, samples []dataset.Sample, names []string) error {
	set := dataset.Set{Names: names, Splits: map[string][]dataset.Sample{"train": samples}}
	st := set.Stats("train")
	bars, err := classBars(st)
	if err != nil {
		return err
	}
	outlines, err := boxOutlines(samples)
	if err != nil {
		return err
	}
	grid := [][]*plot.Plot{{bars, outlines}, {shareMap(&st.Centres, "x", "y"), shareMap(&st.Sizes, "width", "height")}}
	return save(path, size{8 * vg.Inch, 8 * vg.Inch, 200}, grid)
}

func classBars(st *dataset.Stats) (*plot.Plot, error) {
	p := newPlot("", "", "instances")
	names, counts := make([]string, len(st.Classes)), make(plotter.Values, len(st.Classes))
	for i, c := range st.Classes {
		names[i], counts[i] = c.Name, float64(c.Objects)
	}
	if len(counts) == 0 {
		return p, nil
	}
	addGrid(p)
	for i, n := range counts { // in the colours of the outlines
		bar, err := plotter.NewBarChart(plotter.Values{n}, vg.Length(max(min(30, 200/float64(len(counts))), 1)))
		if err != nil {
			return nil, err
		}
		bar.XMin, bar.Color, bar.LineStyle.Width = float64(i), tab[i%len(tab)], 0
		p.Add(bar)
	}
	p.X.Min, p.X.Max = -.6, float64(len(counts))-.4
	p.Y.Min, p.Y.Max = 0, max(1, slices.Max(counts)*1.05)
	p.Y.Tick.Marker = roundTicks(1)
	if len(names) > mostWritten {
		p.X.Label.Text, p.X.Tick.Marker = "classes", roundTicks(1)
		return p, nil
	}
	p.X.Tick.Marker = ticks(names, false)
	if letters := len(strings.Join(names, "  ")); letters > 40 || len(names) > 8 {
		upright(&p.X, ticks(names, false))
	}
	p.X.Tick.Label.Font.Size = font.Length(max(min(9, 240/float64(len(names))), 4))
	return p, nil
}

func boxOutlines(samples []dataset.Sample) (*plot.Plot, error) {
	p := newPlot("", "", "") // in the shape of its neighbours
	p.HideAxes()
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	drawn := 0
	for _, s := range samples {
		for _, l := range s.Labels {
			if drawn++; drawn > mostOutlines {
				return p, nil
			}
			x0, x1, y0, y1 := .5-l.W/2, .5+l.W/2, .5-l.H/2, .5+l.H/2
			c := tab[l.Class%len(tab)]
			box, err := line(plotter.XYs{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}, {X: x0, Y: y0}}, c, .5)
			if err != nil {
				return nil, err
			}
			p.Add(box)
		}
	}
	return p, nil
}

// shareMap draws one of Stats' maps over shares from 0 to 1.
func shareMap(counts *[dataset.HeatSize][dataset.HeatSize]int, x, y string) *plot.Plot {
	p := newPlot("", x, y)
	var all []int
	for _, row := range counts {
		for _, n := range row {
			if n > 0 {
				all = append(all, n)
			}
		}
	}
	slices.Sort(all)
	most := 1
	if len(all) > 0 { // a few full cells would leave all others pale
		most = all[len(all)*95/100]
	}
	const n = dataset.HeatSize
	p.Add(heat(cells{n, n, .5 / n, 1. / n, func(column, row int) float64 {
		if counts[row][column] == 0 {
			return math.NaN()
		}
		return float64(counts[row][column])
	}}, float64(most)))
	addGrid(p)
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	return p
}

// Correlogram draws how x, y, width and height of a split's boxes go together:
// each one's distribution on the diagonal, pairs below it.
func Correlogram(path string, samples []dataset.Sample) error {
	const bins = dataset.HeatSize
	axes := [4]string{"x", "y", "width", "height"}
	var values [4][]float64
	for _, s := range samples {
		for _, l := range s.Labels {
			for i, v := range [4]float64{l.X, l.Y, l.W, l.H} {
				values[i] = append(values[i], v)
			}
		}
	}
	bin := func(v float64) int { return min(max(int(v*bins), 0), bins-1) }
	grid := make([][]*plot.Plot, len(axes))
	for row := range axes {
		grid[row] = make([]*plot.Plot, len(axes))
		for column := range row {
			var counts [bins][bins]int
			for i, x := range values[column] {
				counts[bin(values[row][i])][bin(x)]++
			}
			grid[row][column] = shareMap(&counts, axes[column], axes[row])
		}
		grid[row][row] = distribution(values[row], axes[row])
	}
	return save(path, size{10 * vg.Inch, 10 * vg.Inch, 200}, grid)
}

func distribution(values []float64, name string) *plot.Plot {
	p := newPlot("", name, "")
	p.X.Min, p.X.Max, p.Y.Min = 0, 1, 0
	if len(values) == 0 {
		p.Y.Max = 1
		return p
	}
	if h, err := plotter.NewHist(plotter.Values(values), dataset.HeatSize); err == nil {
		h.FillColor, h.LineStyle.Width, h.LineStyle.Color = tab[0], 0, color.Transparent
		p.Add(h)
	}
	return p
}
