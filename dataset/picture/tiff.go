package picture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
)

// Tags of the first directory of a TIFF structure: TIFF 6.0 and EXIF 2.32.
const (
	tagBits         = 258
	tagCompression  = 259
	tagPhotometric  = 262
	tagFillOrder    = 266
	tagOrientation  = 274
	tagPlanes       = 284
	tagT4Options    = 292
	tagPredictor    = 317
	tagTileWidth    = 322
	tagSampleFormat = 339
)

// Compressions and colour models of TIFF that the decoder reads.
const (
	tiffPlain, tiffCCITT3, tiffCCITT4, tiffLZW = 1, 3, 4, 5
	tiffDeflate, tiffPackBits, tiffDeflateOld  = 8, 32773, 32946

	tiffWhiteIsZero, tiffBlackIsZero, tiffRGB, tiffPalette = 0, 1, 2, 3
)

// The kinds that it does not read, by name.
var (
	tiffCompressions = map[int]string{2: "as CCITT's fax without ends of lines", 6: "as JPEG", 7: "as JPEG", 34712: "as JPEG 2000",
		34887: "as LERC", 34892: "as JPEG", 34925: "as LZMA", 34933: "as PNG", 50000: "as Zstandard", 50001: "as WebP", 50002: "as JPEG XL"}
	tiffColours = map[int]string{4: "as a mask", 5: "as CMYK", 6: "as YCbCr", 8: "as Lab", 9: "as Lab", 10: "as Lab",
		32803: "as a sensor has them", 32844: "as LogL", 32845: "as LogLuv", 34892: "as a sensor has them"}
)

// misreadTIFF names the kinds of TIFF that the decoder refuses only when it comes
// to the pixels, and those that it takes for others.
func misreadTIFF(r io.ReaderAt) error {
	compression := tiffTag(r, tagCompression, tiffPlain)
	switch compression {
	case tiffPlain, tiffCCITT3, tiffCCITT4, tiffLZW, tiffDeflate, tiffDeflateOld, tiffPackBits:
	default:
		return fmt.Errorf("tiff compressed %s is not supported", named(tiffCompressions, compression, "in the way %d"))
	}
	colours := tiffTag(r, tagPhotometric, -1)
	switch colours {
	case tiffWhiteIsZero, tiffBlackIsZero, tiffRGB, tiffPalette:
	case -1:
		return errors.New("tiff without a colour model, or its directory is damaged")
	default:
		return fmt.Errorf("tiff with its colours %s is not supported", named(tiffColours, colours, "in the model %d"))
	}
	fax := compression == tiffCCITT3 || compression == tiffCCITT4
	packed := compression == tiffLZW || compression == tiffDeflate || compression == tiffDeflateOld
	predictor := tiffTag(r, tagPredictor, 1)
	switch {
	case tiffTag(r, tagPlanes, 1) == 2:
		return errors.New("tiff with its colours in separate planes is not supported")
	case tiffTag(r, tagFillOrder, 1) == 2 && !fax:
		return errors.New("tiff with reversed bits is not supported")
	case compression == tiffCCITT3 && tiffTag(r, tagT4Options, 0)&3 != 0:
		return errors.New("tiff with a two-dimensional fax of group 3 is not supported")
	case colours <= tiffBlackIsZero && tiffTag(r, tagBits, 1) == 16 && tiffTag(r, tagTileWidth, 0) > 0:
		return errors.New("tiff with grey of 16 bits in tiles is not supported: OpenCV makes other pixels of it")
	case predictor != 1 && (predictor != 2 || !packed):
		return fmt.Errorf("tiff with predictor %d is not supported with compression %d", predictor, compression)
	}
	switch tiffTag(r, tagSampleFormat, 1) {
	case 2:
		return errors.New("tiff with signed samples is not supported")
	case 3:
		return errors.New("tiff with floating-point samples is not supported")
	}
	return nil
}

func named(names map[int]string, value int, unknown string) string {
	if name, ok := names[value]; ok {
		return name
	}
	return fmt.Sprintf(unknown, value)
}

// tiffTag returns a number from the first directory of a TIFF structure; missing
// where it is not there or anything is out of order.
func tiffTag(r io.ReaderAt, tag uint16, missing int) int {
	var buf [12]byte
	if _, err := r.ReadAt(buf[:8], 0); err != nil {
		return missing
	}
	var order binary.ByteOrder
	switch string(buf[:2]) {
	case "II":
		order = binary.LittleEndian
	case "MM":
		order = binary.BigEndian
	default:
		return missing
	}
	at := int64(order.Uint32(buf[4:]))
	if _, err := r.ReadAt(buf[:2], at); err != nil {
		return missing
	}
	for i := range int64(order.Uint16(buf[:])) {
		if n, _ := r.ReadAt(buf[:], at+2+12*i); n < 12 {
			return missing
		}
		if order.Uint16(buf[:]) != tag {
			continue
		}
		if count := order.Uint32(buf[4:]); count != 1 {
			return missing // a list, which the decoder looks at
		}
		if order.Uint16(buf[2:]) == 4 { // written as LONG
			return int(order.Uint32(buf[8:]))
		}
		return int(order.Uint16(buf[8:]))
	}
	return missing
}

// fromTIFF converts as libtiff's reader of colours does, which OpenCV uses: 16 bits
// of a colour are rounded to 8, and colours multiplied by an alpha that is not in
// them. Grey keeps its upper byte.
func fromTIFF(src image.Image, r io.ReaderAt) (*Image, error) {
	switch m := src.(type) {
	case *image.Gray:
		// The decoder takes black for white here.
		if c := tiffTag(r, tagCompression, tiffPlain); (c == tiffCCITT3 || c == tiffCCITT4) && tiffTag(r, tagPhotometric, 0) == tiffBlackIsZero {
			for i, v := range m.Pix {
				m.Pix[i] = ^v
			}
		}
	case *image.Paletted:
		widenPalette(m.Palette)
	case *image.NRGBA:
		return fromBlended(m), nil
	case *image.RGBA64:
		return fromSamples(m.Rect.Dx(), m.Rect.Dy(), rounded(m.Pix), m.Stride/2, 4, 0, 1, 2), nil
	case *image.NRGBA64:
		return fromBlended(&image.NRGBA{Pix: rounded(m.Pix), Stride: m.Stride / 2, Rect: m.Rect}), nil
	}
	return toRGB(src, fullRange)
}

// widenPalette makes 16 bits of a palette that was written with 8.
func widenPalette(p color.Palette) {
	for _, c := range p {
		if r, g, b, _ := c.RGBA(); max(r, g, b) > 255 {
			return
		}
	}
	for i, c := range p {
		r, g, b, _ := c.RGBA()
		p[i] = color.NRGBA{uint8(r), uint8(g), uint8(b), 255}
	}
}

// rounded brings 16-bit samples, upper byte first, to 8 bits.
func rounded(pix []uint8) []uint8 {
	out := make([]uint8, len(pix)/2)
	for i := range out {
		out[i] = uint8((int(binary.BigEndian.Uint16(pix[2*i:]))*255 + 32767) / 65535)
	}
	return out
}

// fromBlended multiplies by alpha.
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
