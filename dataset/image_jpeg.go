package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
)

// JPEG markers, ITU-T T.81 table B.1.
const (
	markSOF0, markSOF2, markDHT, markJPG, markDAC = 0xc0, 0xc2, 0xc4, 0xc8, 0xcc
	markSOI, markEOI, markSOS                     = 0xd8, 0xd9, 0xda
	markAPP1                                      = 0xe1
)

// probeJPEG walks the segments before the picture data for the size and the
// EXIF orientation, and looks whether the file ends as it should.
func (info *Info) probeJPEG(r io.ReaderAt, size int64) error {
	var seg [10]byte
	oriented := false
	for at := int64(2); ; {
		n, err := r.ReadAt(seg[:], at)
		if n < 4 {
			if err == nil || err == io.EOF {
				err = errors.New("the file ends before the picture's size")
			}
			return fmt.Errorf("reading the jpeg header: %w", err)
		}
		mark := seg[1]
		if seg[0] != 0xff || mark == 0xff || mark == 0 || mark == 1 || (mark >= 0xd0 && mark <= markSOI) {
			at++ // filling, or bytes between segments, which libjpeg skips too
			continue
		}
		length := int64(binary.BigEndian.Uint16(seg[2:]))
		switch {
		case mark == markEOI || mark == markSOS:
			return errors.New("reading the jpeg header: picture data before the picture's size")
		case mark == markAPP1 && !oriented:
			oriented = info.readEXIF(io.NewSectionReader(r, at+4, max(length-2, 0)))
		case mark >= markSOF0 && mark < 0xd0 && mark != markDHT && mark != markJPG && mark != markDAC:
			if n < 9 {
				return errors.New("reading the jpeg header: the file ends too early")
			}
			if mark > markSOF2 {
				return fmt.Errorf("jpeg of a rare kind (lossless, hierarchical or arithmetic-coded, marker FF%02X) is not supported", mark)
			}
			if seg[4] != 8 {
				return fmt.Errorf("jpeg with %d bits a sample is not supported: only 8", seg[4])
			}
			info.Height = int(binary.BigEndian.Uint16(seg[5:]))
			info.Width = int(binary.BigEndian.Uint16(seg[7:]))
			info.NoEnd = !endsJPEG(r, size)
			return nil
		}
		at += 2 + max(length, 2)
	}
}

// readEXIF takes the orientation from an APP1 segment, if that holds EXIF.
func (info *Info) readEXIF(seg *io.SectionReader) bool {
	data := make([]byte, seg.Size())
	n, _ := io.ReadFull(seg, data)
	tiff, ok := bytes.CutPrefix(data[:n], []byte("Exif\x00"))
	if !ok || len(tiff) == 0 {
		return false
	}
	info.Orientation = tiffOrientation(bytes.NewReader(tiff[1:]))
	return true
}

// endsJPEG looks for the end marker in the last bytes; cameras append to it.
func endsJPEG(r io.ReaderAt, size int64) bool {
	var tail [512]byte
	from := max(size-int64(len(tail)), 0)
	n, _ := r.ReadAt(tail[:min(2, size)], size-min(2, size))
	if bytes.Equal(tail[:n], []byte{0xff, markEOI}) {
		return true
	}
	n, _ = r.ReadAt(tail[:size-from], from)
	return bytes.Contains(tail[:n], []byte{0xff, markEOI})
}

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

// fromYCbCr converts a decoded JPEG. Chroma at half size is interpolated with
// the triangle filter that libjpeg calls fancy upsampling, because OpenCV, and
// so the training of the checkpoints, saw pictures decoded that way.
func fromYCbCr(m *image.YCbCr) *Image {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	out := NewImage(w, h)
	up := newUpsampler(m.SubsampleRatio, w, h)
	cb, cr := make([]uint8, w+4), make([]uint8, w+4)
	for y := range h {
		up.row(cb, m.Cb, m.CStride, y)
		up.row(cr, m.Cr, m.CStride, y)
		rowToRGB(out.Pix[3*w*y:3*w*(y+1)], m.Y[y*m.YStride:], cb, cr)
	}
	return out
}

func rowToRGB(dst, luma, cb, cr []uint8) {
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
