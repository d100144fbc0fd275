package compare

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"yolofreeze/freeze"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/yaml"
)

// Read reads a run's folder: yolofreeze's own, or one that YOLOv5's train.py
// left. Only results.csv must be there; what other files would have told is
// unknown.
func Read(dir string) (*Run, error) {
	dir = filepath.Clean(dir)
	r := &Run{Name: filepath.Base(dir), Dir: dir, Source: "yolov5", Seed: runs.Unknown,
		Freezing: Freezing{Freeze: []string{}, BN: []string{}, Frozen: runs.Unknown, Trainable: runs.Unknown},
		Outcome:  Outcome{Asked: runs.Unknown, MAP50: runs.Unknown, MAP: runs.Unknown, Precision: runs.Unknown, Recall: runs.Unknown},
		Cost:     Cost{Seconds: runs.Unknown, Images: runs.Unknown, ImagesPerSecond: runs.Unknown, PeakRSS: runs.Unknown},
		PerClass: []runs.Class{}, Settings: map[string]string{}}
	if abs, err := filepath.Abs(dir); err == nil {
		r.Name = filepath.Base(abs)
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return nil, &disk.InputError{Path: dir, Err: fmt.Errorf("read the run: %w", disk.Cause(err))}
	case !info.IsDir():
		return nil, &disk.InputError{Path: dir, Err: errors.New("read the run: not a folder")}
	}
	var damaged []error
	if r.Curve, damaged, err = runs.ReadCurve(filepath.Join(dir, runs.ResultsFile)); err != nil {
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

// readOptional reads a file of the run's folder, nil where there is none.
func (r *Run) readOptional(name string) ([]byte, error) {
	path := filepath.Join(r.Dir, name)
	data, err := disk.ReadText(path, runs.MostBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &disk.InputError{Path: path, Err: disk.Cause(err)}
	}
	return data, nil
}

// leaveOut warns of rows that are not counted.
func (r *Run) leaveOut(damaged []error) {
	for _, err := range damaged {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%v; the row is left out", err))
	}
}

// deviceNumber is which of several devices of a kind a run had: it makes no difference to what
// came of it.
var deviceNumber = regexp.MustCompile(`^(cuda|webgpu|openvino):[0-9]+$`)

// readSettings reads opt.yaml and hyp.yaml.
func (r *Run) readSettings() error {
	for _, name := range []string{runs.OptionsFile, "hyp.yaml"} {
		data, err := r.readOptional(name)
		if err != nil {
			return err
		}
		options := map[string]any{}
		if err := yaml.Decode(data, &options); err != nil {
			return &disk.InputError{Path: filepath.Join(r.Dir, name), Err: err}
		}
		for key, value := range options {
			r.setting(key, value)
		}
	}
	if device, ok := r.Settings["device"]; ok {
		r.Settings["device"] = deviceNumber.ReplaceAllString(device, "$1")
	}
	if text, ok := r.Settings["freeze"]; ok && len(r.Freeze) == 0 {
		r.Freeze = strings.Split(text, ",")
	}
	number := func(key string) runs.Figure {
		if v, err := strconv.ParseFloat(r.Settings[key], 64); err == nil {
			return runs.Figure(v)
		}
		return runs.Unknown
	}
	r.Seed, r.Asked = number("seed"), number("epochs")
	return nil
}

// setting keeps an option as text; the hyperparameters that YOLOv5 repeats in
// its options stand in their own file.
func (r *Run) setting(key string, value any) {
	if strings.HasPrefix(key, "_") {
		return
	}
	switch v := value.(type) {
	case map[string]any, nil:
		return
	case []any:
		if key == "plans" {
			for _, item := range v {
				r.Plans = append(r.Plans, fmt.Sprint(item))
			}
			return
		}
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
func (r *Run) readPlan() error {
	data, err := r.readOptional(runs.PlanFile)
	if err != nil {
		return err
	}
	if data != nil {
		r.Source = "yolofreeze"
		if r.plan, err = freeze.ParseYAML(data); err != nil {
			return &disk.InputError{Path: filepath.Join(r.Dir, runs.PlanFile), Err: err}
		}
		r.Freeze, r.BN = r.plan.Selectors, r.plan.Policies
	} else {
		r.plan = r.planOfWeights()
	}
	r.notePlans()
	if r.plan != nil {
		s := r.plan.Summary()
		r.Frozen, r.Trainable = runs.Figure(s.Frozen.Elements), runs.Figure(s.Trainable.Elements)
	}
	r.Settings["source"] = r.Source
	r.Settings["freeze"] = strings.Join(r.Freeze, ",")
	if nothingFrozen(r.Freeze) {
		r.Settings["freeze"] = "0"
	}
	r.Settings["bn"] = strings.Join(r.BN, ",")
	return nil
}

// notePlans makes a run whose frozen layers were changed on the way one of a kind: it
// is neither what it began as nor what it ended as.
func (r *Run) notePlans() {
	if r.Settings["plans"] = strings.Join(r.Plans, "; "); len(r.Plans) == 0 {
		return
	}
	r.plan, r.Freeze, r.BN = nil, []string{changedFreeze}, []string{}
	r.Warnings = append(r.Warnings, fmt.Sprintf("%s: what is frozen was changed on the way, it stands for itself: %s", r.Dir, r.Settings["plans"]))
}

// planOfWeights applies the list of layers to the checkpoint that the run left;
// nil where there is none that can be read.
func (r *Run) planOfWeights() *freeze.Plan {
	for _, name := range []string{"last.pt", "best.pt"} {
		m, err := model.Load(filepath.Join(r.Dir, "weights", name))
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
func (r *Run) readClasses() error {
	return r.readOwn(runs.PerClassFile, runs.ClassHeader, func(row []string) error {
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
func (r *Run) readOwn(name, header string, row func([]string) error) error {
	path, want := filepath.Join(r.Dir, name), strings.TrimSpace(header)
	fits := func(header []string) error {
		if strings.Join(header, ",") != want {
			return fmt.Errorf("line 1: the columns are not %s", want)
		}
		return nil
	}
	damaged, err := runs.ReadTable(path, fits, func(_, fields []string) error { return row(fields) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	r.leaveOut(damaged)
	return err
}

// classOf reads what runs.ClassLines wrote.
func classOf(row []string) (c runs.Class, err error) {
	c.Name = runs.CellText(row[2])
	columns := strings.Split(strings.TrimSpace(runs.ClassHeader), ",")
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
