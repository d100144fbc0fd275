package picture

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/onnx/testkit/shared"
)

func TestRecordedDecode(t *testing.T) {
	recorded := recordedImages(t, shared.Path(t, "golden", "pictures", "letterbox.safetensors"))
	for name, want := range recorded {
		id, ok := strings.CutPrefix(name, "decoded/")
		if !ok {
			continue
		}
		t.Run(id, func(t *testing.T) {
			got, err := Decode(shared.Path(t, "data", "coco256", "images", "val2017", id+".jpg"), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			mean, most, share := difference(t, got, want)
			t.Logf("mean difference %.4f, largest %d, %.2f %% of samples differ", mean, most, 100*share)
			if mean > 0.05 || most > 4 {
				t.Errorf("decoded pixels differ from OpenCV's: mean %.4f, largest %d", mean, most)
			}
		})
	}
}

// scene is 24 by 16 pixels, smooth, and different in every corner.
func scene() *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, 24, 16))
	for y := range 16 {
		for x := range 24 {
			m.SetNRGBA(x, y, color.NRGBA{uint8(10 * x), uint8(15 * y), uint8(128 + 2*x - 3*y), 255})
		}
	}
	return m
}

func encode(t testing.TB, format string, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	var err error
	switch format {
	case "jpeg":
		err = jpeg.Encode(&b, m, &jpeg.Options{Quality: 100})
	case "png":
		err = png.Encode(&b, m)
	case "gif":
		err = gif.Encode(&b, m, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// exif is a TIFF structure that holds nothing but an orientation.
func exif(order binary.AppendByteOrder, orientation uint16) []byte {
	b := []byte("II*\x00")
	if order.String() == "BigEndian" {
		b = []byte("MM\x00*")
	}
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 1)
	b = order.AppendUint16(b, 0x0112)
	b = order.AppendUint16(b, 3)
	b = order.AppendUint32(b, 1)
	b = order.AppendUint16(b, orientation)
	return append(b, 0, 0, 0, 0, 0, 0)
}

func withEXIF(format string, data, exif []byte) []byte {
	if format == "jpeg" {
		seg := append([]byte("Exif\x00\x00"), exif...)
		head := append([]byte{0xff, 0xd8, 0xff, 0xe1, 0, byte(len(seg) + 2)}, seg...)
		return append(head, data[2:]...)
	}
	chunk := append([]byte("eXIf"), exif...)
	out := append([]byte{}, data[:33]...) // signature and IHDR
	out = binary.BigEndian.AppendUint32(out, uint32(len(exif)))
	out = append(out, chunk...)
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(chunk))
	return append(out, data[33:]...)
}

// TestOrientation checks all eight EXIF values against their definition: where
// the stored pixel (x, y) is to be seen.
func TestOrientation(t *testing.T) {
	const w, h = 24, 16
	upright := map[int]func(x, y int) (int, int){
		1: func(x, y int) (int, int) { return x, y },
		2: func(x, y int) (int, int) { return w - 1 - x, y },
		3: func(x, y int) (int, int) { return w - 1 - x, h - 1 - y },
		4: func(x, y int) (int, int) { return x, h - 1 - y },
		5: func(x, y int) (int, int) { return y, x },
		6: func(x, y int) (int, int) { return h - 1 - y, x },
		7: func(x, y int) (int, int) { return h - 1 - y, w - 1 - x },
		8: func(x, y int) (int, int) { return y, w - 1 - x },
	}
	for _, format := range []string{"jpeg", "png"} {
		data := encode(t, format, scene())
		stored, err := DecodeBytes(data, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for o, place := range upright {
			order := []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian}[o%2]
			path := filepath.Join(t.TempDir(), "x")
			if err := os.WriteFile(path, withEXIF(format, data, exif(order, uint16(o))), 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := Decode(path, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			info, err := Probe(path, Limits{})
			if err != nil || info.Width != got.Width || info.Height != got.Height || info.Orientation != o || info.Format != format {
				t.Errorf("%s orientation %d: probed %+v, %v; decoded %dx%d", format, o, info, err, got.Width, got.Height)
			}
			for y := range h {
				for x := range w {
					tx, ty := place(x, y)
					a, b := stored.Pix[3*(w*y+x):][:3], got.Pix[3*(got.Width*ty+tx):][:3]
					if !bytes.Equal(a, b) {
						t.Fatalf("%s orientation %d: pixel %d,%d is %v at %d,%d, want %v", format, o, x, y, b, tx, ty, a)
					}
				}
			}
		}
	}
}

// TestColourModels decodes what cameras and tools write to 8-bit RGB.
func TestColourModels(t *testing.T) {
	const w, h = 12, 11
	rect := image.Rect(0, 0, w, h)
	fill := func(m interface {
		image.Image
		Set(x, y int, c color.Color)
	}, c color.Color) image.Image {
		for y := range h {
			for x := range w {
				m.Set(x, y, c)
			}
		}
		return m
	}
	palette := color.Palette{color.NRGBA{1, 2, 3, 255}, color.NRGBA{200, 100, 50, 0}}
	for name, c := range map[string]struct {
		format string
		m      image.Image
		want   [3]uint8
	}{
		"rgb":         {"png", fill(image.NewRGBA(rect), color.RGBA{10, 20, 30, 255}), [3]uint8{10, 20, 30}},
		"alpha":       {"png", fill(image.NewNRGBA(rect), color.NRGBA{10, 20, 30, 7}), [3]uint8{10, 20, 30}},
		"grey":        {"png", fill(image.NewGray(rect), color.Gray{77}), [3]uint8{77, 77, 77}},
		"grey 16":     {"png", fill(image.NewGray16(rect), color.Gray16{0x4dff}), [3]uint8{0x4d, 0x4d, 0x4d}},
		"rgb 16":      {"png", fill(image.NewRGBA64(rect), color.RGBA64{0x01ff, 0x80fe, 0xff00, 0xffff}), [3]uint8{1, 0x80, 0xff}},
		"alpha 16":    {"png", fill(image.NewNRGBA64(rect), color.NRGBA64{0x01ff, 0x80fe, 0xff00, 0x1000}), [3]uint8{1, 0x80, 0xff}},
		"palette":     {"png", fill(image.NewPaletted(rect, palette), palette[1]), [3]uint8{200, 100, 50}},
		"gif":         {"gif", fill(image.NewPaletted(rect, palette), palette[0]), [3]uint8{1, 2, 3}},
		"grey jpeg":   {"jpeg", fill(image.NewGray(rect), color.Gray{77}), [3]uint8{77, 77, 77}},
		"colour jpeg": {"jpeg", fill(image.NewRGBA(rect), color.RGBA{255, 255, 255, 255}), [3]uint8{255, 255, 255}},
	} {
		got, err := DecodeBytes(encode(t, c.format, c.m), Limits{})
		if err != nil || got.Width != w || got.Height != h {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i := 0; i < len(got.Pix); i += 3 {
			if [3]uint8(got.Pix[i:i+3]) != c.want {
				t.Errorf("%s: pixel %d is %v, want %v", name, i/3, got.Pix[i:i+3], c.want)
				break
			}
		}
	}
}

// TestCMYK: four inks with Adobe's marker, which stands for inverted values, as
// (20, 200, 60, 40) everywhere. OpenCV makes (199, 48, 165) of that: it divides by 256.
func TestCMYK(t *testing.T) {
	data, err := base64.StdEncoding.DecodeString("/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwABAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB/8AA" +
		"FAgAEAAQBEMRAE0RAFkRAEsRAP/EABUAAQEAAAAAAAAAAAAAAAAAAAAK/8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAA4EQwBNAFkASwAAPwC1hNuoYVcAAAAP/9k=")
	if err != nil {
		t.Fatal(err)
	}
	img, err := DecodeBytes(data, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range img.Pix {
		if want := [3]uint8{199, 48, 165}[i%3]; v != want {
			t.Fatalf("sample %d is %d, want %d", i, v, want)
		}
	}
}

// TestNoEndMarker: a JPEG that lacks only its end marker is used, one that is
// really cut is not.
func TestNoEndMarker(t *testing.T) {
	whole := encode(t, "jpeg", scene())
	want, err := DecodeBytes(whole, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.jpg")
	for n, ok := range map[int]bool{len(whole): true, len(whole) - 1: true, len(whole) - 2: true, len(whole) - 40: false, len(whole) / 2: false, 30: false} {
		if err := os.WriteFile(path, whole[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := Decode(path, Limits{})
		if ok != (err == nil) {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
		if ok && !bytes.Equal(got.Pix, want.Pix) {
			t.Errorf("%d of %d bytes: other pixels", n, len(whole))
		}
		if info, err := Probe(path, Limits{}); err == nil && info.NoEnd != (n < len(whole)) {
			t.Errorf("%d of %d bytes: NoEnd is %v", n, len(whole), info.NoEnd)
		}
		if after, _ := os.ReadFile(path); len(after) != n {
			t.Errorf("%d of %d bytes: the file was changed", n, len(whole))
		}
	}
}

// hugePNG claims a size in 74 bytes or so.
func hugePNG(w, h uint32) []byte {
	chunk := func(name string, data []byte) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
		body := append([]byte(name), data...)
		return binary.BigEndian.AppendUint32(append(b, body...), crc32.ChecksumIEEE(body))
	}
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	out := append([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", append(head, 8, 2, 0, 0, 0))...)
	out = append(out, chunk("IDAT", []byte("x\x9c\x03\x00\x00\x00\x00\x01"))...)
	return append(out, chunk("IEND", nil)...)
}

func TestPictureErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := filepath.Join(dir, "pipe.jpg")
	if err := mkfifo(pipe); err != nil {
		t.Log(err)
	}
	jpg := encode(t, "jpeg", scene())
	arithmetic := bytes.Replace(jpg, []byte{0xff, 0xc0}, []byte{0xff, 0xc9}, 1)
	deep := bytes.Clone(jpg)
	deep[bytes.Index(deep, []byte{0xff, 0xc0})+4] = 12
	for path, want := range map[string]string{
		write("text.jpg", []byte("hello, world")): `not a picture: starts with "hello, w"`,
		write("empty.jpg", nil):                   "the file is empty",
		dir:                                       "not a regular file but a folder",
		pipe:                                      "not a regular file but a named pipe",
		"/dev/zero":                               "not a regular file but a device",
		filepath.Join(dir, "gone.jpg"):            "no such file",
		write("lfs.jpg", []byte("version https://git-lfs.github.com/spec/v1\n")):        "a Git LFS pointer",
		write("a.heic", []byte("\x00\x00\x00\x18ftypheic")):                             "HEIC, AVIF or a film",
		write("huge.png", hugePNG(60000, 60000)):                                        "60000x60000 pixels are more than the limit of 134217728: make it smaller",
		write("wide.png", hugePNG(25486, 12743)):                                        "more than the limit",
		write("small.png", encode(t, "png", image.NewGray(image.Rect(0, 0, 9, 9)))):     "9x9 pixels: both sides must be at least 10",
		write("strip.png", encode(t, "png", image.NewGray(image.Rect(0, 0, 1, 10000)))): "1x10000 pixels: both sides",
		write("cut.png", encode(t, "png", scene())[:60]):                                "not enough pixel data",
		write("arithmetic.jpg", arithmetic):                                             "arithmetic-coded",
		write("deep.jpg", deep):                                                         "12 bits a sample",
	} {
		_, err := Decode(path, Limits{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one line with %q", filepath.Base(path), err, want)
		}
	}
	if _, err := Decode(write("lies.jpg", encode(t, "png", scene())), Limits{}); err != nil {
		t.Errorf("a PNG called .jpg: %v", err)
	}
	if _, err := Probe(filepath.Join(dir, "huge.png"), Limits{MaxPixels: 60000 * 60000}); err != nil {
		t.Errorf("a raised limit: %v", err)
	}
}

// TestTextLink follows a link that git stored as text, to a picture only.
func TestTextLink(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"real.png": encode(t, "png", scene()), "a/b/link.png": []byte("../../real.png"), "a/b/astray.png": []byte("../../gone.png"),
		"secret.txt": []byte("x"), "a/b/other.png": []byte("../../secret.txt"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if img, err := Decode(filepath.Join(dir, "a", "b", "link.png"), Limits{}); err != nil || img.Width != 24 {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"astray.png", "other.png"} {
		if _, err := Decode(filepath.Join(dir, "a", "b", name), Limits{}); err == nil || !strings.Contains(err.Error(), "not a picture") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
