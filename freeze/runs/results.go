package runs

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"yolofreeze/onnx/disk"
)

// Column is one of results.csv.
type Column struct {
	Name string
	Of   func(*EpochPoint) *Figure // where a point has it
}

// Columns are those of results.csv: YOLOv5's names in YOLOv5's order.
var Columns = []Column{
	{"epoch", func(p *EpochPoint) *Figure { return &p.Epoch }},
	{"train/box_loss", func(p *EpochPoint) *Figure { return &p.Train[0] }},
	{"train/obj_loss", func(p *EpochPoint) *Figure { return &p.Train[1] }},
	{"train/cls_loss", func(p *EpochPoint) *Figure { return &p.Train[2] }},
	{"metrics/precision", func(p *EpochPoint) *Figure { return &p.Precision }},
	{"metrics/recall", func(p *EpochPoint) *Figure { return &p.Recall }},
	{"metrics/mAP_0.5", func(p *EpochPoint) *Figure { return &p.MAP50 }},
	{"metrics/mAP_0.5:0.95", func(p *EpochPoint) *Figure { return &p.MAP }},
	{"val/box_loss", func(p *EpochPoint) *Figure { return &p.Val[0] }},
	{"val/obj_loss", func(p *EpochPoint) *Figure { return &p.Val[1] }},
	{"val/cls_loss", func(p *EpochPoint) *Figure { return &p.Val[2] }},
	{"x/lr0", func(p *EpochPoint) *Figure { return &p.LR[0] }},
	{"x/lr1", func(p *EpochPoint) *Figure { return &p.LR[1] }},
	{"x/lr2", func(p *EpochPoint) *Figure { return &p.LR[2] }},
}

// Row is one epoch in results.csv.
type Row struct {
	Epoch     int        // from 0
	Train     [3]float64 // box, objectness, class: means over batches
	Precision float64
	Recall    float64
	MAP50     float64
	MAP       float64
	Val       [3]float64
	LR        [3]float64 // of biases, decayed weights, norms at the last batch
}

// Values are the row's numbers in the order of Columns.
func (r Row) Values() []float64 {
	return []float64{float64(r.Epoch), r.Train[0], r.Train[1], r.Train[2], r.Precision, r.Recall, r.MAP50, r.MAP,
		r.Val[0], r.Val[1], r.Val[2], r.LR[0], r.LR[1], r.LR[2]}
}

// MarshalJSON writes an object with the keys of Columns; what is no number is null.
func (r Row) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	for i, v := range r.Values() {
		b.WriteString(string("{,"[min(i, 1)]))
		fmt.Fprintf(&b, "%q:", Columns[i].Name)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			b.WriteString("null")
			continue
		}
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		b.Write(text)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Fitness is what the best epoch has most of.
func (r Row) Fitness() float64 { return Fitness(r.MAP50, r.MAP) }

// Line formats a row as YOLOv5 does: fields 20 wide, five significant digits.
func (r Row) Line() string {
	fields := make([]string, len(Columns))
	for i, v := range r.Values() {
		fields[i] = fmt.Sprintf("%20.5g", v)
	}
	return strings.Join(fields, ",") + "\n"
}

// ResultsHeader is the first line of results.csv.
func ResultsHeader() string {
	fields := make([]string, len(Columns))
	for i, c := range Columns {
		fields[i] = fmt.Sprintf("%20s", c.Name)
	}
	return strings.Join(fields, ",") + "\n"
}

// Cell is a text for a CSV file that a spreadsheet takes for a text, and not for a formula to
// compute, which can run programs: it gets an apostrophe in front, as spreadsheets write it.
func Cell(text string) string {
	if text != "" && strings.ContainsRune(formula, rune(text[0])) {
		return "'" + text
	}
	return text
}

// CellText is the text of a cell that Cell wrote.
func CellText(cell string) string {
	if rest, ok := strings.CutPrefix(cell, "'"); ok && rest != "" && strings.ContainsRune(formula, rune(rest[0])) {
		return rest
	}
	return cell
}

const formula = "=+-@\t\r" // what formulas begin with

// ClassLines are the rows of per_class.csv for one epoch.
func ClassLines(epoch int, classes []Class) (string, error) {
	var b strings.Builder
	w := csv.NewWriter(&b)
	for _, c := range classes {
		line := []string{strconv.Itoa(epoch), strconv.Itoa(c.Class), Cell(c.Name), strconv.Itoa(c.Images), strconv.Itoa(c.Instances)}
		for _, v := range []float64{c.Precision, c.Recall, c.F1, c.AP50, c.AP} {
			line = append(line, strconv.FormatFloat(v, 'g', 5, 64))
		}
		if err := w.Write(line); err != nil {
			return "", err
		}
	}
	w.Flush()
	return b.String(), w.Error()
}

// ClassHeader is the first line of per_class.csv.
const ClassHeader = "epoch,class,name,images,instances,precision,recall,f1,map50,map\n"

// Table is a CSV file of a run's folder that grows by epochs. The first field
// of every line but the header is the epoch.
type Table struct {
	path   string
	header string
}

// Files of a run's folder that grow by epochs.
const (
	ResultsFile  = "results.csv"
	PerClassFile = "per_class.csv"
	TimingFile   = "timing.csv"
)

// Tables are the files of a run's folder that grow by epochs: results, classes, timing.
func Tables(dir string) [3]Table {
	return [3]Table{
		{filepath.Join(dir, ResultsFile), ResultsHeader()},
		{filepath.Join(dir, PerClassFile), ClassHeader},
		{filepath.Join(dir, TimingFile), TimingHeader},
	}
}

// Start makes the file begin with its header and hold no epoch from the given one on.
func (t Table) Start(epoch int) error {
	old, err := disk.Read(t.path, MostBytes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("start %s: %w", filepath.Base(t.path), err)
	}
	var kept strings.Builder
	kept.WriteString(t.header)
	for line := range strings.Lines(string(old)) {
		field, _, _ := strings.Cut(line, ",")
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err == nil && n < epoch && strings.HasSuffix(line, "\n") {
			kept.WriteString(line)
		}
	}
	return WriteFile(t.path, []byte(kept.String()))
}

// Add appends lines and makes them durable.
func (t Table) Add(lines string) error {
	f, err := disk.Append(t.path)
	if err != nil {
		return fmt.Errorf("append to %s: %w", t.path, err)
	}
	_, err = f.WriteString(lines)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("append to %s: %w", t.path, err)
	}
	return nil
}

// Fitness weighs the two average precisions as YOLOv5 does to choose the best epoch.
func Fitness(map50, mAP float64) float64 { return 0.1*map50 + 0.9*mAP }

// Class is one class's share of an evaluation; its JSON keys are stable.
type Class struct {
	Class     int     `json:"class"`
	Name      string  `json:"name"`
	Images    int     `json:"images"`
	Instances int     `json:"instances"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
	AP50      float64 `json:"map50"`
	AP        float64 `json:"map"`
}
