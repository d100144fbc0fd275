package picture

import "image"

// Contributions of the chroma samples, in 16 bits of fraction, as libjpeg
// rounds them: JFIF 1.02, "Conversion to and from RGB".
var crR, cbB, crG, cbG [256]int32

func init() {
	for i := range int32(256) {
		x := i - 128
		crR[i] = (91881*x + 1<<15) >> 16
		cbB[i] = (116130*x + 1<<15) >> 16
		crG[i] = -46802 * x
		cbG[i] = -22554*x + 1<<15
	}
}

// fromYCbCr converts a decoded JPEG or lossy WebP with the rows' conversion.
// Chroma at half size is interpolated with the triangle filter that libjpeg
// calls fancy upsampling, because OpenCV, and so the training of the
// checkpoints, saw pictures decoded that way.
func fromYCbCr(m *image.YCbCr, convert func(dst, luma, cb, cr []uint8)) *Image {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	out := NewImage(w, h)
	up := newUpsampler(m.SubsampleRatio, w, h)
	cb, cr := make([]uint8, w+4), make([]uint8, w+4)
	for y := range h {
		up.row(cb, m.Cb, m.CStride, y)
		up.row(cr, m.Cr, m.CStride, y)
		convert(out.Pix[3*w*y:3*w*(y+1)], m.Y[y*m.YStride:], cb, cr)
	}
	return out
}

// fullRange is JPEG's conversion.
func fullRange(dst, luma, cb, cr []uint8) {
	n := len(dst) / 3
	luma, cb, cr = luma[:n], cb[:n], cr[:n]
	for x, v := range luma {
		b, r := cb[x], cr[x]
		y := int32(v)
		d := dst[3*x : 3*x+3 : 3*x+3]
		d[0] = clamp8(y + crR[r])
		d[1] = clamp8(y + (cbG[b]+crG[r])>>16)
		d[2] = clamp8(y + cbB[b])
	}
}

// videoRange is WebP's conversion, luma from 16 to 235 and chroma from 16 to 240,
// with the constants and bits of libwebp's dsp/yuv.h.
func videoRange(dst, luma, cb, cr []uint8) {
	n := len(dst) / 3
	luma, cb, cr = luma[:n], cb[:n], cr[:n]
	for x, v := range luma {
		y, b, r := int32(v)*19077>>8, int32(cb[x]), int32(cr[x])
		d := dst[3*x : 3*x+3 : 3*x+3]
		d[0] = clamp8((y + r*26149>>8 - 14234) >> 6)
		d[1] = clamp8((y - b*6419>>8 - r*13320>>8 + 8708) >> 6)
		d[2] = clamp8((y + b*33050>>8 - 17685) >> 6)
	}
}

func clamp8(v int32) uint8 {
	if uint32(v) <= 255 {
		return uint8(v)
	}
	return uint8(^(v >> 31)) // 0 under, 255 over
}

// upsampler brings rows of a chroma plane to the size of the picture.
type upsampler struct {
	sx, sy  int     // how much smaller the plane is
	w, h    int     // used size of the plane
	smoothX bool    // interpolate along the row
	smoothY bool    // and between rows
	sum     []int32 // a row between two rows, times four
}

func newUpsampler(ratio image.YCbCrSubsampleRatio, width, height int) *upsampler {
	u := &upsampler{sx: 1, sy: 1}
	switch ratio {
	case image.YCbCrSubsampleRatio422:
		u.sx = 2
	case image.YCbCrSubsampleRatio420:
		u.sx, u.sy = 2, 2
	case image.YCbCrSubsampleRatio440:
		u.sy = 2
	case image.YCbCrSubsampleRatio411:
		u.sx = 4
	case image.YCbCrSubsampleRatio410:
		u.sx, u.sy = 4, 2
	}
	u.w, u.h = (width+u.sx-1)/u.sx, (height+u.sy-1)/u.sy
	u.smoothX = u.sx == 2 && u.w > 2 // libjpeg repeats narrower planes
	u.smoothY = u.sy == 2 && (u.smoothX || u.sx == 1)
	u.sum = make([]int32, u.w)
	return u
}

// row writes row y of the picture's size to dst, which has room for the last
// sample's repetitions.
func (u *upsampler) row(dst, plane []uint8, stride, y int) {
	near := plane[y/u.sy*stride:][:u.w]
	switch {
	case u.smoothY:
		far := y/2 + 2*(y&1) - 1
		u.between(near, plane[min(max(far, 0), u.h-1)*stride:][:u.w])
		if u.smoothX {
			u.alongSums(dst)
			return
		}
		round := int32(1 + y&1)
		for i, s := range u.sum {
			dst[i] = uint8((s + round) >> 2)
		}
	case u.smoothX:
		along(dst, near)
	case u.sx == 1:
		copy(dst, near)
	default:
		for i, v := range near {
			for k := range u.sx {
				if at := i*u.sx + k; at < len(dst) {
					dst[at] = v
				}
			}
		}
	}
}

// between leaves three parts near and one part far in u.sum.
func (u *upsampler) between(near, far []uint8) {
	for i := range u.sum {
		u.sum[i] = 3*int32(near[i]) + int32(far[i])
	}
}

// alongSums spreads u.sum along the row; the rounding alternates so that no
// side is favoured.
func (u *upsampler) alongSums(dst []uint8) {
	s, n := u.sum, len(u.sum)
	dst = dst[:2*n]
	dst[0] = uint8((4*s[0] + 8) >> 4)
	for i := 1; i < n; i++ {
		a, b := s[i-1], s[i]
		dst[2*i-1] = uint8((3*a + b + 7) >> 4)
		dst[2*i] = uint8((3*b + a + 8) >> 4)
	}
	dst[2*n-1] = uint8((4*s[n-1] + 7) >> 4)
}

// along is alongSums for a plane that is only narrower.
func along(dst, src []uint8) {
	n := len(src)
	dst = dst[:2*n]
	dst[0], dst[2*n-1] = src[0], src[n-1]
	for i := 1; i < n; i++ {
		a, b := int32(src[i-1]), int32(src[i])
		dst[2*i-1] = uint8((3*a + b + 2) >> 2)
		dst[2*i] = uint8((3*b + a + 1) >> 2)
	}
}
