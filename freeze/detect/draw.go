package detect

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"strings"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/math/fixed"

	"yolofreeze/dataset/picture"
)

// Pen draws detections.
type Pen struct {
	Thickness int // of lines, in pixels; 0: by the picture's size
	Labels    bool
	Conf      bool // labels say the confidence
}

// canvasOf copies a picture into one that can be drawn on.
func canvasOf(img *picture.Image) *image.RGBA {
	canvas := image.NewRGBA(image.Rect(0, 0, img.Width, img.Height))
	for i := range img.Width * img.Height {
		copy(canvas.Pix[4*i:], img.Pix[3*i:3*i+3])
		canvas.Pix[4*i+3] = 255
	}
	return canvas
}

// draw frames one detection in its class's colour and writes its label above
// the frame, or inside where there is no room.
func (p Pen) draw(canvas *image.RGBA, o Object) {
	bounds := canvas.Bounds()
	line := p.Thickness
	if line == 0 {
		line = max(int(math.Round(float64(bounds.Dx()+bounds.Dy())/2*0.003)), 2)
	}
	ink := classColour(o.Class)
	at := func(v float64) int { return int(math.Round(v)) }
	frame(canvas, image.Rect(at(o.XYXY[0]), at(o.XYXY[1]), at(o.XYXY[2]), at(o.XYXY[3])), line, ink)
	if !p.Labels {
		return
	}
	text := strings.Map(inked, o.Name)
	if p.Conf {
		text += fmt.Sprintf(" %.2f", o.Conf)
	}
	face := picture.Face(max(5*line, 11))
	metrics, pad := face.Metrics(), max(line/2, 2)
	width := font.MeasureString(face, text).Ceil() + 2*pad
	height := (metrics.Ascent + metrics.Descent).Ceil() + pad
	left := min(max(at(o.XYXY[0])-line/2, 0), max(bounds.Dx()-width, 0))
	top := at(o.XYXY[1]) - line/2 - height
	if top < 0 {
		top = max(at(o.XYXY[1])-line/2, 0)
	}
	fill(canvas, image.Rect(left, top, left+width, top+height), ink)
	writer := font.Drawer{Dst: canvas, Src: image.NewUniform(contrast(ink)), Face: face,
		Dot: fixed.P(left+pad, top+pad/2+metrics.Ascent.Ceil())}
	writer.DrawString(text)
}

// inked has blanks for what cannot be drawn.
func inked(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}

// frame draws a rectangle's outline, centred on its edges.
func frame(canvas *image.RGBA, r image.Rectangle, line int, ink color.Color) {
	out, in := r.Inset(-(line / 2)), r.Inset((line+1)/2)
	if in.Empty() {
		fill(canvas, out, ink)
		return
	}
	fill(canvas, image.Rect(out.Min.X, out.Min.Y, out.Max.X, in.Min.Y), ink)
	fill(canvas, image.Rect(out.Min.X, in.Max.Y, out.Max.X, out.Max.Y), ink)
	fill(canvas, image.Rect(out.Min.X, in.Min.Y, in.Min.X, in.Max.Y), ink)
	fill(canvas, image.Rect(in.Max.X, in.Min.Y, out.Max.X, in.Max.Y), ink)
}

func fill(canvas *image.RGBA, r image.Rectangle, ink color.Color) {
	draw.Draw(canvas, r, image.NewUniform(ink), image.Point{}, draw.Src)
}

// classColour spreads classes around the colour circle by the golden angle, so
// that neighbours differ, and alternates their brightness.
func classColour(class int) color.RGBA {
	hue := math.Mod(float64(class)*0.61803398875, 1) * 6
	value := []float64{1, 0.75, 0.9}[class%3]
	channel := func(offset float64) uint8 {
		k := math.Mod(offset+hue, 6)
		return uint8(math.Round(255 * value * (1 - 0.85*max(0, min(k, 4-k, 1)))))
	}
	return color.RGBA{channel(5), channel(3), channel(1), 255}
}

// contrast returns black or white, whichever reads better (ITU-R BT.601 luma).
func contrast(c color.RGBA) color.Color {
	if 299*int(c.R)+587*int(c.G)+114*int(c.B) > 140*1000 {
		return color.Black
	}
	return color.White
}
