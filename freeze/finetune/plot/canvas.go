package plot

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"yolofreeze/onnx/disk"
)

const sans = font.Variant("Sans")

// size is how large a figure is drawn: as YOLOv5's of that name.
type size struct {
	width, height vg.Length
	dpi           int
}

// tab are the colours of few lines, told apart easily.
var tab = []color.RGBA{
	{31, 119, 180, 255}, {255, 127, 14, 255}, {44, 160, 44, 255}, {214, 39, 40, 255}, {148, 103, 189, 255},
	{140, 86, 75, 255}, {227, 119, 194, 255}, {127, 127, 127, 255}, {188, 189, 34, 255}, {23, 190, 207, 255},
}

var grey = color.Gray{170}

// save draws a grid of plots, rows of equal length whose nil entries stay empty.
func save(path string, s size, grid [][]*plot.Plot) error {
	return saveFunc(path, s, func(c draw.Canvas) { drawGrid(c, grid) })
}

func drawGrid(c draw.Canvas, grid [][]*plot.Plot) {
	tiles := draw.Tiles{Rows: len(grid), Cols: len(grid[0]), PadX: 12, PadY: 12, PadTop: 8, PadBottom: 8, PadLeft: 8, PadRight: 14}
	canvases := plot.Align(grid, tiles, c)
	for i, row := range grid {
		for k, p := range row {
			if p != nil {
				p.Draw(canvases[i][k])
			}
		}
	}
}

// saveFunc draws on a canvas and writes it as what the file's name ends with:
// .png, .jpg or .jpeg.
func saveFunc(path string, s size, paint func(draw.Canvas)) (err error) {
	defer func() { // the plotting library panics on what it cannot scale
		if p := recover(); p != nil {
			err = fmt.Errorf("draw %s: %v", path, p)
		}
	}()
	c := vgimg.NewWith(vgimg.UseWH(s.width, s.height), vgimg.UseDPI(s.dpi))
	paint(draw.New(c))
	return write(path, c)
}

// write encodes a canvas into a file.
func write(path string, c *vgimg.Canvas) error {
	err := disk.Put(path, func(w io.Writer) (err error) {
		switch strings.ToLower(filepath.Ext(path)) {
		case ".jpg", ".jpeg":
			_, err = vgimg.JpegCanvas{Canvas: c}.WriteTo(w)
		default:
			_, err = vgimg.PngCanvas{Canvas: c}.WriteTo(w)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("draw %s: %w", path, err)
	}
	return nil
}

// newPlot is an empty plot with its texts.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding = 4
	for _, style := range []*text.Style{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle,
		&p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		style.Font.Variant = sans
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = roundTicks(0), roundTicks(0)
	p.X.Padding, p.Y.Padding = 0, 0
	return p
}

var faint = color.Gray{212}

// addGrid draws faint lines at the ticks, under all else.
func addGrid(p *plot.Plot) {
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = faint, faint
	p.Add(grid)
}

// roundTicks puts about five ticks on an axis, steps of 1, 2 or 5 times a power of ten apart, but no closer than least.
func roundTicks(least float64) plot.Ticker {
	return plot.TickerFunc(func(low, high float64) (list []plot.Tick) {
		step := roundStep(math.Abs(high-low)/5, least)
		if step == 0 {
			return nil
		}
		digits := max(0, int(-math.Floor(math.Log10(step)+1e-9)))
		for i := math.Ceil(low/step - 1e-9); i*step <= high+step*1e-9; i++ {
			list = append(list, plot.Tick{Value: i * step, Label: strconv.FormatFloat(i*step+0, 'f', digits, 64)})
		}
		return list
	})
}

func roundStep(rough, least float64) float64 {
	if !(rough > 0) || math.IsInf(rough, 0) {
		return least
	}
	unit := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if factor*unit >= rough*(1-1e-9) {
			return max(factor*unit, least)
		}
	}
	return least
}

// widen leaves room on both sides of an axis's values, much where they are all one.
func widen(a *plot.Axis) {
	if !(a.Min <= a.Max) || math.IsInf(a.Min, 0) || math.IsInf(a.Max, 0) { // nothing is drawn
		a.Min, a.Max = 0, 1
	}
	room := (a.Max - a.Min) * .05
	if room <= 1e-7*math.Abs(a.Max) { // one value, but for rounding
		if room = math.Abs(a.Max) * .45; room == 0 {
			room = .5
		}
	}
	a.Min, a.Max = a.Min-room, a.Max+room
}

// line draws points in a colour; it returns nil when there are none.
func line(points plotter.XYs, c color.Color, width vg.Length) (*plotter.Line, error) {
	if len(points) == 0 {
		return nil, nil
	}
	l, err := plotter.NewLine(points)
	if err != nil {
		return nil, err
	}
	l.Color, l.Width = c, width
	return l, nil
}

// shades are colours from the palest to a deep blue.
type shades int

func (n shades) Colors() []color.Color {
	list := make([]color.Color, n)
	for i := range list {
		t := float64(i) / float64(n-1)
		mix := func(from, to float64) uint8 { return uint8(from + (to-from)*t) }
		list[i] = color.RGBA{mix(222, 8), mix(235, 48), mix(247, 107), 255}
	}
	return list
}

// cells are numbers in a grid of columns×rows, the centre of the first cell
// at origin, step apart. What is not drawn is NaN.
type cells struct {
	columns, rows int
	origin, step  float64
	z             func(column, row int) float64
}

func (g cells) Dims() (columns, rows int) { return g.columns, g.rows }
func (g cells) X(column int) float64      { return g.origin + g.step*float64(column) }
func (g cells) Y(row int) float64         { return g.origin + g.step*float64(row) }
func (g cells) Z(column, row int) float64 { return g.z(column, row) }

// heat makes a map of cells whose colours go from 0 to most.
func heat(g cells, most float64) *plotter.HeatMap {
	h := plotter.NewHeatMap(g, shades(128))
	h.Min, h.Max, h.NaN = 0, max(most, 1e-9), color.White
	h.Overflow, h.Underflow = shades(128).Colors()[127], color.White
	return h
}
