package plot

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
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
		addGrid(p)
		grid[i/(Panels/2)][i%(Panels/2)] = p
		for k, s := range series {
			if err := addCourse(p, s.Epochs, s.Values[i], tab[k%len(tab)]); err != nil {
				return err
			}
		}
		widen(&p.X)
		widen(&p.Y)
		p.X.Tick.Marker = roundTicks(1)
	}
	return saveFunc(path, size{12 * vg.Inch, 6 * vg.Inch, 200}, func(c draw.Canvas) {
		drawGrid(draw.Crop(c, 0, 0, 0, -legendHeight), grid)
		drawLegend(c, series)
	})
}

const (
	legendHeight = 22
	mostNamed    = 8 // series that the legend has room for
)

// drawLegend names the series in a line above all panels.
func drawLegend(c draw.Canvas, series []Series) {
	style := newPlot("", "", "").Legend.TextStyle
	style.YAlign = text.YCenter
	y, x := c.Max.Y-legendHeight/2, c.Min.X+20
	entry := func(l draw.LineStyle, name string) {
		c.StrokeLine2(l, x, y, x+24, y)
		c.FillText(style, vg.Point{X: x + 30, Y: y}, name)
		x += 30 + style.Width(name) + 20
	}
	for k, s := range series {
		if k == mostNamed {
			entry(draw.LineStyle{}, fmt.Sprintf("and %d more", len(series)-mostNamed))
			break
		}
		entry(draw.LineStyle{Color: tab[k%len(tab)], Width: 1.5}, s.Name)
	}
	if slices.ContainsFunc(series, func(s Series) bool { return len(s.Epochs) > 1 }) {
		entry(dots, "smooth")
	}
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
	p.Add(raw, marks)
	if len(points) < 2 {
		return nil
	}
	smooth, err := plotter.NewLine(gaussian(points, smoothSigma))
	if err != nil {
		return err
	}
	smooth.LineStyle = dots
	p.Add(smooth)
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
