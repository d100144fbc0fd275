package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"yolofreeze/onnx/disk"
)

// Limits bounds what Probe and Decode accept; a zero field means its default.
type Limits struct {
	MaxPixels int64 // width times height; DefaultMaxPixels
	MaxBytes  int64 // size of the file; DefaultMaxBytes
	MinSide   int   // both sides; DefaultMinSide
}

// The defaults of Limits. YOLOv5 refuses pictures with a side under 10 pixels.
const (
	DefaultMaxPixels = 1 << 27
	DefaultMaxBytes  = 1 << 30
	DefaultMinSide   = 10
)

func (l Limits) filled() Limits {
	if l.MaxPixels == 0 {
		l.MaxPixels = DefaultMaxPixels
	}
	if l.MaxBytes == 0 {
		l.MaxBytes = DefaultMaxBytes
	}
	if l.MinSide == 0 {
		l.MinSide = DefaultMinSide
	}
	return l
}

func (l Limits) check(w, h int) error {
	if w < l.MinSide || h < l.MinSide {
		return fmt.Errorf("%dx%d pixels: both sides must be at least %d", w, h, l.MinSide)
	}
	if int64(w)*int64(h) > l.MaxPixels {
		return fmt.Errorf("%dx%d pixels are more than the limit of %d (max-pixels)", w, h, l.MaxPixels)
	}
	return nil
}

// Info is what a picture's header says.
type Info struct {
	Width, Height int    // after EXIF rotation
	Format        string // "jpeg", "png", "gif", "bmp", "tiff" or "webp", by content
	Orientation   int    // EXIF, 1 to 8
	NoEnd         bool   // a JPEG without its end marker, which Decode adds in memory
}

// decoders names the pictures understood, by their first bytes.
var decoders = []struct {
	format string
	magic  string // '?' matches any byte
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}{
	{"jpeg", "\xff\xd8\xff", jpeg.DecodeConfig, jpeg.Decode},
	{"png", "\x89PNG\r\n\x1a\n", png.DecodeConfig, png.Decode},
	{"gif", "GIF8?a", gif.DecodeConfig, gif.Decode},
	{"webp", "RIFF????WEBP", webp.DecodeConfig, webp.Decode},
	{"tiff", "II*\x00", tiff.DecodeConfig, tiff.Decode},
	{"tiff", "MM\x00*", tiff.DecodeConfig, tiff.Decode},
	{"bmp", "BM", bmp.DecodeConfig, bmp.Decode},
}

// sniff returns the index in decoders of what head starts, or an error that
// says what the bytes look like instead.
func sniff(head []byte) (int, error) {
	for i, d := range decoders {
		if matches(head, d.magic) {
			return i, nil
		}
	}
	switch {
	case len(head) == 0:
		return 0, errors.New("the file is empty")
	case matches(head, "version https://git-lfs"):
		return 0, errors.New("a Git LFS pointer, not a picture: run git lfs pull")
	case matches(head, "????ftyp"):
		return 0, errors.New("HEIC, AVIF or a film: not among jpeg, png, gif, bmp, tiff, webp")
	}
	return 0, fmt.Errorf("not a picture: starts with %q, not as jpeg, png, gif, bmp, tiff or webp do", head[:min(len(head), 8)])
}

func matches(head []byte, magic string) bool {
	if len(head) < len(magic) {
		return false
	}
	for i := range len(magic) {
		if magic[i] != '?' && magic[i] != head[i] {
			return false
		}
	}
	return true
}

// openPicture is disk.Open for pictures. It also follows links that are text
// files with a path in them: git leaves such files where links cannot be made.
func openPicture(path string, maxBytes int64) (*os.File, int64, error) {
	f, size, err := disk.Open(path, maxBytes)
	if err != nil || size == 0 || size > maxTextLink {
		return f, size, err
	}
	if target := textLink(f, path); target != "" {
		f.Close()
		return disk.Open(target, maxBytes)
	}
	return f, size, nil
}

const maxTextLink = 1024

// textLink returns where a link kept as text leads, if that is a file.
func textLink(r io.ReaderAt, path string) string {
	var buf [maxTextLink]byte
	n, _ := r.ReadAt(buf[:], 0)
	text := strings.TrimSpace(string(buf[:n]))
	if !strings.EqualFold(filepath.Ext(text), filepath.Ext(path)) || strings.ContainsFunc(text, unicode.IsControl) || filepath.IsAbs(text) {
		return ""
	}
	target := filepath.Join(filepath.Dir(path), filepath.FromSlash(text))
	if !disk.IsFile(target) {
		return ""
	}
	return target
}

// Probe reads a picture's header: nothing is decoded.
func Probe(path string, l Limits) (Info, error) {
	l = l.filled()
	f, size, err := openPicture(path, l.MaxBytes)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	info, err := probe(f, size)
	if err == nil {
		err = l.check(info.Width, info.Height)
	}
	if err != nil {
		return info, fmt.Errorf("%s: %w", path, err)
	}
	return info, nil
}

func probe(r io.ReaderAt, size int64) (Info, error) {
	head := make([]byte, min(size, 32))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return Info{}, err
	}
	i, err := sniff(head)
	if err != nil {
		return Info{}, err
	}
	d := decoders[i]
	info := Info{Format: d.format, Orientation: 1}
	if d.format == "jpeg" {
		if err := info.probeJPEG(r, size); err != nil {
			return info, err
		}
	} else {
		c, err := d.config(io.NewSectionReader(r, 0, size))
		if err != nil {
			return info, fmt.Errorf("reading the %s header: %w", d.format, plainEOF(err))
		}
		if d.format == "tiff" {
			if err := misreadTIFF(r); err != nil {
				return info, err
			}
		}
		info.Width, info.Height = c.Width, c.Height
		info.Orientation = orientationOf(d.format, r, size)
	}
	if info.Orientation >= 5 {
		info.Width, info.Height = info.Height, info.Width
	}
	return info, nil
}

// plainEOF says in words what the decoders call "EOF".
func plainEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file ends too early")
	}
	return err
}

// Decode reads a picture as 8-bit RGB the way OpenCV's colour mode does: turned
// as its EXIF orientation says, alpha left out (blended only in TIFF), 16-bit samples
// cut to their upper byte, grey, palette and CMYK expanded. The content decides
// the format, not the name. The limits hold before anything is allocated.
func Decode(path string, l Limits) (*Image, error) {
	l = l.filled()
	data, err := disk.ReadAll(openPicture(path, l.MaxBytes))
	if err != nil {
		return nil, err
	}
	img, err := DecodeBytes(data, l)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return img, nil
}

// DecodeBytes is Decode for a picture in memory.
func DecodeBytes(data []byte, l Limits) (*Image, error) {
	r := bytes.NewReader(data)
	info, err := probe(r, int64(len(data)))
	if err != nil {
		return nil, err
	}
	if err := l.filled().check(info.Width, info.Height); err != nil {
		return nil, err
	}
	i, err := sniff(data)
	if err != nil {
		return nil, err
	}
	src, err := decoders[i].decode(r)
	if err != nil && info.Format == "jpeg" && errors.Is(err, io.ErrUnexpectedEOF) {
		src, err = jpeg.Decode(io.MultiReader(bytes.NewReader(data), bytes.NewReader([]byte{0xff, 0xd9})))
	}
	if err != nil {
		return nil, fmt.Errorf("decoding %s: %w", info.Format, plainEOF(err))
	}
	img, err := toRGB(src, info.Format)
	if err != nil {
		return nil, err
	}
	if info.Format == "gif" { // a frame may cover part of the picture
		at := src.Bounds().Min
		img = img.placed(info.Width, info.Height, at.X, at.Y)
	}
	return img.oriented(info.Orientation), nil
}
