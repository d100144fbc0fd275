package finetune

import (
	"fmt"
	"os"
	"strconv"
	"sync"

	"yolofreeze/dataset/metric"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/wire"
	"yolofreeze/onnx/yolov5"
)

// Exported runs an exported .onnx file, ours or YOLOv5's, as it is: one input
// of pictures [N,3,H,W], RGB in 0…1, float32 or float16, and decoded rows
// [N, rows, 5+nc] as the first output of three dimensions.
type Exported struct {
	Path   string
	Names  []string
	Stride int // what sides are multiples of
	Batch  int // of a fixed size; 0: any
	Height int // likewise
	Width  int

	session *ort.Session
	input   ort.IO
	output  string
}

// OpenExported checks an .onnx file and opens it. Errors of the file are
// InputErrors or those of package wire.
func OpenExported(path string, o ort.Options) (*Exported, error) {
	g, err := wire.Read(path) // refuses, among others, data outside the file
	if err != nil {
		return nil, err
	}
	e := &Exported{Path: path}
	if err := e.describe(g); err != nil {
		return nil, &InputError{path, err}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	if e.session, err = ort.Open(data, o); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return e, nil
}

// describe reads what a graph takes and gives.
func (e *Exported) describe(g *onnx.Model) error {
	if len(g.Inputs) != 1 {
		return fmt.Errorf("takes %d inputs, a detector takes its pictures alone", len(g.Inputs))
	}
	in := g.Inputs[0]
	e.input = ort.IO{Name: in.Name, Type: in.Type}
	if s := in.Type.Shape; len(s) != 4 || s[1].Known() && s[1].Size != 3 || in.Type.DType != onnx.Float && in.Type.DType != onnx.Float16 {
		return fmt.Errorf("input %v: want pictures [N,3,H,W] in float32 or float16", in)
	}
	size := func(d onnx.Dim) int { return int(max(d.Size, 0)) } // Unknown is negative
	e.Batch, e.Height, e.Width = size(in.Type.Shape[0]), size(in.Type.Shape[2]), size(in.Type.Shape[3])
	columns := 0
	for _, out := range g.Outputs {
		if s := out.Type.Shape; len(s) == 3 && e.output == "" {
			e.output, columns = out.Name, size(s[2])
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

// readNames takes the names of the metadata; a file without any gets class0, class1, ….
func (e *Exported) readNames(text string, classes int) error {
	if text == "" {
		for i := range max(classes, 0) {
			e.Names = append(e.Names, fmt.Sprintf("class%d", i))
		}
		return nil
	}
	var err error
	if e.Names, err = yolov5.ParseNames(text); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	if classes > 0 && len(e.Names) != classes {
		return fmt.Errorf("metadata names %d classes, output %s has %d", len(e.Names), e.output, classes)
	}
	return nil
}

// Close releases the session.
func (e *Exported) Close() { e.session.Close() }

// Device says where the graph runs.
func (e *Exported) Device() string { return e.session.Device() }

// Detect finds the objects of n pictures, RGB planes [N,3,height,width], in
// pixels of these planes. A graph of a fixed batch is run as often as it takes.
func (e *Exported) Detect(images []uint8, n, height, width int, o metric.NMSOptions) ([][]metric.Detection, error) {
	step, area := n, 3*height*width
	if e.Batch > 0 {
		step = e.Batch
	}
	var found [][]metric.Detection
	for first := 0; first < n; first += step {
		count := min(step, n-first)
		rows, err := e.run(images[first*area:(first+count)*area], step, height, width)
		if err != nil {
			return nil, err
		}
		found = append(found, e.find(rows, count, o)...)
	}
	return found, nil
}

// run fills up to n pictures with black ones and returns the decoded rows.
func (e *Exported) run(images []uint8, n, height, width int) (*onnx.Tensor, error) {
	scaled := onnx.NewTensor(onnx.Float, int64(n), 3, int64(height), int64(width))
	for i, v := range images {
		onnx.Data[float32](scaled)[i] = float32(v) / 255
	}
	if e.input.Type.DType == onnx.Float16 {
		scaled = scaled.ToFloat16()
	}
	out, err := e.session.Run(map[string]*onnx.Tensor{e.input.Name: scaled})
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", e.Path, err)
	}
	rows := out[e.output]
	if len(rows.Shape) != 3 || int(rows.Shape[0]) != n || rows.Shape[2] < 6 {
		return nil, &InputError{e.Path, fmt.Errorf("output %s is %v for %d pictures, want [N, rows, 5+classes]", e.output, rows.Shape, n)}
	}
	if classes := int(rows.Shape[2]) - 5; len(e.Names) != classes {
		if len(e.Names) > 0 {
			return nil, &InputError{e.Path, fmt.Errorf("metadata names %d classes, output %s has %d", len(e.Names), e.output, classes)}
		}
		_ = e.readNames("", classes)
	}
	return rows, nil
}

// find reduces the rows of the first n pictures to detections.
func (e *Exported) find(rows *onnx.Tensor, n int, o metric.NMSOptions) [][]metric.Detection {
	values := onnx.Data[float32](rows.AsFloat())
	each := int(rows.Shape[1] * rows.Shape[2])
	found := make([][]metric.Detection, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { found[i] = metric.NMS(values[i*each:(i+1)*each], int(rows.Shape[2])-5, o) })
	}
	group.Wait()
	return found
}
