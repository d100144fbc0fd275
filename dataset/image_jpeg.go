package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
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
