package step

import (
	"fmt"
	"math"

	"yolofreeze/dataset/metric"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/workers"
	"yolofreeze/onnx/yolov5"
)

// Weighted is a network with its weights.
type Weighted struct {
	Net   *yolov5.Network
	State map[string]*onnx.Tensor
}

// Views find objects by all that several networks put out for a picture, and each of them
// for several sizes of it: YOLOv5's ensembles and its augmented inference.
type Views struct {
	detectors []*Detector // graphs of float32 pictures in 0…1
	scales    []scale
}

// scale is a size at which a picture is looked at.
type scale struct {
	factor             float64
	mirrored           bool // left to right
	noCoarse, noFinest bool // without the rows of the level with the largest, the smallest stride
}

// YOLOv5's three: what is large is looked for in the small picture, what is small in the large one.
var augmented = []scale{{factor: 1, noCoarse: true}, {factor: 0.83, mirrored: true}, {factor: 0.67, noFinest: true}}

// NewViews opens the networks, which have the same classes; augment asks for three sizes.
func NewViews(list []Weighted, augment bool, products onnx.DType, o ort.Options) (*Views, error) {
	if err := fits(o.Device, products); err != nil {
		return nil, err
	}
	v := &Views{scales: []scale{{factor: 1}}}
	if augment {
		v.scales = augmented
	}
	for _, w := range list {
		b, heads, err := Inference(w.Net, w.State, onnx.Float, pass.AnyPictures())
		m, err := evalModel(b, heads, err)
		if err == nil && products != onnx.Undefined {
			err = pass.Run(m, pass.Mixed(products, TargetOf(o.Device))...)
		}
		var d *Detector
		if err == nil {
			d, err = OpenDetector(w.Net, m, o)
		}
		if err != nil {
			v.Close()
			return nil, err
		}
		v.detectors = append(v.detectors, d)
	}
	return v, nil
}

// Close releases the sessions.
func (v *Views) Close() {
	for _, d := range v.detectors {
		d.Close()
	}
}

// Device says where the graphs run.
func (v *Views) Device() ort.Device { return v.detectors[0].Device() }

// Detect finds the objects of n pictures, RGB planes [N,3,height,width], in pixels of these planes.
func (v *Views) Detect(images []uint8, n, height, width int, o metric.NMSOptions) ([][]metric.Detection, error) {
	rows, err := v.Rows(images, n, height, width, o.Conf)
	if err != nil {
		return nil, err
	}
	found := make([][]metric.Detection, n)
	var group workers.Group
	for i := range n {
		group.Go(func() { found[i] = metric.NMS(rows[i], v.detectors[0].Net.NC, o) })
	}
	group.Wait()
	return found, nil
}

// Rows are what all views of each of n pictures say above a confidence, as metric.NMS takes them.
func (v *Views) Rows(images []uint8, n, height, width int, conf float64) ([][]float32, error) {
	rows, errs := make([][]float32, n), make([]error, n)
	for _, d := range v.detectors {
		for _, s := range v.scales {
			in := s.pictures(images, n, height, width, int(d.Net.MaxStride()))
			heads := d.Heads(n, int(in.Shape[2]), int(in.Shape[3]))
			if err := d.ForwardFrom(map[string]*onnx.Tensor{ImagesName: in}, heads); err != nil {
				return nil, err
			}
			s.silence(d.Net, heads)
			var group workers.Group
			for i := range n {
				group.Go(func() {
					more, err := d.Net.Rows(PictureOf(heads, i), conf)
					s.restore(more, 5+d.Net.NC, width)
					rows[i] = append(rows[i], more...)
					if err != nil {
						errs[i] = err
					}
				})
			}
			group.Wait()
		}
	}
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("views of a picture: %w", err)
		}
	}
	return rows, nil
}

// pictures is float32 [N,3,H,W] in 0…1, resized as PyTorch's bilinear interpolation does
// without aligned corners, and padded right and below to multiples of the stride.
func (s scale) pictures(images []uint8, n, height, width, stride int) *onnx.Tensor {
	h, w, fullH, fullW := height, width, height, width
	if s.factor != 1 {
		h, w = int(float64(height)*s.factor), int(float64(width)*s.factor)
		up := func(side int) int {
			return int(math.Ceil(float64(side)*s.factor/float64(stride))) * stride
		}
		fullH, fullW = up(height), up(width)
	}
	out := onnx.NewTensor(onnx.Float, int64(n), 3, int64(fullH), int64(fullW))
	data := onnx.Data[float32](out)
	rows, columns := taps(height, h), taps(width, w)
	if s.mirrored {
		for i := range columns {
			columns[i].first, columns[i].second = width-1-columns[i].first, width-1-columns[i].second
		}
	}
	var group workers.Group
	for p := range 3 * n {
		group.Go(func() {
			src, dst := images[p*height*width:(p+1)*height*width], data[p*fullH*fullW:(p+1)*fullH*fullW]
			for i := range dst {
				dst[i] = 0.447 // the mean of ImageNet
			}
			for y, r := range rows {
				a, b := src[r.first*width:], src[r.second*width:]
				for x, c := range columns {
					top := float32(a[c.first])*(1-c.share) + float32(a[c.second])*c.share
					bottom := float32(b[c.first])*(1-c.share) + float32(b[c.second])*c.share
					dst[y*fullW+x] = (top*(1-r.share) + bottom*r.share) / 255
				}
			}
		})
	}
	group.Wait()
	return out
}

// tap is which two pixels of a line a new one lies between, and the second's share of it.
type tap struct {
	first, second int
	share         float32
}

func taps(from, to int) []tap {
	list := make([]tap, to)
	for i := range list {
		at := max((float32(i)+0.5)*(float32(from)/float32(to))-0.5, 0)
		first := min(int(at), from-1)
		list[i] = tap{first, min(first+1, from-1), at - float32(first)}
	}
	return list
}

// silence takes the levels out whose rows are not wanted: no cell of them has an object.
func (s scale) silence(net *yolov5.Network, heads []*onnx.Tensor) {
	at := 0
	for _, branch := range net.Detects() {
		for i := range branch.Strides {
			if s.noCoarse && i == len(branch.Strides)-1 || s.noFinest && i == 0 {
				for k := range onnx.Data[float32](heads[at]) {
					onnx.Data[float32](heads[at])[k] = float32(math.Inf(-1))
				}
			}
			at++
		}
	}
}

// restore brings rows to pixels of the whole picture.
func (s scale) restore(rows []float32, columns, width int) {
	for ; len(rows) >= columns; rows = rows[columns:] {
		for k := range 4 {
			rows[k] /= float32(s.factor)
		}
		if s.mirrored {
			rows[0] = float32(width) - rows[0]
		}
	}
}
