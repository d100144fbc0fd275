package plot

import (
	"fmt"
	"image/color"
	"io"
	"path/filepath"
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

const (
	dpi  = 150
	sans = font.Variant("Sans")
)

// tab are the colours of few lines, told apart easily.
var tab = []color.RGBA{
	{31, 119, 180, 255}, {255, 127, 14, 255}, {44, 160, 44, 255}, {214, 39, 40, 255}, {148, 103, 189, 255},
	{140, 86, 75, 255}, {227, 119, 194, 255}, {127, 127, 127, 255}, {188, 189, 34, 255}, {23, 190, 207, 255},
}

var grey = color.Gray{170}

// save draws a grid of plots, rows of equal length whose nil entries stay empty.
func save(path string, width, height vg.Length, grid [][]*plot.Plot) error {
	return saveFunc(path, width, height, func(c draw.Canvas) {
		tiles := draw.Tiles{Rows: len(grid), Cols: len(grid[0]), PadX: 12, PadY: 12, PadTop: 8, PadBottom: 8, PadLeft: 8, PadRight: 14}
		canvases := plot.Align(grid, tiles, c)
		for i, row := range grid {
			for k, p := range row {
				if p != nil {
					p.Draw(canvases[i][k])
				}
			}
		}
	})
}

// saveFunc draws on a canvas and writes it as what the file's name ends with:
// .png, .jpg or .jpeg.
func saveFunc(path string, width, height vg.Length, paint func(draw.Canvas)) (err error) {
	defer func() { // the plotting library panics on what it cannot scale
		if p := recover(); p != nil {
			err = fmt.Errorf("draw %s: %v", path, p)
		}
	}()
	c := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi))
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
	return p
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

// shades are colours from white to a deep blue.
type shades int

func (n shades) Colors() []color.Color {
	list := make([]color.Color, n)
	for i := range list {
		t := float64(i) / float64(n-1)
		mix := func(from, to float64) uint8 { return uint8(from + (to-from)*t) }
		list[i] = color.RGBA{mix(247, 8), mix(251, 48), mix(255, 107), 255}
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
