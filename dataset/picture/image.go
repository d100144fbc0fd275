package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
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

// Filled is l with the defaults in the place of zeros.
func (l Limits) Filled() Limits {
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

// Check says why a picture of w by h pixels is not accepted, by limits that are Filled.
func (l Limits) Check(w, h int) error {
	if w < l.MinSide || h < l.MinSide {
		return fmt.Errorf("%dx%d pixels: both sides must be at least %d", w, h, l.MinSide)
	}
	if int64(w)*int64(h) > l.MaxPixels {
		return fmt.Errorf("%dx%d pixels are more than the limit of %d: make it smaller", w, h, l.MaxPixels)
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

// strangers names, by their first bytes, pictures that are not understood.
var strangers = []struct{ magic, name string }{
	{"????ftypavi", "AVIF"},
	{"????ftyp", "HEIC, AVIF or a film"},
	{"\x00\x00\x00\x0cjP  ", "JPEG 2000"},
	{"\xff\x4f\xff\x51", "JPEG 2000"},
	{"\x00\x00\x00\x0cJXL ", "JPEG XL"},
	{"\xff\x0a", "JPEG XL"},
	{"II+\x00", "BigTIFF"},
	{"MM\x00+", "BigTIFF"},
	{"II\xbc", "JPEG XR"},
	{"PF\n", "PFM"},
	{"Pf\n", "PFM"},
	{"P1", "PNM"}, {"P2", "PNM"}, {"P3", "PNM"}, {"P4", "PNM"}, {"P5", "PNM"}, {"P6", "PNM"}, {"P7", "PNM"},
	{"#?RADIANCE", "Radiance HDR"},
	{"\x76\x2f\x31\x01", "OpenEXR"},
	{"8BPS", "Photoshop"},
	{"\x00\x00\x01\x00", "an icon"},
	{"Y\xa6j\x95", "Sun raster"},
	{"%PDF", "PDF"},
	{"<svg", "SVG"},
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
	}
	for _, s := range strangers {
		if matches(head, s.magic) {
			return 0, fmt.Errorf("%s: not among jpeg, png, gif, bmp, tiff, webp", s.name)
		}
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

// Open is disk.Open for pictures. It also follows links that are text
// files with a path in them: git leaves such files where links cannot be made.
func Open(path string, maxBytes int64) (*os.File, int64, error) {
	f, size, err := disk.Open(path, maxBytes)
	if err != nil || size == 0 || size > MaxTextLink {
		return f, size, err
	}
	if target := textLink(f, path); target != "" {
		f.Close()
		return disk.Open(target, maxBytes)
	}
	return f, size, nil
}

// MaxTextLink is the most bytes that a link kept as text has: larger files are none.
const MaxTextLink = 1024

// textLink returns where a link kept as text leads, if that is a file.
func textLink(r io.ReaderAt, path string) string {
	var buf [MaxTextLink]byte
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
	f, size, err := Open(path, l.Filled().MaxBytes)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	return ProbeOpened(f, size, path, l)
}

// ProbeOpened is Probe of what Open opened for the path.
func ProbeOpened(r io.ReaderAt, size int64, path string, l Limits) (Info, error) {
	info, err := probe(r, size)
	if err == nil {
		err = l.Filled().Check(info.Width, info.Height)
	}
	if err != nil {
		return info, Pathed(path, err)
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
		if err := misread(d.format, r); err != nil {
			return info, err
		}
		c, err := d.config(io.NewSectionReader(r, 0, size))
		if err != nil {
			return info, fmt.Errorf("reading the %s header: %w", d.format, plainEOF(err))
		}
		info.Width, info.Height = c.Width, c.Height
		info.Orientation = orientationOf(d.format, r, size)
	}
	if info.Orientation >= 5 {
		info.Width, info.Height = info.Height, info.Width
	}
	return info, nil
}

// misread names the kinds of picture that the decoders refuse only in the middle,
// or take for others.
func misread(format string, r io.ReaderAt) error {
	switch format {
	case "tiff":
		return misreadTIFF(r)
	case "bmp":
		var head [34]byte // file header; size of the next, width, height, planes, bits, compression
		n, _ := r.ReadAt(head[:], 0)
		bits, packing := binary.LittleEndian.Uint16(head[28:]), binary.LittleEndian.Uint32(head[30:])
		switch {
		case n < len(head):
		case packing == 1 || packing == 2:
			return errors.New("bmp with run lengths is not supported")
		case head[14] != 12 && bits == 16:
			return errors.New("bmp with 16 bits a pixel is not supported")
		}
	case "webp":
		var head [21]byte // RIFF, size, WEBP, VP8X, size, flags
		if n, _ := r.ReadAt(head[:], 0); n == len(head) && string(head[12:16]) == "VP8X" && head[20]&2 != 0 {
			return errors.New("animated webp is not supported")
		}
	}
	return nil
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
	return DecodeInto(path, l, func(img *Image) (*Image, error) { return img, nil })
}

// DecodeInto decodes a picture and returns what use makes of it, while it may have the memory.
func DecodeInto(path string, l Limits, use func(*Image) (*Image, error)) (*Image, error) {
	f, size, err := Open(path, l.Filled().MaxBytes)
	if err != nil {
		return nil, err
	}
	info, err := ProbeOpened(f, size, path, l) // before all of it is read
	if err != nil {
		f.Close()
		return nil, err
	}
	defer decodeRoom().take(int64(info.Width) * int64(info.Height))()
	data, err := disk.ReadAll(f, size, nil)
	if err != nil {
		return nil, err
	}
	img, err := decode(data, info)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return use(img.oriented(info.Orientation))
}

// Pathed names the file of an error that does not do so itself.
func Pathed(path string, err error) error {
	if system := (*fs.PathError)(nil); errors.As(err, &system) {
		err = system.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// DecodeBytes is Decode for a picture in memory.
func DecodeBytes(data []byte, l Limits) (*Image, error) {
	l = l.Filled()
	r := bytes.NewReader(data)
	info, err := probe(r, int64(len(data)))
	if err != nil {
		return nil, err
	}
	if err := l.Check(info.Width, info.Height); err != nil {
		return nil, err
	}
	img, err := decode(data, info)
	if err != nil {
		return nil, err
	}
	return img.oriented(info.Orientation), nil
}

// decode reads a picture as it is stored.
func decode(data []byte, info Info) (*Image, error) {
	var src image.Image
	i, err := sniff(data)
	switch {
	case err != nil:
		return nil, err
	case info.Format == "jpeg":
		return decodeJPEG(data)
	case info.Format == "png":
		data = criticalChunks(data)
	}
	if src, err = decoders[i].decode(bytes.NewReader(data)); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", info.Format, plainEOF(err))
	}
	switch info.Format {
	case "tiff":
		return fromTIFF(src, bytes.NewReader(data))
	case "gif":
		return fromGIF(src, data)
	case "webp":
		return toRGB(src, videoRange)
	}
	return toRGB(src, fullRange)
}

// criticalChunks is a PNG without its ancillary chunks, which OpenCV's colour
// mode does not heed: transparency, gamma, text. A damaged one harms nothing.
func criticalChunks(data []byte) []byte {
	const signature, frame = 8, 12 // frame: length, name and checksum of a chunk
	out := append(make([]byte, 0, len(data)), data[:signature]...)
	for rest := data[signature:]; len(rest) > 0; {
		n := int64(len(rest))
		if n >= frame {
			n = min(n, frame+int64(binary.BigEndian.Uint32(rest)))
		}
		if n < frame || rest[4]&0x20 == 0 { // a small letter begins the name of an ancillary one
			out = append(out, rest[:n]...)
		}
		rest = rest[n:]
	}
	return out
}

// Image is an 8-bit RGB picture, row-major, three bytes a pixel.
type Image struct {
	Width, Height int
	Pix           []uint8
}

// NewImage returns a black picture of the given size.
func NewImage(width, height int) *Image {
	return &Image{Width: width, Height: height, Pix: make([]uint8, 3*width*height)}
}
