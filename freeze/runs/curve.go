package runs

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"yolofreeze/onnx/disk"
)

// Figure is a number that may be unknown: NaN, which JSON has as null.
type Figure float64

// Unknown is a figure that nobody wrote down.
var Unknown = Figure(math.NaN())

// Known reports whether there is a number.
func (f Figure) Known() bool { return !math.IsNaN(float64(f)) && !math.IsInf(float64(f), 0) }

// MarshalJSON writes the number, or null.
func (f Figure) MarshalJSON() ([]byte, error) {
	if !f.Known() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(f))
}

// UnmarshalJSON reads a number or null.
func (f *Figure) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*f = Unknown
		return nil
	}
	return json.Unmarshal(data, (*float64)(f))
}

// EpochPoint is one row of results.csv, and when it was written.
type EpochPoint struct {
	Epoch     Figure    `json:"epoch"`   // the first is 0
	Seconds   Figure    `json:"seconds"` // since the run's start
	Train     [3]Figure `json:"train"`   // box, objectness, class loss
	Precision Figure    `json:"precision"`
	Recall    Figure    `json:"recall"`
	MAP50     Figure    `json:"map50"`
	MAP       Figure    `json:"map"`
	Val       [3]Figure `json:"val"`
	LR        [3]Figure `json:"lr"`
}

// MostBytes is the most that is read of a text file in a run's folder.
const MostBytes = 64 << 20

// neededColumns are those without which there is nothing to compare.
var neededColumns = []string{"epoch", "metrics/mAP_0.5", "metrics/mAP_0.5:0.95"}

// NoRowError is a table, sound otherwise, without a row that can be used.
type NoRowError struct{ disk.InputError }

func (e *NoRowError) Unwrap() error { return &e.InputError }

// ReadTable reads a CSV file whose header fits. Rows that have not as many fields
// as the header, or that row refuses, are left out and returned: a crash in the middle
// of writing leaves such a row, and the next epoch perhaps on the same line. Where no
// row is left, the first one's error is returned, as a NoRowError.
func ReadTable(path string, fits func(header []string) error, row func(header, fields []string) error) (damaged []error, err error) {
	data, err := disk.ReadText(path, MostBytes)
	if err != nil {
		return nil, &disk.InputError{Path: path, Err: disk.Cause(err)}
	}
	reader := csv.NewReader(bytes.NewReader(data))
	reader.TrimLeadingSpace, reader.LazyQuotes, reader.FieldsPerRecord = true, true, -1
	header, err := reader.Read()
	if errors.Is(err, io.EOF) {
		err = errors.New("the file is empty")
	}
	for i := range header {
		header[i] = strings.TrimSpace(header[i])
	}
	if err == nil {
		err = fits(header)
	}
	if err != nil {
		return nil, &disk.InputError{Path: path, Err: err}
	}
	var first *NoRowError
	for good := 0; ; {
		fields, err := reader.Read()
		if errors.Is(err, io.EOF) {
			if good == 0 && first != nil {
				return nil, first
			}
			return damaged, nil
		}
		if err != nil {
			return nil, &disk.InputError{Path: path, Err: err}
		}
		if len(fields) != len(header) {
			err = fmt.Errorf("%d fields, not %d", len(fields), len(header))
		} else {
			err = row(header, fields)
		}
		if err == nil {
			good++
		} else {
			line, _ := reader.FieldPos(0)
			bad := disk.InputError{Path: path, Err: fmt.Errorf("line %d: %w", line, err)}
			damaged = append(damaged, &bad)
			if first == nil {
				first = &NoRowError{bad}
			}
		}
	}
}

// ReadCurve reads results.csv, whose fields are padded with blanks. Where an
// epoch stands twice, as after a crash and a resumption, the later row holds.
func ReadCurve(path string) (curve []EpochPoint, damaged []error, err error) {
	fits := func(header []string) error {
		for _, name := range neededColumns {
			if !slices.Contains(header, name) {
				return fmt.Errorf("line 1: no column %s", name)
			}
		}
		return nil
	}
	damaged, err = ReadTable(path, fits, func(header, fields []string) error {
		p, err := curvePoint(header, fields)
		if err != nil {
			return err
		}
		i, found := slices.BinarySearchFunc(curve, p, func(a, b EpochPoint) int { return int(a.Epoch - b.Epoch) })
		if found {
			curve[i] = p
		} else {
			curve = slices.Insert(curve, i, p)
		}
		return nil
	})
	if err == nil && len(curve) == 0 {
		err = &NoRowError{disk.InputError{Path: path, Err: errors.New("no epoch after the header")}}
	}
	return curve, damaged, err
}

func curvePoint(header, record []string) (EpochPoint, error) {
	p := EpochPoint{Seconds: Unknown}
	for _, c := range Columns {
		*c.Of(&p) = Unknown
	}
	for i, name := range header {
		k := slices.IndexFunc(Columns, func(c Column) bool { return c.Name == name })
		if k < 0 {
			continue
		}
		text := strings.TrimSpace(record[i])
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return p, fmt.Errorf("column %s: %q is not a number", name, text)
		}
		*Columns[k].Of(&p) = Figure(v)
	}
	if e := float64(p.Epoch); e != math.Trunc(e) || e < 0 || e > 1e9 {
		return p, fmt.Errorf("column epoch: %v is not a whole number", p.Epoch)
	}
	return p, nil
}
