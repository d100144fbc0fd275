package yolov5_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ref"
	"yolofreeze/onnx/yolov5"
)

// TestRecordedGenerations: raw outputs of the tables in generations, with
// weights and a picture of sines, as the public implementation
// (ultralytics/yolov5 at 5081342, torch 2.11, float64) gave them: for each level
// the mean, the mean size, the first, the middle and the last value.
func TestRecordedGenerations(t *testing.T) {
	for name, want := range map[string][2][5]float64{
		"v3: Focus, BottleneckCSP, SPP": {{0.0768447, 0.481302, 0.395521, -0.622121, 0.52083}, {-0.0550593, 0.474619, -0.368639, 0.557231, -0.509818}},
		"v5: Focus, C3, SPP":            {{0.0583927, 0.349243, 0.174121, -0.518824, 0.55497}, {0.00371494, 0.520881, 0.587061, -0.91416, -0.617542}},
		"v6: C3, SPPF":                  {{0.0723613, 0.430956, -0.0367099, -0.618277, 0.800193}, {0.0035252, 0.612902, 0.679551, -1.00019, -0.638968}},
		"ghosts":                        {{0.0697609, 0.407971, 0.143993, -0.662491, 0.627342}, {0.00329286, 0.523379, 0.598295, -0.93574, -0.510754}},
		"levels from coarse to fine, groups, no activation": {{-0.00478746, 2.10231, 0.692733, -0.71207, -5.10148}, {0.0699212, 3.24105, -1.12091, -0.447881, -5.22768}},
	} {
		t.Run(name, func(t *testing.T) {
			net := generation(t, name, false)
			b := op.NewBuilder("generation")
			g := yolov5.Graph{Builder: b, Net: net, Param: func(p yolov5.Param) *onnx.Value { return b.Param(p.Name, sines(p)) }}
			heads, err := g.Forward(b.Input("images", onnx.Float, onnx.Dims(1, 3, 64, 96)))
			if err != nil {
				t.Fatal(err)
			}
			for i, h := range heads {
				b.Output(fmt.Sprint(i), h)
			}
			pixels := make([]float32, 3*64*96)
			for i := range pixels {
				pixels[i] = float32(0.5 + 0.5*math.Sin(float64(i)*0.013))
			}
			out := run(t, b, map[string]*ref.Array{"images": ref.FromTensor(onnx.Of(pixels, 1, 3, 64, 96))})
			for i := range heads {
				values := out[fmt.Sprint(i)].Data
				n := float64(len(values))
				got := [5]float64{2: values[0], values[len(values)/2], values[len(values)-1]}
				for _, v := range values {
					got[0] += v / n
					got[1] += math.Abs(v) / n
				}
				for k, w := range want[i] {
					if math.Abs(got[k]-w) > 1e-5*(1e-2+math.Abs(w)) {
						t.Errorf("level %d: %.6g, recorded %.6g", i, got, want[i])
						break
					}
				}
			}
		})
	}
}

// sines fills a tensor of the state dict with what the recording was made with.
func sines(p yolov5.Param) *onnx.Tensor {
	t := onnx.NewTensor(onnx.Float, p.Shape...)
	for i := range onnx.Data[float32](t) {
		v := math.Sin(float64(i)*0.7 + float64(len(p.Name)))
		switch {
		case p.Kind == yolov5.RunningVar:
			v = 1 + 0.5*v
		case p.Kind == yolov5.Weight:
			v *= 2 / math.Sqrt(float64(onnx.NumElements(p.Shape[1:])))
		case strings.HasSuffix(p.Name, "bn.weight"):
			v = 1 + 0.3*v
		default:
			v *= 0.2
		}
		onnx.Data[float32](t)[i] = float32(v)
	}
	return t
}
