package picture

import (
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
)

// toRGB converts what a decoder returned; convert is for pictures of luma and chroma.
func toRGB(src image.Image, convert func(dst, luma, cb, cr []uint8)) (*Image, error) {
	b := src.Bounds()
	w, h := b.Dx(), b.Dy()
	switch m := src.(type) {
	case *image.YCbCr:
		return fromYCbCr(m, convert), nil
	case *image.NYCbCrA:
		return fromYCbCr(&m.YCbCr, convert), nil
	case *image.Gray:
		return fromSamples(w, h, m.Pix, m.Stride, 1, 0, 0, 0), nil
	case *image.Gray16:
		return fromSamples(w, h, m.Pix, m.Stride, 2, 0, 0, 0), nil
	case *image.RGBA: // decoders use it for opaque pictures
		return fromSamples(w, h, m.Pix, m.Stride, 4, 0, 1, 2), nil
	case *image.NRGBA:
		return fromSamples(w, h, m.Pix, m.Stride, 4, 0, 1, 2), nil
	case *image.RGBA64:
		return fromSamples(w, h, m.Pix, m.Stride, 8, 0, 2, 4), nil
	case *image.NRGBA64:
		return fromSamples(w, h, m.Pix, m.Stride, 8, 0, 2, 4), nil
	case *image.Paletted:
		return fromPalette(m), nil
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

// fromGIF puts the first frame on the screen's background, which also shows
// through transparent pixels.
func fromGIF(src image.Image, data []byte) (*Image, error) {
	const flags, background, table = 10, 11, 13 // places in the file
	m, ok := src.(*image.Paletted)
	if !ok {
		return nil, fmt.Errorf("gif pictures of kind %T are not supported", src)
	}
	var back color.NRGBA
	if i := table + 3*int(data[background]); data[flags]&0x80 != 0 && i+3 <= len(data) && int(data[background])>>(data[flags]&7+1) == 0 {
		back = color.NRGBA{data[i], data[i+1], data[i+2], 255}
	}
	for i, c := range m.Palette {
		if _, _, _, alpha := c.RGBA(); alpha == 0 {
			m.Palette[i] = back
		}
	}
	w, h := int(binary.LittleEndian.Uint16(data[6:])), int(binary.LittleEndian.Uint16(data[8:]))
	frame, at := fromPalette(m), m.Rect.Min
	if frame.Width == w && frame.Height == h {
		return frame, nil
	}
	out := NewImage(w, h)
	for i := 0; i < len(out.Pix); i += 3 {
		out.Pix[i], out.Pix[i+1], out.Pix[i+2] = back.R, back.G, back.B
	}
	for y := range frame.Height {
		copy(out.Pix[3*(w*(at.Y+y)+at.X):], frame.Pix[3*frame.Width*y:][:3*frame.Width])
	}
	return out, nil
}
