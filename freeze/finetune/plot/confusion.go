package plot

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"yolofreeze/dataset/metric"
)

const (
	leastShown   = .005 // shares under it stay blank
	mostWritten  = 30   // classes of which each share is written into its cell
	mostLabelled = 99   // classes that are named along the axes
	mostDrawn    = 1000 // classes of which the matrix is drawn: of more, a cell would be less than a pixel
)

// Confusion draws the matrix with each column summing to one: true classes from
// left to right, predicted ones from the top, the background last.
func Confusion(path string, c *metric.Confusion, names []string) error {
	n, shares := c.Classes+1, c.Normalised()
	at := func(column, row int) float64 { // rows from the bottom
		if v := shares[metric.Confused{Predicted: n - 1 - row, Truth: column}]; v >= leastShown {
			return v
		}
		return math.NaN()
	}
	p := newPlot("Confusion Matrix", "True", "Predicted")
	p.Add(heat(cells{n, n, 0, 1, at}, 1))
	if c.Classes < mostWritten {
		labels, err := written(n, at)
		if err != nil {
			return err
		}
		p.Add(labels)
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = -.5, float64(n)-.5, -.5, float64(n)-.5
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.ConstantTicks(nil), plot.ConstantTicks(nil)
	if c.Classes <= mostLabelled {
		axis := make([]string, n)
		for i := range axis {
			axis[i] = nameOf(names, i)
		}
		axis[n-1] = "background"
		p.Y.Tick.Marker = ticks(axis, true)
		upright(&p.X, ticks(axis, false))
		size := font.Length(max(min(9, 380/float64(n)), 4))
		p.X.Tick.Label.Font.Size, p.Y.Tick.Label.Font.Size = size, size
	}
	return saveFunc(path, size{12 * vg.Inch, 9 * vg.Inch, 250}, func(c draw.Canvas) {
		matrix := draw.Crop(c, 8, -64, 8, -8)
		p.Draw(matrix)
		data := p.DataCanvas(matrix)
		drawColours(c, data.Max.X+12, data.Min.Y, data.Max.Y, 1)
	})
}

// drawColours shows, beside the data of a plot, which colours heat has for numbers from 0 to most.
func drawColours(c draw.Canvas, left, low, high vg.Length, most float64) {
	const width, steps = 14, 128
	for i, ink := range shades(steps).Colors() {
		y := low + (high-low)*vg.Length(i)/steps
		c.FillPolygon(ink, []vg.Point{{X: left, Y: y}, {X: left + width, Y: y}, {X: left + width, Y: high}, {X: left, Y: high}}) // no seams
	}
	style := newPlot("", "", "").Y.Tick.Label
	style.XAlign, style.YAlign = text.XLeft, text.YCenter
	for _, tick := range roundTicks(0).Ticks(0, most) {
		c.FillText(style, vg.Point{X: left + width + 4, Y: low + (high-low)*vg.Length(tick.Value/most)}, tick.Label)
	}
}

// upright turns an axis's names, which end at the axis.
func upright(a *plot.Axis, names plot.ConstantTicks) {
	for i := range names {
		names[i].Label += "    " // else their last letters would stand on it
	}
	a.Tick.Marker, a.Tick.Length = names, 0
	a.Tick.Label.Rotation, a.Tick.Label.XAlign, a.Tick.Label.YAlign = math.Pi/2, text.XRight, text.YCenter
}

// ticks names whole numbers from 0 on, upside down where asked.
func ticks(names []string, reversed bool) plot.ConstantTicks {
	list := make(plot.ConstantTicks, len(names))
	for i, name := range names {
		at := i
		if reversed {
			at = len(names) - 1 - i
		}
		list[i] = plot.Tick{Value: float64(at), Label: name}
	}
	return list
}

// written are the shares of n×n cells as text in their middles.
func written(n int, at func(column, row int) float64) (*plotter.Labels, error) {
	var places plotter.XYLabels
	var styles []text.Style
	base := plotter.DefaultFont
	base.Variant = sans
	base.Size = font.Length(max(min(10, 130/float64(n)), 4))
	for row := range n {
		for column := range n {
			v := at(column, row)
			if math.IsNaN(v) {
				continue
			}
			style := text.Style{Font: base, Color: color.Black, XAlign: text.XCenter, YAlign: text.YCenter, Handler: plot.DefaultTextHandler}
			if v > .5 {
				style.Color = color.White
			}
			places.XYs = append(places.XYs, plotter.XY{X: float64(column), Y: float64(row)})
			places.Labels = append(places.Labels, fmt.Sprintf("%.2f", v))
			styles = append(styles, style)
		}
	}
	labels, err := plotter.NewLabels(places)
	if err != nil {
		return nil, err
	}
	labels.TextStyle = styles
	return labels, nil
}
