package dataset

import (
	"fmt"
	"image"
	"image/color"
)

// toRGB converts what the decoder of a format returned.
func toRGB(src image.Image, format string) (*Image, error) {
	b := src.Bounds()
	w, h := b.Dx(), b.Dy()
	switch m := src.(type) {
	case *image.YCbCr:
		if format == "webp" {
			return fromYCbCr(m, videoRange), nil
		}
		return fromYCbCr(m, fullRange), nil
	case *image.NYCbCrA:
		return fromYCbCr(&m.YCbCr, videoRange), nil
	case *image.Gray:
		return fromSamples(w, h, m.Pix, m.Stride, 1, 0, 0, 0), nil
	case *image.Gray16:
		return fromSamples(w, h, m.Pix, m.Stride, 2, 0, 0, 0), nil
	case *image.RGBA: // decoders use it for opaque pictures
		return fromSamples(w, h, m.Pix, m.Stride, 4, 0, 1, 2), nil
	case *image.NRGBA:
		if format == "tiff" {
			return fromBlended(m), nil
		}
		return fromSamples(w, h, m.Pix, m.Stride, 4, 0, 1, 2), nil
	case *image.RGBA64:
		return fromSamples(w, h, m.Pix, m.Stride, 8, 0, 2, 4), nil
	case *image.NRGBA64:
		return fromSamples(w, h, m.Pix, m.Stride, 8, 0, 2, 4), nil
	case *image.Paletted:
		return fromPalette(m), nil
	case *image.CMYK:
		return fromCMYK(m), nil
	}
	return nil, fmt.Errorf("pictures of kind %T are not supported", src)
}

// fromSamples takes the bytes at the offsets r, g and b of each pixel of size
// step. The first byte of a 16-bit sample is its upper one.
func fromSamples(w, h int, pix []uint8, stride, step, r, g, b int) *Image {
	out := NewImage(w, h)
	for y := range h {
		row, dst := pix[y*stride:], out.Pix[3*w*y:3*w*(y+1)]
		for x := range w {
			p := row[x*step : x*step+step]
			dst[3*x], dst[3*x+1], dst[3*x+2] = p[r], p[g], p[b]
		}
	}
	return out
}

// fromBlended multiplies by alpha, as libtiff does for OpenCV.
func fromBlended(m *image.NRGBA) *Image {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	out := NewImage(w, h)
	for y := range h {
		row, dst := m.Pix[y*m.Stride:], out.Pix[3*w*y:3*w*(y+1)]
		for x := range w {
			p := row[4*x : 4*x+4]
			for c := range 3 {
				dst[3*x+c] = uint8((int(p[c])*int(p[3]) + 127) / 255)
			}
		}
	}
	return out
}

func fromPalette(m *image.Paletted) *Image {
	var table [256][3]uint8
	for i, c := range m.Palette {
		if i > 255 {
			break
		}
		n, ok := c.(color.NRGBA)
		if !ok {
			n = color.NRGBAModel.Convert(c).(color.NRGBA)
		}
		table[i] = [3]uint8{n.R, n.G, n.B}
	}
	w, h := m.Rect.Dx(), m.Rect.Dy()
	out := NewImage(w, h)
	for y := range h {
		row, dst := m.Pix[y*m.Stride:][:w], out.Pix[3*w*y:3*w*(y+1)]
		for x, i := range row {
			copy(dst[3*x:3*x+3], table[i][:])
		}
	}
	return out
}

// fromCMYK multiplies light, which is what OpenCV does with the inverted inks
// that such files hold.
func fromCMYK(m *image.CMYK) *Image {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	out := NewImage(w, h)
	for y := range h {
		row, dst := m.Pix[y*m.Stride:], out.Pix[3*w*y:3*w*(y+1)]
		for x := range w {
			p := row[4*x : 4*x+4]
			light := 255 - int32(p[3])
			for c := range 3 {
				dst[3*x+c] = uint8(light - int32(p[c])*light>>8)
			}
		}
	}
	return out
}

// placed returns the picture on black at the given place.
func (img *Image) placed(w, h, left, top int) *Image {
	if img.Width == w && img.Height == h && left == 0 && top == 0 {
		return img
	}
	out := NewImage(w, h)
	width := min(img.Width, w-left)
	for y := range min(img.Height, h-top) {
		copy(out.Pix[3*(w*(top+y)+left):], img.Pix[3*img.Width*y:][:3*width])
	}
	return out
}
