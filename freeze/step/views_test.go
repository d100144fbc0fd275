package step

import (
	"math"
	"slices"
	"testing"

	"yolofreeze/dataset/metric"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/yolov5"
)

// TestViewPictures: sizes, padding and pixels of a scaled and mirrored view, by hand: of four
// columns 0, 60, 120, 180 two remain, each the mean of two.
func TestViewPictures(t *testing.T) {
	images := slices.Repeat([]uint8{0, 60, 120, 180}, 3*4)
	for mirrored, want := range map[bool][2]float32{false: {30. / 255, 150. / 255}, true: {150. / 255, 30. / 255}} {
		got := scale{factor: 0.5, mirrored: mirrored}.pictures(images, 1, 4, 4, 4)
		if !slices.Equal(got.Shape, []int64{1, 3, 4, 4}) {
			t.Fatalf("shape %v", got.Shape)
		}
		row := onnx.Data[float32](got)[:4]
		for i, v := range []float32{want[0], want[1], 0.447, 0.447} {
			if math.Abs(float64(row[i]-v)) > 1e-6 {
				t.Errorf("mirrored %t: row %v, want %v and padding", mirrored, row, want)
			}
		}
		if below := onnx.Data[float32](got)[2*4]; below != 0.447 {
			t.Errorf("below is %g", below)
		}
	}
}

// TestViewRestore: what is seen in a mirrored view of half the size lies where it is.
func TestViewRestore(t *testing.T) {
	rows := []float32{10, 20, 4, 6, 0.9, 1}
	scale{factor: 0.5, mirrored: true}.restore(rows, 6, 100)
	if !slices.Equal(rows, []float32{80, 40, 8, 12, 0.9, 1}) {
		t.Errorf("%v", rows)
	}
}

// TestViews: one view of one network finds what the network finds; two networks say twice as
// much; and augmented inference leaves out the levels that YOLOv5 leaves out.
func TestViews(t *testing.T) {
	net, err := yolov5.ParseTable(tinyTable(), 2)
	if err != nil {
		t.Fatal(err)
	}
	state, err := net.Init(1)
	if err != nil {
		t.Fatal(err)
	}
	images := make([]uint8, 2*3*64*96)
	for i := range images {
		images[i] = uint8(i * 7919)
	}
	o := ort.Options{}
	d, err := NewDetector(net, state, o)
	if err != nil {
		t.Skipf("tier ort: %v", err)
	}
	defer d.Close()
	nms := metric.NMSOptions{Conf: 1e-6, IoU: 0.5, MaxDet: 5}
	want, err := d.Detect(images, 2, 64, 96, nms)
	if err != nil {
		t.Fatal(err)
	}
	count := func(list []Weighted, augment bool) (rows int, found [][]metric.Detection) {
		v, err := NewViews(list, augment, onnx.Undefined, o)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		all, err := v.Rows(images, 2, 64, 96, 0)
		if err != nil {
			t.Fatal(err)
		}
		for row := range slices.Chunk(all[1], 5+net.NC) {
			if row[4] > 0 {
				rows++
			}
		}
		if found, err = v.Detect(images, 2, 64, 96, nms); err != nil {
			t.Fatal(err)
		}
		return rows, found
	}
	one := Weighted{net, state}
	cells := func(height, width int) (list []int) {
		for i, s := range net.Strides {
			list = append(list, height/int(s)*(width/int(s))*len(net.Anchors[i]))
		}
		return list
	}
	each := cells(64, 96) // as many in 0.83 and 0.67 of it, padded to strides of 32
	rows, found := count([]Weighted{one}, false)
	if rows != each[0]+each[1] {
		t.Errorf("%d rows of one view", rows)
	}
	for i := range want {
		for k, w := range want[i] {
			if g := found[i][k]; g.Class != w.Class || math.Abs(float64(g.Conf-w.Conf)) > 1e-5 || math.Abs(float64(g.X1-w.X1)) > 1e-2 {
				t.Errorf("picture %d: %v, alone %v", i, g, w)
			}
		}
	}
	if rows, _ := count([]Weighted{one, one}, false); rows != 2*(each[0]+each[1]) {
		t.Errorf("%d rows of an ensemble of two", rows)
	}
	if rows, _ := count([]Weighted{one}, true); rows != 2*(each[0]+each[1]) {
		t.Errorf("%d rows of augmented inference, want %d", rows, 2*(each[0]+each[1]))
	}
}

// tinyTable is a network of two levels.
func tinyTable() map[string]any {
	row := func(from any, kind string, args ...any) any { return []any{from, int64(1), kind, args} }
	n := func(v int) any { return int64(v) }
	return map[string]any{
		"depth_multiple": 1.0, "width_multiple": 1.0, "nc": n(2),
		"anchors":  []any{[]any{n(10), n(13), n(16), n(30)}, []any{n(30), n(61), n(62), n(45)}},
		"backbone": []any{row(n(-1), "Conv", n(8), n(6), n(4), n(1)), row(n(-1), "Conv", n(8), n(3), n(2))},
		"head":     []any{row(n(-1), "Conv", n(8), n(3), n(2)), row([]any{n(1), n(2)}, "Detect", "nc", "anchors")},
	}
}
