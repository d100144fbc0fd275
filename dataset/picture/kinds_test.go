package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What OpenCV 5.0.0 makes of each kind was looked up there, and is restated here as
// arithmetic on the samples written.

const kindWidth, kindHeight = 16, 12

// checkKind decodes data: the pixels of want, by place, or an error that has refused
// in it, which Probe finds too if it is called early.
func checkKind(t *testing.T, name string, data []byte, want func(x, y int) [3]uint8, refused string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	_, early := Probe(path, Limits{})
	img, err := Decode(path, Limits{})
	if refused != "" {
		if err == nil || !strings.Contains(err.Error(), refused) || early == nil || early.Error() != err.Error() {
			t.Errorf("%s: error %v, from the header %v, want both with %q", name, err, early, refused)
		}
		return
	}
	if err != nil || early != nil {
		t.Errorf("%s: %v, from the header %v", name, err, early)
		return
	}
	for y := range img.Height {
		for x := range img.Width {
			got, want := [3]uint8(img.Pix[3*(y*img.Width+x):]), want(x, y)
			for c := range 3 {
				if d := int(got[c]) - int(want[c]); d < -1 || d > 1 {
					t.Errorf("%s: pixel %d,%d is %v, want %v", name, x, y, got, want)
					return
				}
			}
		}
	}
}

// tiffOf writes a TIFF of one strip: numbers by tag, after which the strip is made known.
func tiffOf(order binary.AppendByteOrder, tags map[uint16][]uint16, strip []byte) []byte {
	b := []byte("II*\x00")
	if order.String() == "BigEndian" {
		b = []byte("MM\x00*")
	}
	all := map[uint16][]uint16{256: {kindWidth}, 257: {kindHeight}, 258: {8}, 259: {1}, 262: {1}, 277: {1}, 278: {kindHeight}}
	maps.Copy(all, tags)
	for tag, v := range all {
		if v == nil {
			delete(all, tag)
		}
	}
	const dir = 8
	after := dir + 2 + 12*(len(all)+2) + 4
	var lists, entries []byte
	for tag := uint16(0); tag < 400; tag++ {
		v, ok := all[tag]
		switch {
		case tag == 273 || tag == 279:
			n := uint32(len(strip))
			if tag == 273 {
				n = uint32(after) // where the lists, of even length, begin, comes later
			}
			entries = order.AppendUint32(order.AppendUint32(order.AppendUint16(order.AppendUint16(entries, tag), 4), 1), n)
		case ok:
			entries = order.AppendUint32(order.AppendUint16(order.AppendUint16(entries, tag), 3), uint32(len(v)))
			if len(v) == 1 {
				entries = append(order.AppendUint16(entries, v[0]), 0, 0)
				continue
			}
			entries = order.AppendUint32(entries, uint32(after+len(strip)+len(lists)))
			for _, n := range v {
				lists = order.AppendUint16(lists, n)
			}
		}
	}
	b = order.AppendUint16(order.AppendUint32(b, dir), uint16(len(all)+2))
	b = append(append(b, entries...), 0, 0, 0, 0)
	return append(append(b, strip...), lists...)
}

// samples lists what f says of each sample.
func samples(n int, f func(x, y, c int) uint16) (out []uint16) {
	for y := range kindHeight {
		for x := range kindWidth {
			for c := range n {
				out = append(out, f(x, y, c))
			}
		}
	}
	return out
}

func narrow(v []uint16) (out []byte) {
	for _, s := range v {
		out = append(out, byte(s))
	}
	return out
}

func wide(order binary.AppendByteOrder, v []uint16) (out []byte) {
	for _, s := range v {
		out = order.AppendUint16(out, s)
	}
	return out
}

func TestTIFFKinds(t *testing.T) {
	grey := func(x, y, _ int) uint16 { return uint16(13*x + 3*y) }
	colour := func(x, y, c int) uint16 { return uint16(4001*x + 977*y + 77*c) }
	alpha := func(x, y, c int) uint16 {
		if c == 3 {
			return uint16(4000 * x)
		}
		return colour(x, y, c)
	}
	to8 := func(v uint16) int { return (int(v)*255 + 32767) / 65535 }
	rgb := map[uint16][]uint16{258: {16, 16, 16}, 262: {2}, 277: {3}}
	with := func(tags map[uint16][]uint16, more ...uint16) map[uint16][]uint16 {
		out := maps.Clone(tags)
		if out == nil {
			out = map[uint16][]uint16{}
		}
		for i := 0; i < len(more); i += 2 {
			out[more[i]] = []uint16{more[i+1]}
		}
		return out
	}
	var palette []uint16
	for i := range uint16(3 * 256) {
		palette = append(palette, (7*i+i/256*50)%256)
	}
	greys := narrow(samples(1, grey))
	asGrey := func(x, y int) [3]uint8 { v := uint8(grey(x, y, 0)); return [3]uint8{v, v, v} }
	// Group 4: each row the one above it, all white; then a row of black by a pass to the end.
	white := bytes.Repeat([]byte{0xff}, 4) // twelve rows of V0, one bit each
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	z.Write(greys)
	z.Close()

	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		for _, c := range []struct {
			name    string
			tags    map[uint16][]uint16
			strip   []byte
			want    func(x, y int) [3]uint8
			refused string
		}{
			{name: "grey", strip: greys, want: asGrey},
			{name: "grey, deflate", tags: with(nil, 259, 8), strip: packed.Bytes(), want: asGrey},
			{name: "white is zero", tags: with(nil, 262, 0), strip: greys, want: func(x, y int) [3]uint8 { v := 255 - uint8(grey(x, y, 0)); return [3]uint8{v, v, v} }},
			{name: "16-bit grey: its upper byte", tags: with(nil, 258, 16), strip: wide(order, samples(1, colour)),
				want: func(x, y int) [3]uint8 { v := uint8(colour(x, y, 0) >> 8); return [3]uint8{v, v, v} }},
			{name: "16-bit colour: rounded", tags: rgb, strip: wide(order, samples(3, colour)), want: func(x, y int) [3]uint8 {
				return [3]uint8{uint8(to8(colour(x, y, 0))), uint8(to8(colour(x, y, 1))), uint8(to8(colour(x, y, 2)))}
			}},
			{name: "16-bit colour with an alpha of its own", tags: map[uint16][]uint16{258: {16, 16, 16, 16}, 262: {2}, 277: {4}, 338: {2}}, strip: wide(order, samples(4, alpha)),
				want: func(x, y int) (out [3]uint8) {
					for c := range out {
						out[c] = uint8((to8(colour(x, y, c))*to8(alpha(x, y, 3)) + 127) / 255)
					}
					return out
				}},
			{name: "palette of 8 bits", tags: map[uint16][]uint16{262: {3}, 320: palette}, strip: greys, want: func(x, y int) [3]uint8 {
				i := grey(x, y, 0)
				return [3]uint8{uint8(palette[i]), uint8(palette[256+i]), uint8(palette[512+i])}
			}},
			{name: "fax, white is zero", tags: with(nil, 258, 1, 259, 4, 262, 0), strip: white, want: func(x, y int) [3]uint8 { return [3]uint8{255, 255, 255} }},
			{name: "fax, black is zero", tags: with(nil, 258, 1, 259, 4, 262, 1), strip: white, want: func(x, y int) [3]uint8 { return [3]uint8{} }},

			{name: "JPEG inside", tags: with(rgb, 259, 7), refused: "tiff compressed as JPEG is not supported"},
			{name: "old JPEG inside", tags: with(rgb, 259, 6), refused: "tiff compressed as JPEG is not supported"},
			{name: "Zstandard", tags: with(rgb, 259, 50000), refused: "as Zstandard"},
			{name: "unknown compression", tags: with(rgb, 259, 4711), refused: "in the way 4711"},
			{name: "CMYK", tags: map[uint16][]uint16{258: {8, 8, 8, 8}, 262: {5}, 277: {4}}, refused: "colours as CMYK"},
			{name: "Lab", tags: with(rgb, 262, 8), refused: "colours as Lab"},
			{name: "YCbCr", tags: with(rgb, 262, 6), refused: "colours as YCbCr"},
			{name: "no colour model", tags: map[uint16][]uint16{262: nil}, strip: greys, refused: "without a colour model"},
			{name: "signed", tags: with(nil, 339, 2), strip: greys, refused: "signed samples"},
			{name: "float", tags: with(nil, 258, 32, 339, 3), strip: greys, refused: "floating-point samples"},
			{name: "predictor for floats", tags: with(nil, 259, 8, 317, 3), strip: packed.Bytes(), refused: "predictor 3"},
			{name: "predictor without compression", tags: with(nil, 317, 2), strip: greys, refused: "predictor 2 is not supported with compression 1"},
			{name: "two-dimensional group 3", tags: with(nil, 258, 1, 259, 3, 292, 1), strip: greys, refused: "group 3"},
			{name: "16-bit grey in tiles", tags: with(nil, 258, 16, 322, 16, 323, 16), strip: wide(order, samples(1, colour)), refused: "in tiles"},
			{name: "reversed bits", tags: with(nil, 266, 2), strip: greys, refused: "reversed bits"},
			{name: "planes", tags: with(rgb, 284, 2), refused: "separate planes"},
		} {
			checkKind(t, c.name+", "+order.String(), tiffOf(order, c.tags, c.strip), c.want, c.refused)
		}
	}
}

// TestStrangers: pictures of formats that are not read are named.
func TestStrangers(t *testing.T) {
	for head, want := range map[string]string{
		"II+\x00\x08\x00\x00\x00": "BigTIFF", "MM\x00+\x00\x08\x00\x00": "BigTIFF", "P6\n16 12\n255\n": "PNM", "PF\n16 12\n-1\n": "PFM",
		"\x00\x00\x00\x0cjP  \r\n\x87\n": "JPEG 2000", "\xff\x4f\xff\x51\x00": "JPEG 2000", "\x00\x00\x00\x1cftypavif": "AVIF",
		"\x00\x00\x00\x18ftypheic": "HEIC", "\xff\x0a\x00": "JPEG XL", "8BPS\x00\x01": "Photoshop",
	} {
		checkKind(t, want, []byte(head), nil, want)
	}
	checkKind(t, "animated webp", []byte("RIFF\x16\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00\x0f\x00\x00\x0b\x00\x00"), nil, "animated webp")
}

func TestBMPKinds(t *testing.T) {
	head := func(bits, packing byte) []byte {
		b := append([]byte("BM\x00\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00\x10\x00\x00\x00\x0c\x00\x00\x00\x01\x00"), bits, 0, packing)
		return append(b, make([]byte, 23+4*kindWidth*kindHeight)...)
	}
	checkKind(t, "24 bits", head(24, 0), func(int, int) [3]uint8 { return [3]uint8{} }, "")
	checkKind(t, "run lengths", head(8, 1), nil, "bmp with run lengths")
	checkKind(t, "run lengths of 4 bits", head(4, 2), nil, "bmp with run lengths")
	checkKind(t, "16 bits", head(16, 0), nil, "bmp with 16 bits a pixel")
	checkKind(t, "16 bits by mask", head(16, 3), nil, "bmp with 16 bits a pixel")
	checkKind(t, "32 bits by mask", head(32, 3), nil, "unsupported BMP")
}

// TestDamagedAncillaryChunk: what does not touch the pixels may be damaged.
func TestDamagedAncillaryChunk(t *testing.T) {
	whole := encode(t, "png", scene())
	text := []byte("\x00\x00\x00\x03tEXta\x00b\x00\x00\x00\x00") // the checksum is wrong
	data := append(append(bytes.Clone(whole[:33]), text...), whole[33:]...)
	checkKind(t, "text with a wrong checksum", data, func(x, y int) [3]uint8 {
		c := scene().NRGBAAt(x, y)
		return [3]uint8{c.R, c.G, c.B}
	}, "")
	data[33+4] = 'T'
	if _, err := DecodeBytes(data, Limits{}); err == nil {
		t.Error("a critical chunk with a wrong checksum was taken")
	}
}

// TestGIFBackground: the background shows around the frame and through it.
func TestGIFBackground(t *testing.T) {
	palette := color.Palette{color.RGBA{10, 20, 30, 255}, color.RGBA{200, 0, 0, 255}, color.RGBA{0, 90, 0, 255}, color.RGBA{}}
	frame := image.NewPaletted(image.Rect(3, 2, 13, 12), palette)
	for i := range frame.Pix {
		frame.Pix[i] = uint8(2 + i%2) // green and transparent by turns
	}
	for background, back := range map[byte][3]uint8{0: {10, 20, 30}, 1: {200, 0, 0}} {
		var b bytes.Buffer
		if err := gif.EncodeAll(&b, &gif.GIF{Image: []*image.Paletted{frame}, Delay: []int{0}, BackgroundIndex: background,
			Config: image.Config{Width: kindWidth, Height: kindHeight, ColorModel: palette}}); err != nil {
			t.Fatal(err)
		}
		checkKind(t, "gif", b.Bytes(), func(x, y int) [3]uint8 {
			if (image.Point{x, y}).In(frame.Rect) && frame.ColorIndexAt(x, y) == 2 {
				return [3]uint8{0, 90, 0}
			}
			return back
		}, "")
	}
}
