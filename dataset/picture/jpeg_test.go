package picture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// flatJPEG writes a JPEG whose blocks have one value each, with the segments given
// before its frame. Components have ids and samplings; value gives the sample of
// component c in its block (x, y).
func flatJPEG(w, h int, ids string, sampling []byte, segments string, value func(c, x, y int) int) []byte {
	out := append([]byte("\xff\xd8"), segments...)
	out = append(append(out, "\xff\xdb\x00\x43\x00"...), bytes.Repeat([]byte{1}, 64)...)
	out = append(out, 0xff, 0xc0, 0, byte(8+3*len(ids)), 8, 0, byte(h), 0, byte(w), byte(len(ids)))
	for i := range len(ids) {
		out = append(out, ids[i], sampling[i], 0)
	}
	// Sizes of differences in four bits each, and the end of a block in one.
	out = append(out, "\xff\xc4\x00\x1f\x00\x00\x00\x00\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b"...)
	out = append(out, "\xff\xc4\x00\x14\x10\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	out = append(out, 0xff, 0xda, 0, byte(6+2*len(ids)), byte(len(ids)))
	for i := range len(ids) {
		out = append(out, ids[i], 0)
	}
	out = append(out, 0, 63, 0)
	var bits string
	across, down := 0, 0
	for _, s := range sampling {
		across, down = max(across, int(s>>4)), max(down, int(s&15))
	}
	before := make([]int, len(ids))
	for y := range (h + 8*down - 1) / (8 * down) {
		for x := range (w + 8*across - 1) / (8 * across) {
			for c, s := range sampling {
				for k := range int(s>>4) * int(s&15) {
					v := 8 * (value(c, x*int(s>>4)+k%int(s>>4), y*int(s&15)+k/int(s>>4)) - 128)
					d := v - before[c]
					before[c] = v
					size := 0
					for e := max(d, -d); e > 0; e /= 2 {
						size++
					}
					bits += fmt.Sprintf("%04b", size)
					if d < 0 {
						d += 1<<size - 1
					}
					if size > 0 {
						bits += fmt.Sprintf("%0*b", size, d)
					}
					bits += "0"
				}
			}
		}
	}
	for bits += "1111111"; len(bits) >= 8; bits = bits[8:] {
		var b byte
		fmt.Sscanf(bits[:8], "%b", &b)
		if out = append(out, b); b == 0xff {
			out = append(out, 0)
		}
	}
	return append(out, 0xff, 0xd9)
}

const jfif = "\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"

func adobe(transform byte) string {
	return "\xff\xee\x00\x0eAdobe\x00d\x00\x00\x00\x00" + string(rune(transform))
}

// TestJPEGColours: whether components are luma and chroma, colours or inks is said
// by markers and, where these are missing, names, in libjpeg's order.
func TestJPEGColours(t *testing.T) {
	s := [4]int{90, 100, 160, 200} // stored
	same := func(c, _, _ int) int { return s[c] }
	colours := [3]uint8{90, 100, 160}
	luma := [3]uint8{90 + 45, 90 + 10 - 23, 90 - 50} // JFIF: 1.402·32; −.344·−28 − .714·32; 1.772·−28
	lit := func(v [3]uint8) (out [3]uint8) {         // OpenCV divides by 256
		for c := range out {
			out[c] = uint8(200 - (255-int(v[c]))*200>>8)
		}
		return out
	}
	inverted := [3]uint8{255 - luma[0], 255 - luma[1], 255 - luma[2]} // libjpeg makes inks of them
	even, half := []byte{0x11, 0x11, 0x11, 0x11}, []byte{0x22, 0x11, 0x11, 0x22}
	for _, c := range []struct {
		name, ids, segments string
		sampling            []byte
		want                [3]uint8
	}{
		{"plain", "\x01\x02\x03", "", even[:3], luma},
		{"JFIF", "RGB", jfif, even[:3], luma},
		{"named RGB", "RGB", "", even[:3], colours},
		{"Adobe 0", "\x01\x02\x03", adobe(0), even[:3], colours},
		{"Adobe 0 and JFIF", "\x01\x02\x03", jfif + adobe(0), even[:3], luma},
		{"Adobe 1", "\x01\x02\x03", adobe(1), even[:3], luma},
		{"Adobe 1, named RGB", "RGB", adobe(1), even[:3], luma},
		{"four components", "\x01\x02\x03\x04", "", even, lit(colours)},
		{"four components, Adobe 0", "\x01\x02\x03\x04", adobe(0), even, lit(colours)},
		{"four components, Adobe 0, halved", "\x01\x02\x03\x04", adobe(0), half, lit(colours)},
		{"four components, Adobe 2", "\x01\x02\x03\x04", adobe(2), even, lit(inverted)},
		{"four components, Adobe 2, halved", "\x01\x02\x03\x04", adobe(2), half, lit(inverted)},
	} {
		checkKind(t, c.name, flatJPEG(16, 16, c.ids, c.sampling, c.segments, same), func(int, int) [3]uint8 { return c.want }, "")
	}
}

// TestInksUpsampled: chroma of four components is interpolated like that of three.
func TestInksUpsampled(t *testing.T) {
	four, three := []byte{0x22, 0x11, 0x11, 0x22}, []byte{0x22, 0x11, 0x11}
	value := func(c, x, y int) int { return [4]int{120, 100 + 40*x, 140 - 30*y, 255}[c] }
	inks, err := DecodeBytes(flatJPEG(32, 32, "\x01\x02\x03\x04", four, adobe(2), value), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := DecodeBytes(flatJPEG(32, 32, "\x01\x02\x03", three, "", value), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range plain.Pix {
		if want := uint8(255 - int(v)*255>>8); inks.Pix[i] != want {
			t.Fatalf("sample %d is %d, want %d", i, inks.Pix[i], want)
		}
	}
}

// TestJPEGSamplings: what the decoder does not know is refused by the header.
func TestJPEGSamplings(t *testing.T) {
	grey := func(c, _, _ int) int { return []int{77, 128, 128, 128}[c] }
	for sampling, want := range map[string]string{
		"\x11": "", "\x22": "", "\x11\x11\x11": "", "\x21\x11\x11": "", "\x12\x11\x11": "", "\x22\x11\x11": "", "\x41\x11\x11": "", "\x42\x11\x11": "",
		"\x22\x21\x21": "", "\x22\x12\x12": "", "\x31\x11\x11": "subsampling", "\x22\x21\x11": "subsampling", "\x11\x22\x22": "subsampling",
		"\x14\x11\x11": "subsampling", "\x11\x11": "2 components",
	} {
		data := flatJPEG(40, 40, "\x01\x02\x03\x04"[:len(sampling)], []byte(sampling), "", grey)
		checkKind(t, fmt.Sprintf("%x", sampling), data, func(int, int) [3]uint8 { return [3]uint8{77, 77, 77} }, want)
	}
}

// TestScans: a file that asks for hundreds of scans of a large picture is refused
// before any is read, and so is a progressive one that lacks its last ones.
func TestScans(t *testing.T) {
	plain := flatJPEG(64, 64, "\x01", []byte{0x11}, "", func(int, int, int) int { return 90 })
	scan := plain[bytes.Index(plain, []byte{0xff, 0xda}) : len(plain)-2]
	for _, c := range []struct {
		scans, side int
		want        string
	}{
		{1, 64, ""}, {16, 11000, "missing 0xff00"}, {17, 11000, "more than 16 scans of 121000000 pixels"}, {500, 1000, "more than 268 scans of 1000000 pixels"},
	} {
		data := append(bytes.Clone(plain[:len(plain)-2]), bytes.Repeat(scan, c.scans-1)...)
		frame := bytes.Index(data, []byte{0xff, 0xc0})
		binary.BigEndian.PutUint16(data[frame+5:], uint16(c.side))
		binary.BigEndian.PutUint16(data[frame+7:], uint16(c.side))
		_, err := DecodeBytes(append(data, 0xff, 0xd9), Limits{})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%d scans of %d by %d: %v, want %q", c.scans, c.side, c.side, err, c.want)
		}
	}

	progressive := bytes.Replace(plain, []byte{0xff, 0xc0}, []byte{0xff, 0xc2}, 1)
	last := bytes.LastIndex(progressive, []byte("\x00\x3f\x00")) // from, to, bits
	for band, want := range map[string]string{"\x00\x00\x00": "last scans", "\x00\x3f\x01": "last scans", "\x0a\x3f\x00": "last scans"} {
		data := bytes.Clone(progressive)
		copy(data[last:], band)
		if _, err := DecodeBytes(data, Limits{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("progressive, scan % x: %v, want %q", band, err, want)
		}
	}
}
