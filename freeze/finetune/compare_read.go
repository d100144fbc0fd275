package finetune

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"yolofreeze/freeze"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/yaml"
)

// ReadRun reads a run's folder: yolofreeze's own, or one that YOLOv5's train.py
// left. Only results.csv must be there; what other files would have told is
// unknown.
func ReadRun(dir string) (*ComparedRun, error) {
	dir = filepath.Clean(dir)
	r := &ComparedRun{Name: filepath.Base(dir), Dir: dir, Source: "yolov5", Seed: Unknown, Frozen: Unknown, Trainable: Unknown,
		Asked: Unknown, MAP50: Unknown, MAP: Unknown, Precision: Unknown, Recall: Unknown,
		Seconds: Unknown, Images: Unknown, ImagesPerSecond: Unknown, PeakRSS: Unknown,
		Freeze: []string{}, BN: []string{}, PerClass: []ClassEvaluation{}, Settings: map[string]string{}}
	if abs, err := filepath.Abs(dir); err == nil {
		r.Name = filepath.Base(abs)
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return nil, &InputError{dir, fmt.Errorf("read the run: %w", disk.Cause(err))}
	case !info.IsDir():
		return nil, &InputError{dir, errors.New("read the run: not a folder")}
	}
	var damaged []error
	if r.Curve, damaged, err = readCurve(filepath.Join(dir, "results.csv")); err != nil {
		return nil, err
	}
	r.leaveOut(damaged)
	r.summariseCurve()
	for _, read := range []func() error{r.readSettings, r.readPlan, r.readClasses, r.readTiming, r.readEvents} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// mostBytes is the most that is read of a text file in a run's folder.
const mostBytes = 64 << 20

const perClassFile = "per_class.csv"

// readOptional reads a file of the run's folder, nil where there is none.
func (r *ComparedRun) readOptional(name string) ([]byte, error) {
	path := filepath.Join(r.Dir, name)
	data, err := disk.ReadText(path, mostBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &InputError{path, disk.Cause(err)}
	}
	return data, nil
}

// curveColumns are the columns of results.csv and where they go.
var curveColumns = map[string]func(*EpochPoint) *Figure{
	"epoch":                func(p *EpochPoint) *Figure { return &p.Epoch },
	"train/box_loss":       func(p *EpochPoint) *Figure { return &p.Train[0] },
	"train/obj_loss":       func(p *EpochPoint) *Figure { return &p.Train[1] },
	"train/cls_loss":       func(p *EpochPoint) *Figure { return &p.Train[2] },
	"metrics/precision":    func(p *EpochPoint) *Figure { return &p.Precision },
	"metrics/recall":       func(p *EpochPoint) *Figure { return &p.Recall },
	"metrics/mAP_0.5":      func(p *EpochPoint) *Figure { return &p.MAP50 },
	"metrics/mAP_0.5:0.95": func(p *EpochPoint) *Figure { return &p.MAP },
	"val/box_loss":         func(p *EpochPoint) *Figure { return &p.Val[0] },
	"val/obj_loss":         func(p *EpochPoint) *Figure { return &p.Val[1] },
	"val/cls_loss":         func(p *EpochPoint) *Figure { return &p.Val[2] },
	"x/lr0":                func(p *EpochPoint) *Figure { return &p.LR[0] },
	"x/lr1":                func(p *EpochPoint) *Figure { return &p.LR[1] },
	"x/lr2":                func(p *EpochPoint) *Figure { return &p.LR[2] },
}

// neededColumns are those without which there is nothing to compare.
var neededColumns = []string{"epoch", "metrics/mAP_0.5", "metrics/mAP_0.5:0.95"}

// readTable reads a CSV file whose header fits. Rows that have not as many fields
// as the header, or that row refuses, are left out and returned: a crash in the middle
// of writing leaves such a row, and the next epoch perhaps on the same line. Where no
// row is left, the first one's error is returned.
func readTable(path string, fits func(header []string) error, row func(header, fields []string) error) (damaged []error, err error) {
	data, err := disk.ReadText(path, mostBytes)
	if err != nil {
		return nil, &InputError{path, disk.Cause(err)}
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
		return nil, &InputError{path, err}
	}
	for good := 0; ; {
		fields, err := reader.Read()
		if errors.Is(err, io.EOF) {
			if good == 0 && len(damaged) > 0 {
				return nil, damaged[0]
			}
			return damaged, nil
		}
		if err != nil {
			return nil, &InputError{path, err}
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
			damaged = append(damaged, &InputError{path, fmt.Errorf("line %d: %w", line, err)})
		}
	}
}

// leaveOut warns of rows that are not counted.
func (r *ComparedRun) leaveOut(damaged []error) {
	for _, err := range damaged {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%v; the row is left out", err))
	}
}

// readCurve reads results.csv, whose fields are padded with blanks. Where an
// epoch stands twice, as after a crash and a resumption, the later row holds.
func readCurve(path string) (curve []EpochPoint, damaged []error, err error) {
	fits := func(header []string) error {
		for _, name := range neededColumns {
			if !slices.Contains(header, name) {
				return fmt.Errorf("line 1: no column %s", name)
			}
		}
		return nil
	}
	damaged, err = readTable(path, fits, func(header, fields []string) error {
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
		err = &InputError{path, errors.New("no epoch after the header")}
	}
	return curve, damaged, err
}

func curvePoint(header, record []string) (EpochPoint, error) {
	var p EpochPoint
	p.Seconds = Unknown
	for _, of := range epochFigures {
		*of(&p) = Unknown
	}
	for i, name := range header {
		of := curveColumns[name]
		if of == nil {
			continue
		}
		text := strings.TrimSpace(record[i])
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return p, fmt.Errorf("column %s: %q is not a number", name, text)
		}
		*of(&p) = Figure(v)
	}
	if e := float64(p.Epoch); e != math.Trunc(e) || e < 0 || e > 1e9 {
		return p, fmt.Errorf("column epoch: %v is not a whole number", p.Epoch)
	}
	return p, nil
}

// readSettings reads opt.yaml and hyp.yaml.
func (r *ComparedRun) readSettings() error {
	for _, name := range []string{"opt.yaml", "hyp.yaml"} {
		data, err := r.readOptional(name)
		if err != nil {
			return err
		}
		options := map[string]any{}
		if err := yaml.Decode(data, &options); err != nil {
			return &InputError{filepath.Join(r.Dir, name), err}
		}
		for key, value := range options {
			r.setting(key, value)
		}
	}
	if text, ok := r.Settings["freeze"]; ok && len(r.Freeze) == 0 {
		r.Freeze = strings.Split(text, ",")
	}
	number := func(key string) Figure {
		if v, err := strconv.ParseFloat(r.Settings[key], 64); err == nil {
			return Figure(v)
		}
		return Unknown
	}
	r.Seed, r.Asked = number("seed"), number("epochs")
	return nil
}

// setting keeps an option as text; the hyperparameters that YOLOv5 repeats in
// its options stand in their own file.
func (r *ComparedRun) setting(key string, value any) {
	if strings.HasPrefix(key, "_") {
		return
	}
	switch v := value.(type) {
	case map[string]any, nil:
		return
	case []any:
		parts := make([]string, len(v))
		for i, item := range v {
			parts[i] = fmt.Sprint(item)
		}
		r.Settings[key] = strings.Join(parts, ",")
	case float64:
		r.Settings[key] = strconv.FormatFloat(v, 'g', -1, 64)
	default:
		r.Settings[key] = fmt.Sprint(v)
	}
}

// readPlan reads freeze.yaml, or works out from the weights what YOLOv5's list
// of layers froze.
func (r *ComparedRun) readPlan() error {
	data, err := r.readOptional("freeze.yaml")
	if err != nil {
		return err
	}
	if data != nil {
		r.Source = "yolofreeze"
		if r.plan, err = freeze.ParseYAML(data); err != nil {
			return &InputError{filepath.Join(r.Dir, "freeze.yaml"), err}
		}
		r.Freeze, r.BN = r.plan.Selectors, r.plan.Policies
	} else {
		r.plan = r.planOfWeights()
	}
	if r.plan != nil {
		s := r.plan.Summary()
		r.Frozen, r.Trainable = Figure(s.Frozen.Elements), Figure(s.Trainable.Elements)
	}
	r.Settings["source"] = r.Source
	r.Settings["freeze"] = strings.Join(r.Freeze, ",")
	if nothingFrozen(r.Freeze) {
		r.Settings["freeze"] = "0"
	}
	r.Settings["bn"] = strings.Join(r.BN, ",")
	return nil
}

// planOfWeights applies the list of layers to the checkpoint that the run left;
// nil where there is none that can be read.
func (r *ComparedRun) planOfWeights() *freeze.Plan {
	for _, name := range []string{"last.pt", "best.pt"} {
		m, err := LoadModel(filepath.Join(r.Dir, "weights", name))
		if err != nil {
			continue
		}
		var selectors, policies []string
		if !nothingFrozen(r.Freeze) {
			selectors, policies = []string{strings.Join(r.Freeze, ",")}, []string{string(freeze.Batch)}
		}
		if plan, err := m.Plan(selectors, policies); err == nil {
			r.BN = plan.Policies
			return plan
		}
	}
	return nil
}

// readClasses reads the best epoch's rows of per_class.csv.
func (r *ComparedRun) readClasses() error {
	return r.readOwn(perClassFile, classHeader, func(row []string) error {
		if row[0] != strconv.Itoa(r.BestEpoch) {
			return nil
		}
		c, err := classOf(row)
		if err == nil {
			r.PerClass = append(r.PerClass, c)
		}
		return err
	})
}

// readOwn reads a table that yolofreeze wrote, if the run has it.
func (r *ComparedRun) readOwn(name, header string, row func([]string) error) error {
	path, want := filepath.Join(r.Dir, name), strings.TrimSpace(header)
	fits := func(header []string) error {
		if strings.Join(header, ",") != want {
			return fmt.Errorf("line 1: the columns are not %s", want)
		}
		return nil
	}
	damaged, err := readTable(path, fits, func(_, fields []string) error { return row(fields) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	r.leaveOut(damaged)
	return err
}

// classOf reads what classLines wrote.
func classOf(row []string) (c ClassEvaluation, err error) {
	c.Name = row[2]
	columns := strings.Split(strings.TrimSpace(classHeader), ",")
	for i, into := range map[int]*int{1: &c.Class, 3: &c.Images, 4: &c.Instances} {
		if *into, err = strconv.Atoi(row[i]); err != nil {
			return c, fmt.Errorf("column %s: %q is not a whole number", columns[i], row[i])
		}
	}
	for i, into := range []*float64{&c.Precision, &c.Recall, &c.F1, &c.AP50, &c.AP} {
		if *into, err = strconv.ParseFloat(row[5+i], 64); err != nil {
			return c, fmt.Errorf("column %s: %q is not a number", columns[5+i], row[5+i])
		}
	}
	return c, nil
}
