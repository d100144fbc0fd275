package picture

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"image"
	"image/color"
	"testing"

	"golang.org/x/image/bmp"

	"yolofreeze/onnx/testkit/hostile"
)

// Seeds are small: the fuzzer shortens whatever it finds interesting, byte by byte, and with
// long ones does little else.

// FuzzJPEG: heads, scans and colours, which are read by our own code.
func FuzzJPEG(f *testing.F) {
	level := func(c, x, y int) int { return 40 + 50*c + 30*x + 20*y }
	f.Add(flatJPEG(16, 16, "\x01", []byte{0x11}, "", level))
	f.Add(flatJPEG(16, 16, "\x01\x02\x03", []byte{0x22, 0x11, 0x11}, jfif, level))
	f.Add(flatJPEG(16, 12, "RGB", []byte{0x11, 0x11, 0x11}, "", level))
	f.Add(flatJPEG(12, 16, "\x01\x02\x03\x04", []byte{0x11, 0x11, 0x11, 0x11}, adobe(2), level))
	f.Add(flatJPEG(12, 16, "\x01\x02\x03\x04", []byte{0x22, 0x11, 0x11, 0x22}, adobe(0), level))
	f.Add(bytes.Replace(flatJPEG(16, 16, "\x01", []byte{0x11}, "", level), []byte{0xff, 0xc0}, []byte{0xff, 0xc2}, 1))
	f.Add(withEXIF("jpeg", flatJPEG(16, 8, "\x01", []byte{0x11}, "", level), exif(binary.BigEndian, 6)))
	f.Add([]byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00"))
	fuzzDecode(f)
}

// FuzzProbe: all other kinds. Any bytes give a picture within the limits, or an error, without
// memory for pixels that are only claimed.
func FuzzProbe(f *testing.F) {
	small := image.NewPaletted(image.Rect(0, 0, 4, 3), color.Palette{color.Black, color.White})
	small.Pix[5] = 1
	for _, format := range []string{"png", "gif"} {
		f.Add(encode(f, format, small))
	}
	f.Add(withEXIF("png", encode(f, "png", small), exif(binary.BigEndian, 6)))
	var b bytes.Buffer
	if err := bmp.Encode(&b, small); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	grey := make([]byte, kindWidth*kindHeight)
	f.Add(tiffOf(binary.LittleEndian, nil, grey))
	f.Add(tiffOf(binary.BigEndian, map[uint16][]uint16{258: {16}}, append(grey, grey...)))
	f.Add(tiffOf(binary.BigEndian, map[uint16][]uint16{258: {1}, 259: {4}}, bytes.Repeat([]byte{0xff}, 4)))
	for _, webp := range []string{"UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA", "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="} { // one pixel, lossy and lossless
		data, err := base64.StdEncoding.DecodeString(webp)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(hugePNG(60000, 60000))
	f.Add(exif(binary.LittleEndian, 8))
	f.Add([]byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00EXIF\xff\xff\xff\xff"))
	f.Add([]byte("BM"))
	fuzzDecode(f)
}

func fuzzDecode(f *testing.F) {
	limits := Limits{MaxPixels: 1 << 20, MinSide: 1}
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		img, err := DecodeBytes(data, limits)
		if err == nil && (img.Width*img.Height > 1<<20 || len(img.Pix) != 3*img.Width*img.Height) {
			t.Errorf("%d by %d, %d bytes", img.Width, img.Height, len(img.Pix))
		}
	})
}
