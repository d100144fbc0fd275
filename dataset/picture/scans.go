package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// A progressive JPEG has ten scans or so, each of which goes over the whole picture.
// A file of some kilobytes can ask for thousands.
const (
	manyScans     = 16
	maxScanPixels = 1 << 28 // of all scans together, where there are many
)

// savedCoefficients are those, in the order of JPEG, from which libjpeg guesses a
// smoother picture while they have not come in full.
const savedCoefficients = 10

// checkScans walks the markers of a JPEG of so many pixels. More scans than a
// picture needs are refused, and a progressive one whose last scans are missing,
// which libjpeg fills up in ways of its own.
func checkScans(data []byte, pixels int64) error {
	scans, progressive := int64(0), false
	missing := map[byte]*[savedCoefficients]bool{} // by component
	for at := 2; at+4 <= len(data); {
		skip := bytes.IndexByte(data[at:len(data)-3], 0xff)
		if skip < 0 {
			break
		}
		at += skip
		mark := data[at+1]
		if mark == markEOI {
			break
		}
		if !jpegSegment(mark) {
			at++
			continue
		}
		next := at + 2 + max(int(binary.BigEndian.Uint16(data[at+2:])), 2)
		seg := data[at+4 : max(min(next, len(data)), at+4)]
		switch {
		case mark == markSOF2 && len(seg) >= 6:
			progressive = true
			for i := 6; i+3 <= len(seg); i += 3 {
				missing[seg[i]] = new([savedCoefficients]bool)
				for k := range missing[seg[i]] {
					missing[seg[i]][k] = true
				}
			}
		case mark == markSOS:
			scans++
			if scans > manyScans && scans*pixels > maxScanPixels {
				return fmt.Errorf("more than %d scans of %d pixels", scans-1, pixels)
			}
			if progressive {
				completes(seg, missing)
			}
		}
		at = next
	}
	for _, m := range missing {
		for _, lacks := range m {
			if lacks {
				return errors.New("the last scans of a progressive jpeg are missing")
			}
		}
	}
	return nil
}

// completes crosses off the coefficients that a scan brings to their full precision.
func completes(seg []byte, missing map[byte]*[savedCoefficients]bool) {
	if len(seg) < 1 || len(seg) < 1+2*int(seg[0])+3 {
		return
	}
	n := int(seg[0])
	from, to, bit := int(seg[1+2*n]), int(seg[2+2*n]), seg[3+2*n]&15
	for i := range n {
		m := missing[seg[1+2*i]]
		for k := from; m != nil && bit == 0 && k <= to && k < savedCoefficients; k++ {
			m[k] = false
		}
	}
}
