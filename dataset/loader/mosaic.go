package loader

import "yolofreeze/dataset/picture"

// mosaicParams is one draw of a mosaic: which pictures, where they meet, and
// how the whole is then transformed.
type mosaicParams struct {
	samples          []int  // 4 or 9 of the split, in the order of their places
	centreX, centreY int    // four: where their corners meet; nine: the corner of the cut
	paste            uint64 // seeds copy-paste, which depends on the objects found
	view             Perspective
}

// part is one picture's place in a mosaic: its upper left corner, possibly
// outside the canvas.
type part struct{ left, top, width, height int }

// mosaicFour puts four pictures around the centre of a canvas of 2w×2h: upper
// left, upper right, lower left, lower right. sizes are their widths and
// heights.
func mosaicFour(centreX, centreY int, sizes [][2]int) []part {
	parts := make([]part, len(sizes))
	for i, wh := range sizes {
		parts[i] = part{centreX, centreY, wh[0], wh[1]}
		if i%2 == 0 {
			parts[i].left -= wh[0]
		}
		if i < 2 {
			parts[i].top -= wh[1]
		}
	}
	return parts
}

// mosaicNine puts one picture in the middle of a canvas of 3w×3h and eight
// around it, clockwise from above, each touching the one before; it returns
// their places in the 2w×2h that begin at (cutX, cutY).
func mosaicNine(w, h, cutX, cutY int, sizes [][2]int) []part {
	parts := make([]part, len(sizes))
	w0, h0 := sizes[0][0], sizes[0][1]
	var pw, ph int // the picture before
	for i, wh := range sizes {
		pictureW, pictureH := wh[0], wh[1]
		corner := [9][2]int{
			{w, h},
			{w, h - pictureH},
			{w + pw, h - pictureH},
			{w + w0, h},
			{w + w0, h + ph},
			{w + w0 - pictureW, h + h0},
			{w + w0 - pw - pictureW, h + h0},
			{w - pictureW, h + h0 - pictureH},
			{w - pictureW, h + h0 - ph - pictureH},
		}[i]
		parts[i] = part{corner[0] - cutX, corner[1] - cutY, pictureW, pictureH}
		pw, ph = pictureW, pictureH
	}
	return parts
}

// paste copies what of the picture lies on the canvas.
func (p part) paste(canvas, img *picture.Image) {
	x1, x2 := max(p.left, 0), min(p.left+p.width, canvas.Width)
	if x1 >= x2 {
		return
	}
	for y := max(p.top, 0); y < min(p.top+p.height, canvas.Height); y++ {
		src := img.Pix[3*(img.Width*(y-p.top)+x1-p.left):][:3*(x2-x1)]
		copy(canvas.Pix[3*(canvas.Width*y+x1):], src)
	}
}
