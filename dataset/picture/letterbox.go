package picture

import "math"

// PadColour fills what a picture does not cover, in all three channels.
const PadColour = 114

// LetterboxOptions says how Letterbox fits a picture.
type LetterboxOptions struct {
	Auto    bool // pad only up to the next multiple of Stride
	Stride  int  // 0 means 32
	Enlarge bool // smaller pictures are enlarged; YOLOv5 leaves them in validation
}

// Fit is where a picture stands in its letterbox, and maps between the two:
// x' = x*RatioX + PadX in pixels, y alike.
type Fit struct {
	RatioX, RatioY float64
	PadX, PadY     float64 // half the padding, so possibly with .5, as YOLOv5 maps boxes
	Left, Top      int     // where the picture's pixels begin
	Width, Height  int     // of the picture inside
}

// Letterbox fits the picture into w by h pixels keeping its shape, padding with
// PadColour on both sides. The picture is not changed; where nothing is to do
// it is returned as it is.
func Letterbox(img *Image, w, h int, o LetterboxOptions) (*Image, Fit) {
	r := min(float64(h)/float64(img.Height), float64(w)/float64(img.Width))
	if !o.Enlarge {
		r = min(r, 1)
	}
	p := Fit{RatioX: r, RatioY: r}
	p.Width = max(int(math.RoundToEven(float64(img.Width)*r)), 1)
	p.Height = max(int(math.RoundToEven(float64(img.Height)*r)), 1)
	padX, padY := w-p.Width, h-p.Height
	if o.Auto {
		stride := o.Stride
		if stride <= 0 {
			stride = 32
		}
		padX, padY = padX%stride, padY%stride
	}
	p.PadX, p.PadY = float64(padX)/2, float64(padY)/2
	// the tenth puts the odd line of padding at the right and at the bottom
	p.Left, p.Top = int(math.Round(p.PadX-0.1)), int(math.Round(p.PadY-0.1))
	if p.Width != img.Width || p.Height != img.Height {
		img = Resize(img, p.Width, p.Height, false)
	}
	if padX == 0 && padY == 0 {
		return img, p
	}
	return padded(img, p.Width+padX, p.Height+padY, p.Left, p.Top), p
}

// padded puts the picture on a larger canvas.
func padded(img *Image, w, h, left, top int) *Image {
	out := &Image{Width: w, Height: h, Pix: make([]uint8, 3*w*h)}
	for i := range out.Pix {
		out.Pix[i] = PadColour
	}
	for y := range img.Height {
		copy(out.Pix[3*(w*(top+y)+left):], img.Pix[3*img.Width*y:3*img.Width*(y+1)])
	}
	return out
}

// FitSide returns the picture with its longer side at exactly side pixels and
// the other rounded up. Without smooth, or to enlarge, it interpolates; with
// smooth it shrinks by area. YOLOv5 is smooth except where it augments.
func FitSide(img *Image, side int, smooth bool) *Image {
	w, h := FitSize(img.Width, img.Height, side)
	if w == img.Width && h == img.Height {
		return img
	}
	return Resize(img, w, h, smooth && max(img.Width, img.Height) > side)
}

// FitSize is the size that FitSide gives to a picture of w by h pixels.
func FitSize(w, h, side int) (int, int) {
	r := float64(side) / float64(max(w, h))
	if r == 1 {
		return w, h
	}
	up := func(v int) int { return max(int(math.Ceil(float64(v)*r)), 1) }
	return up(w), up(h)
}
