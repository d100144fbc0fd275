package picture

import (
	"bytes"
	"encoding/binary"
	"io"
)

// orientationOf finds the EXIF orientation of a picture that is no JPEG; 1
// where it has none.
func orientationOf(format string, r io.ReaderAt, size int64) int {
	switch format {
	case "tiff":
		return tiffOrientation(r)
	case "png":
		return chunkOrientation(r, 8, size, "eXIf", binary.BigEndian)
	case "webp":
		return chunkOrientation(r, 12, size, "EXIF", binary.LittleEndian)
	}
	return 1
}

// chunkOrientation walks the chunks of a PNG (length, name, data, checksum) or
// a RIFF file (name, length, data, padding).
func chunkOrientation(r io.ReaderAt, at, size int64, name string, order binary.ByteOrder) int {
	var head [8]byte
	for range 10000 {
		if at+8 > size {
			return 1
		}
		if _, err := r.ReadAt(head[:], at); err != nil {
			return 1
		}
		id, n := head[4:], int64(order.Uint32(head[:]))
		next := at + 8 + n + 4
		if order == binary.ByteOrder(binary.LittleEndian) {
			id, n = head[:4], int64(order.Uint32(head[4:]))
			next = at + 8 + n + n&1
		}
		if string(id) == name {
			if n > 1<<20 {
				return 1
			}
			data := make([]byte, n)
			k, _ := r.ReadAt(data, at+8)
			data = bytes.TrimPrefix(data[:k], []byte("Exif\x00\x00"))
			return tiffOrientation(bytes.NewReader(data))
		}
		at = next
	}
	return 1
}

// tiffOrientation reads the orientation from a TIFF structure; anything out of
// order counts as upright, as other readers do.
func tiffOrientation(r io.ReaderAt) int {
	if v := tiffTag(r, tagOrientation, 1); v >= 1 && v <= 8 {
		return v
	}
	return 1
}

// oriented returns the picture turned as EXIF orientation o asks. The value
// names where the stored first row and first column belong: 6 means right and
// top, so the picture is turned a quarter clockwise.
func (img *Image) oriented(o int) *Image {
	if o < 2 || o > 8 {
		return img
	}
	w, h := img.Width, img.Height
	out := NewImage(w, h)
	if o >= 5 {
		out.Width, out.Height = h, w
	}
	// at(x, y) = start + x*dx + y*dy in pixels of the source
	var start, dx, dy int
	switch o {
	case 2:
		start, dx, dy = w-1, -1, w
	case 3:
		start, dx, dy = w*h-1, -1, -w
	case 4:
		start, dx, dy = w*(h-1), 1, -w
	case 5:
		start, dx, dy = 0, w, 1
	case 6:
		start, dx, dy = w*(h-1), -w, 1
	case 7:
		start, dx, dy = w*h-1, -w, -1
	case 8:
		start, dx, dy = w-1, w, -1
	}
	i := 0
	for y := range out.Height {
		p := start + y*dy
		for range out.Width {
			copy(out.Pix[i:i+3], img.Pix[3*p:3*p+3])
			i += 3
			p += dx
		}
	}
	return out
}
