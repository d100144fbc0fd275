package plot

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Panels is how many plots Results draws.
const Panels = 10

// Series is one run's epochs: Values[i][e] at Epochs[e] is a figure of panel i,
// NaN where there is none.
type Series struct {
	Name   string
	Epochs []float64
	Values [Panels][]float64
}

const smoothSigma = 3 // epochs

// Results draws two rows of five panels over epochs, one line a series with its
// smoothed course dotted over it.
func Results(path string, titles [Panels]string, series []Series) error {
	grid := [][]*plot.Plot{make([]*plot.Plot, Panels/2), make([]*plot.Plot, Panels/2)}
	for i, title := range titles {
		p := newPlot(title, "", "")
		grid[i/(Panels/2)][i%(Panels/2)] = p
		for k, s := range series {
			if err := addCourse(p, s.Epochs, s.Values[i], tab[k%len(tab)]); err != nil {
				return err
			}
		}
	}
	legend := &grid[0][1].Legend
	legend.Top = true
	for k, s := range series {
		raw := &plotter.Line{}
		raw.Color, raw.Width = tab[k%len(tab)], 1.5
		legend.Add(s.Name, raw)
	}
	dotted := &plotter.Line{}
	dotted.LineStyle = dots
	legend.Add("smooth", dotted)
	return save(path, 12*vg.Inch, 6*vg.Inch, grid)
}

// dots is the style of smoothed courses.
var dots = draw.LineStyle{Color: color.RGBA{255, 127, 14, 255}, Width: 2, Dashes: []vg.Length{2, 2}}

func addCourse(p *plot.Plot, epochs, values []float64, c color.Color) error {
	var points plotter.XYs
	for i, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			points = append(points, plotter.XY{X: epochs[i], Y: v})
		}
	}
	if len(points) == 0 {
		return nil
	}
	raw, marks, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	raw.Color, raw.Width, marks.Color, marks.Radius, marks.Shape = c, 1.5, c, 1.8, draw.CircleGlyph{}
	smooth, err := plotter.NewLine(gaussian(points, smoothSigma))
	if err != nil {
		return err
	}
	smooth.LineStyle = dots
	p.Add(raw, marks, smooth)
	return nil
}

// gaussian smooths a course with a normal kernel of sigma points, cut at four
// sigmas; beyond its ends the course goes on as its mirror image.
func gaussian(points plotter.XYs, sigma float64) plotter.XYs {
	reach, n := int(4*sigma+.5), len(points)
	at := func(i int) float64 {
		if i = ((i % (2 * n)) + 2*n) % (2 * n); i >= n {
			i = 2*n - 1 - i
		}
		return points[i].Y
	}
	out := make(plotter.XYs, n)
	for i := range points {
		var sum, weights float64
		for k := -reach; k <= reach; k++ {
			w := math.Exp(-float64(k*k) / (2 * sigma * sigma))
			sum, weights = sum+w*at(i+k), weights+w
		}
		out[i] = plotter.XY{X: points[i].X, Y: sum / weights}
	}
	return out
}
