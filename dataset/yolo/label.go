package yolo

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"yolofreeze/dataset"
)

// parseLabels hands the objects of a label file to r. A line is a class and
// either a box (x y w h) or the outline (x y x y x y …) of one object, all as
// shares of the picture; both kinds may be mixed. Numbers of keypoints behind each box, which
// the data.yaml tells, are passed over. Blank lines, a byte order
// mark, tabs and lines ended in any way do no harm.
// It tells where it found more numbers than a box has to long, unless that is nil.
func parseLabels(file string, data []byte, keypoints int, r *dataset.Recorder, long *longLines) {
	data, err := plainText(data)
	if err != nil {
		r.BadSource(dataset.Problem{File: file, Want: err.Error()})
		return
	}
	for n := 1; len(data) > 0; n++ {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte("\n"))
		fields := bytes.Fields(line)
		if len(fields) == 0 {
			continue
		}
		place := dataset.Problem{File: file, Line: n}
		label, field, err := parseFields(fields, keypoints)
		if err != nil {
			place.Field, place.Value, place.Want = field, string(bytes.TrimSpace(line)), err.Error()
			if err, ok := err.(*valueError); ok {
				place.Value = err.value
			}
			r.Bad(place)
			continue
		}
		if len(fields) > 5 && keypoints == 0 {
			long.add(label.Polygon, place)
		}
		r.Object(label, place)
	}
}

// plainText is dataset.PlainText of a text whose byte order mark, if it has one, says what it is in.
func plainText(data []byte) ([]byte, error) {
	text, _, err := transform.Bytes(unicode.BOMOverride(transform.Nop), data)
	if err != nil {
		return nil, err
	}
	return dataset.PlainText(text)
}

// valueError is about one field rather than the line.
type valueError struct{ value, want string }

func (e *valueError) Error() string { return e.want }

// parseFields reads one object; on error it names the field.
func parseFields(fields [][]byte, keypoints int) (l dataset.Label, field string, err error) {
	n := len(fields)
	if keypoints > 0 {
		if n != 5 && n != 5+keypoints {
			return l, "", fmt.Errorf("%d columns: must be 5 (class x y w h), or %d with the keypoints that kpt_shape says", n, 5+keypoints)
		}
		fields, n = fields[:5], 5
	}
	values, wrong := parseNumbers(make([]float64, 0, 64), fields[1:])
	if points := visiblePoints(values); points > 0 && wrong == nil {
		return l, "", fmt.Errorf("%d columns: a box and %d keypoints of x, y and visibility? then data.yaml needs kpt_shape: [%d, 3]", n, points, points)
	}
	if n < 5 || n == 6 || n%2 == 0 {
		if bytes.IndexByte(fields[0], ',') >= 0 {
			return l, "", fmt.Errorf("values must be separated by blanks, not commas")
		}
		return l, "", fmt.Errorf("%d columns: must be 5 (class x y w h) or a class and at least 3 points", n)
	}
	if l.Class, err = parseClass(fields[0]); err != nil {
		return l, "class", err
	}
	if wrong != nil {
		return l, columnName(len(values), n), wrong
	}
	if n == 5 {
		l.X, l.Y, l.W, l.H = values[0], values[1], values[2], values[3]
		return l, "", nil
	}
	outline := make([]dataset.Point, len(values)/2)
	for i := range outline {
		outline[i] = dataset.Point{X: values[2*i], Y: values[2*i+1]}
	}
	return dataset.FromPolygon(l.Class, outline), "", nil
}

func columnName(i, columns int) string {
	if columns == 5 {
		return [4]string{"x", "y", "w", "h"}[i]
	}
	return fmt.Sprintf("point %d %c", i/2+1, "xy"[i%2])
}

// parseClass reads a whole number, which some tools write as 3.0.
func parseClass(f []byte) (int, error) {
	if n, err := strconv.Atoi(string(f)); err == nil {
		return n, nil
	}
	v, err := parseNumber(f)
	if err != nil || v != float64(int32(v)) {
		return 0, &valueError{printable(f), "must be a whole number, the index of a class"}
	}
	return int(v), nil
}

// parseNumbers appends numbers to v up to the first field that is none.
func parseNumbers(v []float64, fields [][]byte) ([]float64, error) {
	for _, f := range fields {
		n, err := parseNumber(f)
		if err != nil {
			return v, err
		}
		v = append(v, n)
	}
	return v, nil
}

// parseNumber reads a decimal number: no hexadecimal, infinity or the like.
func parseNumber(f []byte) (float64, error) {
	for _, c := range f {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			want := "must be a decimal number"
			if c == ',' {
				want = "must be a decimal number with a point, not a comma"
			}
			return 0, &valueError{printable(f), want}
		}
	}
	v, err := strconv.ParseFloat(string(f), 64)
	if err != nil {
		return 0, &valueError{printable(f), "must be a decimal number within the range of float64"}
	}
	return v, nil
}

func printable(f []byte) string {
	if !utf8.Valid(f) {
		return strings.ToValidUTF8(string(f), "�")
	}
	return string(f)
}
