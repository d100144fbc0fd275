package loader

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"io"
	"math"

	"yolofreeze/dataset/picture"
	"yolofreeze/onnx/disk"
)

// Mark is one box to draw on a sheet: corners in pixels of picture Image of a
// batch. Conf is written beside the class's name unless it is 0, as of labels.
type Mark struct {
	Image, Class   int
	X1, Y1, X2, Y2 float32
	Conf           float32
}

// Marks returns the batch's targets as marks.
func (b *Batch) Marks() []Mark {
	marks := make([]Mark, len(b.Targets))
	w, h := float32(b.Width), float32(b.Height)
	for i, t := range b.Targets {
		marks[i] = Mark{int(t.Image), int(t.Class), (t.X - t.W/2) * w, (t.Y - t.H/2) * h, (t.X + t.W/2) * w, (t.Y + t.H/2) * h, 0}
	}
	return marks
}

const (
	sheetPictures = 16
	sheetSide     = 1920 // pixels, at most
)

// Sheet draws up to 16 pictures of the batch with marks in a square grid.
// names are those of the classes; titles, where given, one a picture.
func (b *Batch) Sheet(marks []Mark, names, titles []string) *image.RGBA {
	n := min(b.Size, sheetPictures)
	grid := int(math.Ceil(math.Sqrt(float64(n))))
	scale := min(1, float64(sheetSide)/float64(max(grid, 1)*max(b.Width, b.Height)))
	w, h := max(int(float64(b.Width)*scale), 1), max(int(float64(b.Height)*scale), 1)
	sheet := image.NewRGBA(image.Rect(0, 0, grid*w, grid*h))
	draw.Draw(sheet, sheet.Rect, image.White, image.Point{}, draw.Src)
	tile := func(i int) *image.RGBA {
		at := image.Pt(i%grid*w, i/grid*h)
		return sheet.SubImage(image.Rectangle{at, at.Add(image.Pt(w, h))}).(*image.RGBA)
	}
	for i := range n {
		drawPicture(tile(i), b.picture(i))
	}
	texts := make([]captions, n)
	for i := range n {
		texts[i] = newCaptions(tile(i))
		if i < len(titles) {
			texts[i].title(titles[i])
		}
	}
	for _, m := range marks { // captions come over all boxes
		if m.Image >= 0 && m.Image < n {
			outline(tile(m.Image), boxOf(tile(m.Image), m, scale), 2, classColour(m.Class))
		}
	}
	for _, m := range marks {
		if m.Image >= 0 && m.Image < n {
			texts[m.Image].mark(boxOf(tile(m.Image), m, scale), labelOf(m, names), classColour(m.Class))
		}
	}
	for i := range n {
		outline(tile(i), tile(i).Rect, 1, color.White)
		texts[i].write()
	}
	return sheet
}

// WriteSheet writes Sheet to a JPEG file.
func (b *Batch) WriteSheet(path string, marks []Mark, names, titles []string) error {
	err := disk.Put(path, func(w io.Writer) error {
		return jpeg.Encode(w, b.Sheet(marks, names, titles), &jpeg.Options{Quality: 90})
	})
	if err != nil {
		return fmt.Errorf("write a sheet of pictures: %s: %w", path, err)
	}
	return nil
}

// picture puts the planes of picture i together.
func (b *Batch) picture(i int) *picture.Image {
	img := picture.NewImage(b.Width, b.Height)
	n := b.Width * b.Height
	planes := b.Images[3*n*i:][:3*n]
	for k := range n {
		img.Pix[3*k], img.Pix[3*k+1], img.Pix[3*k+2] = planes[k], planes[n+k], planes[2*n+k]
	}
	return img
}

func drawPicture(dst *image.RGBA, img *picture.Image) {
	img = picture.Resize(img, dst.Rect.Dx(), dst.Rect.Dy(), dst.Rect.Dx() < img.Width)
	for y := range img.Height {
		row := dst.Pix[y*dst.Stride:]
		for x := range img.Width {
			copy(row[4*x:4*x+3], img.Pix[3*(y*img.Width+x):])
		}
	}
}

// boxOf is where a mark lies in a tile.
func boxOf(tile *image.RGBA, m Mark, scale float64) image.Rectangle {
	at := func(v float32) int { return int(math.Round(min(max(float64(v)*scale, -1e6), 1e6))) }
	return image.Rect(at(m.X1), at(m.Y1), at(m.X2), at(m.Y2)).Add(tile.Rect.Min)
}

func labelOf(m Mark, names []string) string {
	text := fmt.Sprint(m.Class)
	if m.Class >= 0 && m.Class < len(names) {
		text = names[m.Class]
	}
	if m.Conf > 0 {
		text += fmt.Sprintf(" %.2f", m.Conf)
	}
	return text
}

// outline draws the edge of a rectangle inwards.
func outline(dst *image.RGBA, r image.Rectangle, width int, c color.Color) {
	fill := image.NewUniform(c)
	for _, edge := range []image.Rectangle{
		{r.Min, image.Pt(r.Max.X, r.Min.Y+width)}, {image.Pt(r.Min.X, r.Max.Y-width), r.Max},
		{r.Min, image.Pt(r.Min.X+width, r.Max.Y)}, {image.Pt(r.Max.X-width, r.Min.Y), r.Max},
	} {
		draw.Draw(dst, edge.Intersect(r), fill, image.Point{}, draw.Src)
	}
}

// classColour gives neighbouring classes hues far apart.
func classColour(class int) color.RGBA {
	r, g, b := picture.FromHSV(uint8(((class*69)%180+180)%180), 220, uint8(200-40*(class&1)))
	return color.RGBA{r, g, b, 255}
}
