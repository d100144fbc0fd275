package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
)

// JPEG markers, ITU-T T.81 table B.1.
const (
	markSOF0, markSOF2, markDHT, markJPG, markDAC = 0xc0, 0xc2, 0xc4, 0xc8, 0xcc
	markRST0, markSOI, markEOI, markSOS           = 0xd0, 0xd8, 0xd9, 0xda
	markAPP0, markAPP1, markAPP14                 = 0xe0, 0xe1, 0xee
)

// jpegHead is what stands before the pixels of a JPEG.
type jpegHead struct {
	width, height int
	orientation   int // EXIF; 0: not told
	components    []jpegComponent
	adobe         int64 // where the byte of the colour transform stands; 0: there is none
	transform     byte  // that byte
	jfif          bool
}

type jpegComponent struct{ id, sampling byte }

// readJPEGHead walks the segments up to the frame's. What the decoder would
// refuse later, or take for another kind, is an error.
func readJPEGHead(r io.ReaderAt) (h jpegHead, err error) {
	var seg [16]byte
	for at := int64(2); ; {
		n, err := r.ReadAt(seg[:], at)
		if n < 4 {
			if err == nil || err == io.EOF {
				err = errors.New("the file ends before the picture's size")
			}
			return h, err
		}
		mark := seg[1]
		if seg[0] != 0xff || !jpegSegment(mark) {
			at++ // filling, or bytes between segments, which libjpeg skips too
			continue
		}
		length := int64(binary.BigEndian.Uint16(seg[2:]))
		switch {
		case mark == markEOI || mark == markSOS:
			return h, errors.New("picture data before the picture's size")
		case mark == markAPP0 && bytes.HasPrefix(seg[4:n], []byte("JFIF\x00")):
			h.jfif = true
		case mark == markAPP1 && h.orientation == 0:
			h.orientation = exifOrientation(io.NewSectionReader(r, at+4, max(length-2, 0)))
		case mark == markAPP14 && n == len(seg) && length >= 14 && string(seg[4:9]) == "Adobe":
			h.adobe, h.transform = at+15, seg[15]
		case isFrame(mark):
			return h, h.frame(mark, io.NewSectionReader(r, at+4, max(length-2, 0)))
		}
		at += 2 + max(length, 2)
	}
}

// jpegSegment tells the markers that have a length behind them, and the end, from
// filling and restarts.
func jpegSegment(mark byte) bool {
	return mark > 1 && mark < markRST0 || mark > markSOI && mark < 0xff
}

func isFrame(mark byte) bool {
	return mark >= markSOF0 && mark < markRST0 && mark != markDHT && mark != markJPG && mark != markDAC
}

func (h *jpegHead) frame(mark byte, seg *io.SectionReader) error {
	if mark > markSOF2 {
		return fmt.Errorf("jpeg of a rare kind (lossless, hierarchical or arithmetic-coded, marker FF%02X) is not supported", mark)
	}
	var b [6 + 3*4]byte
	n, _ := io.ReadFull(seg, b[:])
	switch {
	case n < 6 || n < 6+3*int(b[5]) && b[5] <= 4:
		return errors.New("the file ends too early")
	case b[0] != 8:
		return fmt.Errorf("jpeg with %d bits a sample is not supported: only 8", b[0])
	case b[5] != 1 && b[5] != 3 && b[5] != 4:
		return fmt.Errorf("jpeg with %d components is not supported: only 1, 3 and 4", b[5])
	}
	h.height, h.width = int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:]))
	for i := range int(b[5]) {
		h.components = append(h.components, jpegComponent{b[6+3*i], b[7+3*i]})
	}
	return nil
}

// sampled tells whether the decoder knows the sampling: the frequent ones are known here.
func (h *jpegHead) sampled(r io.ReaderAt, size int64) error {
	usual := len(h.components) != 4
	for i, c := range h.components {
		usual = usual && (c.sampling == 0x11 || i == 0 && (c.sampling == 0x22 || c.sampling == 0x21 || c.sampling == 0x12))
	}
	if usual {
		return nil
	}
	_, err := jpeg.DecodeConfig(io.NewSectionReader(r, 0, size))
	return err
}

// probeJPEG reads the head, and looks whether the file ends as it should.
func (info *Info) probeJPEG(r io.ReaderAt, size int64) error {
	h, err := readJPEGHead(r)
	if err == nil {
		err = h.sampled(r, size)
	}
	if err != nil {
		return fmt.Errorf("reading the jpeg header: %w", plainEOF(err))
	}
	info.Width, info.Height, info.Orientation = h.width, h.height, max(h.orientation, 1)
	info.NoEnd = !endsJPEG(r, size)
	return nil
}

// exifOrientation takes the orientation from an APP1 segment; 0 if that holds no EXIF.
func exifOrientation(seg *io.SectionReader) int {
	data := make([]byte, seg.Size())
	n, _ := io.ReadFull(seg, data)
	tiff, ok := bytes.CutPrefix(data[:n], []byte("Exif\x00"))
	if !ok || len(tiff) == 0 {
		return 0
	}
	return tiffOrientation(bytes.NewReader(tiff[1:]))
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

// decodeJPEG reads a JPEG as libjpeg does for OpenCV, without turning it.
func decodeJPEG(data []byte) (*Image, error) {
	h, err := readJPEGHead(bytes.NewReader(data))
	if err == nil {
		err = checkScans(data, int64(h.width)*int64(h.height))
	}
	if err != nil {
		return nil, fmt.Errorf("decoding jpeg: %w", err)
	}
	src, err := jpeg.Decode(h.reader(data))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		src, err = jpeg.Decode(io.MultiReader(h.reader(data), bytes.NewReader([]byte{0xff, markEOI})))
	}
	if err != nil {
		return nil, fmt.Errorf("decoding jpeg: %w", plainEOF(err))
	}
	if inks, ok := src.(*image.CMYK); ok {
		return h.fromInks(inks), nil
	}
	return toRGB(src, fullRange)
}

// reader gives the file with markers for which the decoder and libjpeg take the
// same colours: a picture with Adobe's mark for YCbCr is that whatever its
// components are called, and the samples of four inks come as they are stored.
func (h *jpegHead) reader(data []byte) io.Reader {
	switch {
	case len(h.components) == 4 && h.adobe > 0:
		return io.MultiReader(bytes.NewReader(data[:h.adobe]), bytes.NewReader([]byte{0}), bytes.NewReader(data[h.adobe+1:]))
	case len(h.components) == 4:
		return io.MultiReader(bytes.NewReader(data[:2]), bytes.NewReader([]byte("\xff\xee\x00\x0eAdobe\x00d\x00\x00\x00\x00\x00")), bytes.NewReader(data[2:]))
	case h.adobe > 0 && h.transform != 0 && !h.jfif:
		return io.MultiReader(bytes.NewReader(data[:2]), bytes.NewReader([]byte("\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")), bytes.NewReader(data[2:]))
	}
	return bytes.NewReader(data)
}

// fromInks converts the four components of a JPEG, which the decoder has inverted
// and widened: with Adobe's mark the first three are luma and chroma. OpenCV
// multiplies the light that the inks, inverted in such files, let through.
func (h *jpegHead) fromInks(m *image.CMYK) *Image {
	w, ht := m.Rect.Dx(), m.Rect.Dy()
	ratio, step := image.YCbCrSubsampleRatio444, 1
	if h.components[1].sampling != h.components[0].sampling {
		ratio, step = image.YCbCrSubsampleRatio420, 2
	}
	planes := image.NewYCbCr(image.Rect(0, 0, w, ht), ratio)
	for y := range ht {
		row := m.Pix[y*m.Stride:]
		for x := range w {
			planes.Y[y*planes.YStride+x] = ^row[4*x]
			if x%step == 0 && y%step == 0 {
				i := y/step*planes.CStride + x/step
				planes.Cb[i], planes.Cr[i] = ^row[4*x+1], ^row[4*x+2]
			}
		}
	}
	convert, invert := asStored, uint8(0)
	if h.adobe > 0 && h.transform != 0 {
		convert, invert = fullRange, 255 // the transform leaves red, green and blue
	}
	out := fromYCbCr(planes, convert)
	for y := range ht {
		row, dst := m.Pix[y*m.Stride:], out.Pix[3*w*y:3*w*(y+1)]
		for i, v := range dst {
			light := int32(^row[i/3*4+3])
			dst[i] = uint8(light - int32(255-v^invert)*light>>8)
		}
	}
	return out
}

// asStored joins three components that are colours already.
func asStored(dst, a, b, c []uint8) {
	for x := range len(dst) / 3 {
		dst[3*x], dst[3*x+1], dst[3*x+2] = a[x], b[x], c[x]
	}
}
