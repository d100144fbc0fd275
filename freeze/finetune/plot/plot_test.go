package plot

import (
	"fmt"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"yolofreeze/dataset"
	"yolofreeze/dataset/metric"
)

// folder is where pictures go: kept where the variable names a folder, to look at.
func folder(t *testing.T) string {
	if dir := os.Getenv("YOLOFREEZE_KEEP_PLOTS"); dir != "" {
		return dir
	}
	return t.TempDir()
}

// found is a result of classes whose detections are right more often the
// surer they are.
func found(t *testing.T, classes int) (*metric.Result, []string) {
	t.Helper()
	random, e := rand.New(rand.NewPCG(1, 2)), metric.NewEvaluator(classes)
	names := make([]string, classes)
	for i := range names {
		names[i] = fmt.Sprintf("class %d", i)
	}
	for range 40 * classes {
		c, conf := random.IntN(classes), random.Float32()
		label := metric.LabelBox{Class: c, X1: 10, Y1: 10, X2: 50, Y2: 60}
		shift := float32(random.Float64()) * 30 * (1 - conf)
		guess := c
		if random.Float32() > conf {
			guess = random.IntN(classes)
		}
		if err := e.Add([]metric.Detection{{X1: 10 + shift, Y1: 10, X2: 50 + shift, Y2: 60, Conf: conf, Class: guess}}, []metric.LabelBox{label}); err != nil {
			t.Fatal(err)
		}
	}
	r := e.Result()
	return &r, names
}

// objects are samples with boxes of three classes.
func objects() []dataset.Sample {
	random := rand.New(rand.NewPCG(3, 4))
	samples := make([]dataset.Sample, 100)
	for i := range samples {
		samples[i] = dataset.Sample{Width: 640, Height: 480}
		for range 6 {
			w, h := .05+.4*random.Float64(), .05+.5*random.Float64()
			samples[i].Labels = append(samples[i].Labels, dataset.Label{Class: random.IntN(3),
				X: w/2 + (1-w)*random.Float64(), Y: h/2 + (1-h)*random.Float64(), W: w, H: h})
		}
	}
	return samples
}

// TestPictures draws each kind of picture, of much and of nothing.
func TestPictures(t *testing.T) {
	few, fewNames := found(t, 5)
	many, manyNames := found(t, 45)
	none := &metric.Result{Confusion: metric.Confusion{Classes: 1}}
	var titles [Panels]string
	var values [Panels][]float64
	epochs := make([]float64, 40)
	for i := range titles {
		titles[i] = fmt.Sprintf("panel %d", i)
		for e := range epochs {
			epochs[e] = float64(e)
			values[i] = append(values[i], 1/float64(e+i+1)+.02*math.Sin(float64(e*e)))
		}
	}
	values[3][0] = math.NaN()
	lone := Series{Name: "lone", Epochs: epochs[:1]}
	for i := range lone.Values {
		lone.Values[i] = values[i][:1]
	}
	cases := map[string]func(path string) error{
		"results.png":          func(p string) error { return Results(p, titles, []Series{{"results", epochs, values}}) },
		"results_lone.png":     func(p string) error { return Results(p, titles, []Series{lone}) },
		"results_none.png":     func(p string) error { return Results(p, titles, nil) },
		"PR_curve.png":         func(p string) error { return PrecisionRecall(p, few, fewNames) },
		"PR_many.png":          func(p string) error { return PrecisionRecall(p, many, manyNames) },
		"PR_none.png":          func(p string) error { return PrecisionRecall(p, none, nil) },
		"F1_curve.png":         func(p string) error { return OverConfidence(p, few, fewNames, F1) },
		"P_curve.png":          func(p string) error { return OverConfidence(p, few, fewNames, Precision) },
		"R_none.png":           func(p string) error { return OverConfidence(p, none, nil, Recall) },
		"confusion_matrix.png": func(p string) error { return Confusion(p, &few.Confusion, fewNames) },
		"confusion_many.png":   func(p string) error { return Confusion(p, &many.Confusion, manyNames) },
		"confusion_none.png":   func(p string) error { return Confusion(p, &none.Confusion, []string{"thing"}) },
		"labels.jpg":           func(p string) error { return Labels(p, objects(), []string{"cat", "dog", "bird"}) },
		"labels_none.jpg":      func(p string) error { return Labels(p, nil, []string{"cat"}) },
		"correlogram.jpg":      func(p string) error { return Correlogram(p, objects()) },
		"correlogram_none.jpg": func(p string) error { return Correlogram(p, nil) },
	}
	for name, draw := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(folder(t), name)
			if err := draw(path); err != nil {
				t.Fatal(err)
			}
			checkPicture(t, path)
		})
	}
}

// checkPicture wants a readable picture that is not all of one colour.
func checkPicture(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, format, err := image.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{".png": "png", ".jpg": "jpeg"}[filepath.Ext(path)]; format != want {
		t.Errorf("written as %s, want %s", format, want)
	}
	seen := map[any]bool{}
	for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y += 3 {
		for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x += 3 {
			seen[img.At(x, y)] = true
		}
	}
	if len(seen) < 3 {
		t.Errorf("%d colours", len(seen))
	}
}

func TestSaveFails(t *testing.T) {
	r, names := found(t, 2)
	if err := PrecisionRecall(filepath.Join(t.TempDir(), "absent", "x.png"), r, names); err == nil {
		t.Error("no error of a folder that is not there")
	}
	if err := PrecisionRecall(filepath.Join(t.TempDir(), "x.png"), r, nil); err != nil {
		t.Errorf("without names: %v", err)
	}
}

// TestGaussian smooths a step; the numbers are those of
// scipy.ndimage.gaussian_filter1d, which YOLOv5 draws with.
func TestGaussian(t *testing.T) {
	step := make(plotter.XYs, 10)
	for i := range step {
		step[i] = plotter.XY{X: float64(i), Y: float64(i / 5)}
	}
	want := []float64{0.09862656, 0.13530064, 0.20721896, 0.30986127, 0.43402184, 0.56597816, 0.69013873, 0.79278104, 0.86469936, 0.90137344}
	for i, p := range gaussian(step, 3) {
		if math.Abs(p.Y-want[i]) > 1e-8 || p.X != float64(i) {
			t.Errorf("at %g %g, want %g", p.X, p.Y, want[i])
		}
	}
}

func TestBoxSmooth(t *testing.T) {
	values := make([]float64, 100)
	values[50] = 1
	for i, v := range boxSmooth(values, .05) {
		want := 0.
		if i >= 48 && i <= 52 {
			want = .2
		}
		if math.Abs(v-want) > 1e-12 {
			t.Errorf("at %d %g, want %g", i, v, want)
		}
	}
}

// TestTicks: steps of 1, 2 or 5, whole numbers where asked, none of no range.
func TestTicks(t *testing.T) {
	for _, c := range []struct {
		low, high, least float64
		want             string
	}{
		{0, 1, 0, "[0.0 0.2 0.4 0.6 0.8 1.0]"}, {-2, 42, 1, "[0 10 20 30 40]"}, {-.5, .5, 1, "[0]"}, {0, 3, 1, "[0 1 2 3]"},
		{.11, .29, 0, "[0.15 0.20 0.25]"}, {1, 1, 0, "[]"}, {-1, 1, 0, "[-1.0 -0.5 0.0 0.5 1.0]"}, {math.NaN(), 1, 0, "[]"},
	} {
		labels := []string{}
		for _, tick := range roundTicks(c.least).Ticks(c.low, c.high) {
			labels = append(labels, tick.Label)
		}
		if got := fmt.Sprint(labels); got != c.want {
			t.Errorf("from %g to %g: %s, want %s", c.low, c.high, got, c.want)
		}
	}
}

// TestWiden: an axis of one value, or of none, still has a length.
func TestWiden(t *testing.T) {
	for _, c := range [][4]float64{{0, 1, -.05, 1.05}, {2, 2, 1.1, 2.9}, {2, 2 + 1e-15, 1.1, 2.9}, {0, 0, -.5, .5}, {math.Inf(1), math.Inf(-1), -.05, 1.05}} {
		a := plot.Axis{Min: c[0], Max: c[1]}
		if widen(&a); math.Abs(a.Min-c[2]) > 1e-9 || math.Abs(a.Max-c[3]) > 1e-9 {
			t.Errorf("%v became %g to %g", c, a.Min, a.Max)
		}
	}
}
