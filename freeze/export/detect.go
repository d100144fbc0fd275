package export

import (
	"fmt"
	"slices"
	"strconv"

	"yolofreeze/dataset/metric"
	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/wire"
	"yolofreeze/onnx/workers"
	"yolofreeze/onnx/yolov5/names"
)

// Detector runs an exported .onnx file, ours or YOLOv5's, as it is: one input
// of pictures [N,3,H,W], RGB in 0…1, float32 or float16, or uint8 [N,H,W,3]; and
// decoded rows [N, rows, 5+nc] as the first output of three dimensions, or
// detections as addNMS gives them.
type Detector struct {
	Path   string
	Names  []string
	Stride int // what sides are multiples of
	Batch  int // of a fixed size; 0: any
	Height int // likewise
	Width  int

	session *ort.Session
	input   ort.IO
	output  string
	chooses bool // suppression is inside
}

// Open checks an .onnx file and opens it. Errors of the file are
// InputErrors or those of package wire.
func Open(path string, o ort.Options) (*Detector, error) {
	g, data, err := wire.ReadSource(path) // refuses, among others, data outside the file
	if err != nil {
		return nil, err
	}
	e := &Detector{Path: path}
	if err := e.describe(g); err != nil {
		return nil, &disk.InputError{Path: path, Err: err}
	}
	if err := e.checkGraph(g); err != nil {
		return nil, err
	}
	if e.session, err = ort.Open(data, o); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return e, nil
}

// describe reads what a graph takes and gives.
func (e *Detector) describe(g *onnx.Model) error {
	if len(g.Inputs) != 1 {
		return fmt.Errorf("takes %d inputs, a detector takes its pictures alone", len(g.Inputs))
	}
	in := g.Inputs[0]
	e.input = ort.IO{Name: in.Name, Type: in.Type}
	size := func(d onnx.Dim) int { return int(max(d.Size, 0)) } // Unknown is negative
	switch s := in.Type.Shape; {
	case len(s) == 4 && e.pixels() && s[3].Size == 3:
		e.Batch, e.Height, e.Width = size(s[0]), size(s[1]), size(s[2])
	case len(s) != 4 || s[1].Known() && s[1].Size != 3 || in.Type.DType != onnx.Float && in.Type.DType != onnx.Float16:
		return fmt.Errorf("input %v: want pictures [N,3,H,W] in float32 or float16, or [N,H,W,3] in uint8", in)
	default:
		e.Batch, e.Height, e.Width = size(s[0]), size(s[2]), size(s[3])
	}
	columns := 0
	for _, out := range g.Outputs {
		if s := out.Type.Shape; len(s) == 3 && e.output == "" {
			e.output, columns = out.Name, size(s[2])
		}
		e.chooses = e.chooses || out.Name == OutCount
	}
	if e.chooses {
		columns = 0
		for _, name := range []string{OutBoxes, OutScores, OutClasses} {
			if !slices.ContainsFunc(g.Outputs, func(v *onnx.Value) bool { return v.Name == name }) {
				return fmt.Errorf("has the output %s, but no %s", OutCount, name)
			}
		}
	}
	if e.output == "" {
		return fmt.Errorf("no output has the three dimensions of decoded detections")
	}
	if columns > 0 && columns < 6 {
		return fmt.Errorf("output %s has %d columns, decoded detections have 5 and the classes", e.output, columns)
	}
	e.Stride = 32
	if text, ok := g.Metadata["stride"]; ok {
		var err error
		if e.Stride, err = strconv.Atoi(text); err != nil || e.Stride < 1 {
			return fmt.Errorf("metadata stride is %q", text)
		}
	}
	return e.readNames(g.Metadata["names"], columns-5)
}

// pixels reports whether pictures go in as they are decoded.
func (e *Detector) pixels() bool { return e.input.Type.DType == onnx.Uint8 }

// readNames takes the names of the metadata; a file without any gets class0, class1, ….
func (e *Detector) readNames(text string, classes int) error {
	if text == "" {
		for i := range max(classes, 0) {
			e.Names = append(e.Names, fmt.Sprintf("class%d", i))
		}
		return nil
	}
	var err error
	if e.Names, err = names.Parse(text); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	if classes > 0 && len(e.Names) != classes {
		return fmt.Errorf("metadata names %d classes, output %s has %d", len(e.Names), e.output, classes)
	}
	return nil
}

// Close releases the session.
func (e *Detector) Close() { e.session.Close() }

// Device says where the graph runs.
func (e *Detector) Device() ort.Device { return e.session.Device() }

// Detect finds the objects of n pictures, RGB planes [N,3,height,width], in
// pixels of these planes. A graph of a fixed batch is run as often as it takes.
func (e *Detector) Detect(images []uint8, n, height, width int, o metric.NMSOptions) ([][]metric.Detection, error) {
	step, area := n, 3*height*width
	if e.Batch > 0 {
		step = e.Batch
	}
	var found [][]metric.Detection
	for first := 0; first < n; first += step {
		count := min(step, n-first)
		out, err := e.session.Run(map[string]*onnx.Tensor{e.input.Name: e.pictures(images[first*area:(first+count)*area], step, height, width)})
		if err != nil {
			return nil, fmt.Errorf("run %s: %w", e.Path, err)
		}
		if e.chooses {
			chosen, err := e.chosen(out, count, o)
			if err != nil {
				return nil, &disk.InputError{Path: e.Path, Err: err}
			}
			found = append(found, chosen...)
			continue
		}
		rows, err := e.rows(out, step)
		if err != nil {
			return nil, err
		}
		found = append(found, e.find(rows, count, o)...)
	}
	return found, nil
}

// pictures lays RGB planes out as the graph takes them, and fills up to n with black ones.
func (e *Detector) pictures(planes []uint8, n, height, width int) *onnx.Tensor {
	if e.pixels() {
		raw := onnx.NewTensor(onnx.Uint8, int64(n), int64(height), int64(width), 3)
		area := height * width
		for i, v := range planes {
			picture, rest := i/(3*area), i%(3*area)
			raw.Raw[(picture*area+rest%area)*3+rest/area] = v
		}
		return raw
	}
	images := scaled(planes, n, height, width)
	if e.input.Type.DType == onnx.Float16 {
		return images.ToFloat16()
	}
	return images
}

// scaled brings RGB planes to 0…1, and fills up to n with black ones.
func scaled(planes []uint8, n, height, width int) *onnx.Tensor {
	images := onnx.NewTensor(onnx.Float, int64(n), 3, int64(height), int64(width))
	for i, v := range planes {
		onnx.Data[float32](images)[i] = float32(v) / 255
	}
	return images
}

// chosen reads the detections of the first n pictures of a graph that has
// chosen them. They can be limited further, but not be more than it gives.
func (e *Detector) chosen(out map[string]*onnx.Tensor, n int, o metric.NMSOptions) ([][]metric.Detection, error) {
	boxes, scores, classes, counts := out[OutBoxes], out[OutScores], out[OutClasses], out[OutCount]
	k := scores.Len() / max(int(scores.Shape[0]), 1)
	if boxes.DType != onnx.Float || scores.DType != onnx.Float || classes.DType != onnx.Int64 || counts.DType != onnx.Int64 ||
		scores.Len() < n*k || boxes.Len() != 4*scores.Len() || classes.Len() != scores.Len() || counts.Len() < n {
		return nil, fmt.Errorf("outputs %s %v, %s %v, %s %v, %s %v are no detections", OutBoxes, boxes.Shape, OutScores, scores.Shape, OutClasses, classes.Shape, OutCount, counts.Shape)
	}
	found := make([][]metric.Detection, n)
	for i := range found {
		for j := i * k; j < i*k+min(int(onnx.Data[int64](counts)[i]), k); j++ {
			box, conf, class := onnx.Data[float32](boxes)[4*j:], onnx.Data[float32](scores)[j], int(onnx.Data[int64](classes)[j])
			if float64(conf) <= o.Conf {
				continue
			}
			if class < 0 || len(e.Names) > 0 && class >= len(e.Names) {
				return nil, fmt.Errorf("output %s holds %d for %d classes", OutClasses, class, len(e.Names))
			}
			found[i] = append(found[i], metric.Detection{X1: box[0], Y1: box[1], X2: box[2], Y2: box[3], Conf: conf, Class: class})
		}
		found[i] = metric.Replace(found[i], o)
	}
	return found, nil
}

// rows takes the decoded rows of n pictures from a graph's outputs.
func (e *Detector) rows(out map[string]*onnx.Tensor, n int) (*onnx.Tensor, error) {
	rows := out[e.output]
	if len(rows.Shape) != 3 || int(rows.Shape[0]) != n || rows.Shape[2] < 6 {
		return nil, &disk.InputError{Path: e.Path, Err: fmt.Errorf("output %s is %v for %d pictures, want [N, rows, 5+classes]", e.output, rows.Shape, n)}
	}
	if classes := int(rows.Shape[2]) - 5; len(e.Names) != classes {
		if len(e.Names) > 0 {
			return nil, &disk.InputError{Path: e.Path, Err: fmt.Errorf("metadata names %d classes, output %s has %d", len(e.Names), e.output, classes)}
		}
		_ = e.readNames("", classes)
	}
	return rows, nil
}

// find reduces the rows of the first n pictures to detections.
func (e *Detector) find(rows *onnx.Tensor, n int, o metric.NMSOptions) [][]metric.Detection {
	values := onnx.Data[float32](rows.AsFloat())
	each := int(rows.Shape[1] * rows.Shape[2])
	found := make([][]metric.Detection, n)
	var group workers.Group
	for i := range n {
		group.Go(func() { found[i] = metric.NMS(values[i*each:(i+1)*each], int(rows.Shape[2])-5, o) })
	}
	group.Wait()
	return found
}
