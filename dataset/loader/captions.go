package loader

import (
	"image"
	"image/color"
	"image/draw"

	"golang.org/x/image/font"
	fixedpoint "golang.org/x/image/math/fixed"

	"yolofreeze/dataset/picture"
)

// captions are the texts of one tile of a sheet, none over another as far as there is room.
type captions struct {
	tile *image.RGBA
	face font.Face
	list []captionText
}

type captionText struct {
	text string
	at   image.Rectangle
	ink  color.Color
}

// newCaptions writes in letters that fit the tile's size.
func newCaptions(tile *image.RGBA) captions {
	return captions{tile: tile, face: picture.Face(min(max(tile.Rect.Dx()/30, 11), 20))}
}

// size is how large a text's bar is.
func (c *captions) size(text string) image.Point {
	m := c.face.Metrics()
	return image.Pt(font.MeasureString(c.face, text).Ceil()+4, (m.Ascent + m.Descent).Ceil())
}

// fitted cuts a text to the tile's width.
func (c *captions) fitted(text string) string {
	const cut = "…"
	if c.size(text).X <= c.tile.Rect.Dx() {
		return text
	}
	letters := []rune(text)
	for len(letters) > 1 && c.size(string(letters)+cut).X > c.tile.Rect.Dx() {
		letters = letters[:len(letters)-1]
	}
	return string(letters) + cut
}

// title has the picture's name written in the tile's first corner.
func (c *captions) title(text string) {
	text = c.fitted(text)
	at := c.tile.Rect.Min
	c.list = append(c.list, captionText{text, image.Rectangle{at, at.Add(c.size(text))}, color.Gray{96}})
}

// mark has a box's label written: above the box, or where that is taken or beyond the tile inside,
// below, or at the next free height.
func (c *captions) mark(box image.Rectangle, text string, ink color.Color) {
	text = c.fitted(text)
	size, room := c.size(text), c.tile.Rect
	if box = box.Intersect(room); box.Empty() {
		box = room
	}
	left := max(min(box.Min.X, room.Max.X-size.X), room.Min.X)
	right := max(min(box.Max.X-size.X, room.Max.X-size.X), room.Min.X)
	above, inside, below, within := box.Min.Y-size.Y, box.Min.Y, box.Max.Y, box.Max.Y-size.Y
	places := []image.Point{{left, above}, {left, inside}, {right, above}, {right, inside}, {left, below}, {left, within}, {right, below}, {right, within}}
	for step := 1; step <= room.Dy(); step++ {
		places = append(places, image.Pt(left, inside+step), image.Pt(left, above-step))
	}
	for _, p := range places {
		if at := (image.Rectangle{p, p.Add(size)}); at.In(room) && c.free(at) {
			c.list = append(c.list, captionText{text, at, ink})
			return
		}
	}
	y := max(min(above, room.Max.Y-size.Y), room.Min.Y) // a tile that is full of them
	c.list = append(c.list, captionText{text, image.Rect(left, y, left+size.X, y+size.Y), ink})
}

func (c *captions) free(at image.Rectangle) bool {
	for _, other := range c.list {
		if at.Overlaps(other.at) {
			return false
		}
	}
	return true
}

// write draws white texts on bars of their colours.
func (c *captions) write() {
	for i := len(c.list) - 1; i >= 0; i-- { // where they do overlap, the first is whole
		t := c.list[i]
		draw.Draw(c.tile, t.at, image.NewUniform(t.ink), image.Point{}, draw.Src)
		d := font.Drawer{Dst: c.tile, Src: image.White, Face: c.face, Dot: fixedpoint.P(t.at.Min.X+2, t.at.Min.Y+c.face.Metrics().Ascent.Ceil())}
		d.DrawString(t.text)
	}
}
