package picture

import "math"

// HSVGains multiply a picture's hue, saturation and value.
type HSVGains struct{ H, S, V float64 }

// Apply changes the picture in place, in 8 bits and with OpenCV's arithmetic:
// hue counts half degrees and wraps at 180, saturation and value stop at 255.
func (g HSVGains) Apply(img *Image) {
	if g == (HSVGains{1, 1, 1}) {
		return
	}
	var hue, sat, val [256]uint8
	for i := range 256 {
		x := float64(i)
		hue[i] = uint8(math.Mod(x*g.H, 180))
		sat[i] = uint8(min(x*g.S, 255))
		val[i] = uint8(min(x*g.V, 255))
	}
	for pix := img.Pix; len(pix) >= 3; pix = pix[3:] {
		h, s, v := toHSV(pix[0], pix[1], pix[2])
		pix[0], pix[1], pix[2] = FromHSV(hue[h], sat[s], val[v])
	}
}

const hsvShift = 12 // bits of fraction in the tables of reciprocals

// satScale and hueScale hold 255/v and 30/d, which spare a division a pixel.
var satScale, hueScale = func() (s, h [256]int32) {
	for i := 1; i < 256; i++ {
		s[i] = int32(math.RoundToEven(255 << hsvShift / float64(i)))
		h[i] = int32(math.RoundToEven(180 << hsvShift / (6 * float64(i))))
	}
	return
}()

func toHSV(red, green, blue uint8) (h, s, v uint8) {
	r, g, b := int32(red), int32(green), int32(blue)
	top := max(r, g, b)
	d := top - min(r, g, b)
	var hue int32
	switch top {
	case r:
		hue = g - b
	case g:
		hue = b - r + 2*d
	default:
		hue = r - g + 4*d
	}
	hue = (hue*hueScale[d] + 1<<(hsvShift-1)) >> hsvShift
	if hue < 0 {
		hue += 180
	}
	return uint8(hue), uint8((d*satScale[top] + 1<<(hsvShift-1)) >> hsvShift), uint8(top)
}

// sector is the number of hues between two corners of the colour wheel.
const sector = 30

// paleness says, for each hue and each of red, green and blue, how far
// saturation darkens that channel: from 0, not at all, to sector.
var paleness = func() (p [256][3]uint8) {
	for h := range 180 {
		f := uint8(h % sector)
		p[h] = [6][3]uint8{
			{0, sector - f, sector}, {f, 0, sector}, {sector, 0, sector - f},
			{sector, f, 0}, {sector - f, sector, 0}, {0, sector, f},
		}[h/sector]
	}
	return p
}()

// FromHSV is the textbook conversion, cut to whole levels as OpenCV's vector
// code cuts it.
func FromHSV(h, s, v uint8) (r, g, b uint8) {
	const one = 255 * sector
	top, sat, p := uint32(v), uint32(s), &paleness[h]
	return uint8(top * (one - sat*uint32(p[0])) / one),
		uint8(top * (one - sat*uint32(p[1])) / one),
		uint8(top * (one - sat*uint32(p[2])) / one)
}
