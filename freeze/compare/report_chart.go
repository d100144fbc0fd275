package compare

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"yolofreeze/freeze/runs"
)

// chart is a figure of lines over a vertical axis that fits them, drawn as inline SVG whose colours are the page's
// CSS variables, so that it follows dark and light.
type chart struct {
	Title, X, Y string
	lines       []chartLine
}

// chartLine is one line and, where low and high are set, the band around it.
type chartLine struct {
	group     int
	thin      bool // one run of several
	x, y      []float64
	low, high []float64
}

const (
	chartWidth  = 400 // a phone's: there one unit is about a CSS pixel
	chartHeight = 250
)

// dashes tell groups apart without colours.
var dashes = [][]vg.Length{nil, {7, 3}, {2, 2.5}, {8, 2.5, 2, 2.5}}

// groupColours is how many colours the page defines; dashes then go on.
const groupColours = 8

func dashOf(group int) []vg.Length { return dashes[(group+group/groupColours)%len(dashes)] }

// Placeholders that svg replaces by variables of the page.
var (
	inkColour  = color.NRGBA{1, 0, 0, 255}
	gridColour = color.NRGBA{1, 0, 1, 255}
)

func lineColour(group int) color.Color { return color.NRGBA{1, 1, uint8(group % groupColours), 255} }
func bandColour(group int) color.Color { return color.NRGBA{1, 2, uint8(group % groupColours), 255} }

var cssColours = func() *strings.Replacer {
	pairs := []string{"#010000", "var(--ink)", "#010001", "var(--grid)"}
	for i := range groupColours {
		pairs = append(pairs, fmt.Sprintf("#0101%02X", i), fmt.Sprintf("var(--g%d)", i), fmt.Sprintf("#0102%02X", i), fmt.Sprintf("var(--b%d)", i))
	}
	return strings.NewReplacer(pairs...)
}()

// empty reports whether there is nothing to draw.
func (c *chart) empty() bool {
	return !slices.ContainsFunc(c.lines, func(l chartLine) bool { return len(known(l.x, l.y)) > 0 })
}

// known keeps the points both of whose coordinates are numbers.
func known(x, y []float64) plotter.XYs {
	var points plotter.XYs
	for i := range x {
		if finite(x[i]) && finite(y[i]) {
			points = append(points, plotter.XY{X: x[i], Y: y[i]})
		}
	}
	return points
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// SVG draws the chart.
func (c *chart) SVG() (template.HTML, error) {
	p := plot.New()
	p.BackgroundColor = color.Transparent
	p.X.Label.Text, p.Y.Label.Text = c.X, c.Y
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Color, axis.Label.TextStyle.Color, axis.Tick.Color, axis.Tick.Label.Color = inkColour, inkColour, gridColour, inkColour
		axis.LineStyle.Color, axis.Tick.LineStyle.Color = gridColour, gridColour
		axis.Label.TextStyle.Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: 13}
		axis.Tick.Label.Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: 12}
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = roundTicks(c.X == "epoch"), roundTicks(false)
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Transparent, gridColour
	grid.Vertical.Width, grid.Horizontal.Width = 0, .6
	p.Add(grid)
	for _, l := range c.lines {
		if err := l.band(p); err != nil {
			return "", fmt.Errorf("chart %s: %w", c.Title, err)
		}
	}
	for _, l := range c.lines {
		if err := l.line(p); err != nil {
			return "", fmt.Errorf("chart %s: %w", c.Title, err)
		}
	}
	if c.X != "epoch" {
		p.X.Min = 0
	}
	least, room := p.Y.Min, (p.Y.Max-p.Y.Min)*.05
	if room <= 1e-7*math.Abs(p.Y.Max) { // one value alone, but for rounding
		room = max(math.Abs(least)*.5, 1e-3)
	}
	p.Y.Min, p.Y.Max = p.Y.Min-room, p.Y.Max+room
	if least >= 0 { // figures that cannot be negative
		p.Y.Min = max(p.Y.Min, 0)
	}
	if p.X.Max <= p.X.Min {
		p.X.Min, p.X.Max = p.X.Min-.5, p.X.Min+.5
	}
	canvas := vgsvg.New(chartWidth, chartHeight)
	p.Draw(draw.Crop(draw.New(canvas), 0, -8, 0, -8)) // half a label may stand beyond the last tick
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return "", fmt.Errorf("chart %s: %w", c.Title, err)
	}
	return template.HTML(c.inline(b.String())), nil
}

// roundTicks puts about five ticks on an axis, steps of 1, 2 or 5 times a power of ten apart.
func roundTicks(whole bool) plot.Ticker {
	return plot.TickerFunc(func(least, most float64) (ticks []plot.Tick) {
		rough := (most - least) / 5
		unit := math.Pow(10, math.Floor(math.Log10(rough)))
		step := 10 * unit
		for _, factor := range []float64{1, 2, 5} {
			if factor*unit >= rough {
				step = factor * unit
				break
			}
		}
		if whole {
			step = max(step, 1)
		}
		digits := max(0, int(-math.Floor(math.Log10(step)+1e-9)))
		for i := math.Ceil(least/step - 1e-9); i*step <= most*(1+1e-9); i++ {
			v := i*step + 0 // never -0
			ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'f', digits, 64)})
		}
		return ticks
	})
}

// fontStyle is what gonum says of letters beside their size.
var fontStyle = regexp.MustCompile(`font-family:[^;"]*;font-variant:[^;"]*;font-weight:[^;"]*;font-style:[^;"]*;`)

// inline makes an SVG file an element of the page: scalable, named for readers
// of screens, in the page's colours and letters.
func (c *chart) inline(svg string) string {
	_, svg, _ = strings.Cut(svg, "viewBox=")
	_, body, _ := strings.Cut(svg, ">")
	label := template.HTMLEscapeString(c.Title)
	head := fmt.Sprintf(`<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, chartWidth, chartHeight, label)
	body = fontStyle.ReplaceAllString(body, "")
	return head + cssColours.Replace(body)
}

func (l chartLine) band(p *plot.Plot) error {
	if l.low == nil {
		return nil
	}
	low, high := known(l.x, l.low), known(l.x, l.high)
	if len(low) < 2 || len(low) != len(high) {
		return nil
	}
	slices.Reverse(high)
	area, err := plotter.NewPolygon(append(low, high...))
	if err != nil {
		return err
	}
	area.Color, area.LineStyle.Width = bandColour(l.group), 0
	p.Add(area)
	return nil
}

func (l chartLine) line(p *plot.Plot) error {
	points := known(l.x, l.y)
	if len(points) == 0 {
		return nil
	}
	if len(points) == 1 {
		mark, err := plotter.NewScatter(points)
		if err != nil {
			return err
		}
		mark.GlyphStyle = draw.GlyphStyle{Color: lineColour(l.group), Radius: 3, Shape: draw.CircleGlyph{}}
		p.Add(mark)
		return nil
	}
	line, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	line.LineStyle = draw.LineStyle{Color: lineColour(l.group), Width: 2, Dashes: dashOf(l.group)}
	if l.thin {
		line.Width, line.Dashes = .7, nil
	}
	p.Add(line)
	return nil
}

// charts draws the comparison's curves: a line a group with a band over its
// runs where there are several.
func (c *Comparison) charts() []*chart {
	epoch := func(p *runs.EpochPoint) runs.Figure { return p.Epoch + 1 }
	unit, length := "seconds", runs.Figure(1)
	for _, r := range c.Runs {
		if last := r.Curve[len(r.Curve)-1].Seconds; last > 6000 {
			unit, length = "minutes", 60
		}
	}
	time := func(p *runs.EpochPoint) runs.Figure { return p.Seconds / length }
	mAP := func(p *runs.EpochPoint) runs.Figure { return p.MAP }
	map50 := func(p *runs.EpochPoint) runs.Figure { return p.MAP50 }
	list := []*chart{
		c.chart("mAP 0.5:0.95 by epoch", "epoch", epoch, mAP),
		c.chart("mAP 0.5:0.95 against wall time", unit, time, mAP),
		c.chart("mAP 0.5 by epoch", "epoch", epoch, map50),
		c.chart("mAP 0.5 against wall time", unit, time, map50),
		c.chart("precision", "epoch", epoch, func(p *runs.EpochPoint) runs.Figure { return p.Precision }),
		c.chart("recall", "epoch", epoch, func(p *runs.EpochPoint) runs.Figure { return p.Recall }),
	}
	for i, part := range []string{"box", "objectness", "class"} {
		list = append(list,
			c.chart("training loss, "+part, "epoch", epoch, func(p *runs.EpochPoint) runs.Figure { return p.Train[i] }),
			c.chart("validation loss, "+part, "epoch", epoch, func(p *runs.EpochPoint) runs.Figure { return p.Val[i] }))
	}
	return slices.DeleteFunc(list, (*chart).empty)
}

func (c *Comparison) chart(title, xLabel string, x, y func(*runs.EpochPoint) runs.Figure) *chart {
	out := &chart{Title: title, X: xLabel}
	for i, g := range c.Groups {
		mean := chartLine{group: i}
		for k := range g.Band {
			p := &g.Band[k].Mean
			spread := g.spread(func(r *Run) runs.Figure { return y(&r.Curve[k]) })
			mean.x, mean.y = append(mean.x, float64(x(p))), append(mean.y, float64(y(p)))
			mean.low, mean.high = append(mean.low, float64(spread.Min)), append(mean.high, float64(spread.Max))
		}
		if len(g.members) == 1 {
			mean.low, mean.high = nil, nil
		} else {
			for _, r := range g.members {
				one := chartLine{group: i, thin: true}
				for k := range r.Curve {
					one.x, one.y = append(one.x, float64(x(&r.Curve[k]))), append(one.y, float64(y(&r.Curve[k])))
				}
				out.lines = append(out.lines, one)
			}
		}
		out.lines = append(out.lines, mean)
	}
	return out
}
