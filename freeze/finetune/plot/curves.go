package plot

import (
	"fmt"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"yolofreeze/dataset/metric"
)

const (
	namedClasses = 20  // more are drawn in grey, without names
	meanShare    = .05 // of a curve, over which its mean is smoothed before its peak is read
)

// Curve is a figure of classes over confidence.
type Curve struct {
	name string // of the y axis
	of   func(*metric.ClassResult) []float64
}

// The curves over confidence.
var (
	F1        = Curve{"F1", func(c *metric.ClassResult) []float64 { return c.F1Curve }}
	Precision = Curve{"Precision", func(c *metric.ClassResult) []float64 { return c.PCurve }}
	Recall    = Curve{"Recall", func(c *metric.ClassResult) []float64 { return c.RCurve }}
)

// OverConfidence draws a curve of every class over confidence, and their mean.
func OverConfidence(path string, r *metric.Result, names []string, c Curve) error {
	mean, peak, at := boxSmooth(meanOf(r, c.of), meanShare), 0., 0.
	for i, v := range mean {
		if v > peak {
			peak, at = v, share(i, len(mean))
		}
	}
	label := func(k *metric.ClassResult) string { return nameOf(names, k.Class) }
	return drawCurves(path, newPlot(c.name+"-Confidence Curve", "Confidence", c.name), r, c.of, mean, label,
		fmt.Sprintf("all classes %.2f at %.3f", peak, at))
}

// PrecisionRecall draws precision over recall at the first IoU threshold.
func PrecisionRecall(path string, r *metric.Result, names []string) error {
	label := func(k *metric.ClassResult) string { return fmt.Sprintf("%s %.3f", nameOf(names, k.Class), k.AP50) }
	of := func(k *metric.ClassResult) []float64 { return k.PRCurve }
	return drawCurves(path, newPlot("Precision-Recall Curve", "Recall", "Precision"), r, of, meanOf(r, of), label,
		fmt.Sprintf("all classes %.3f mAP@0.5", r.MAP50))
}

func drawCurves(path string, p *plot.Plot, r *metric.Result, of func(*metric.ClassResult) []float64, mean []float64, label func(*metric.ClassResult) string, all string) error {
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	addGrid(p)
	entries := plot.NewLegend()
	entries.TextStyle.Font.Variant, entries.TextStyle.Font.Size = sans, 10
	entries.Top, entries.Left, entries.ThumbnailWidth, entries.Padding = true, true, 16, 1
	for i := range r.PerClass {
		c := &r.PerClass[i]
		l, err := line(unit(of(c)), grey, .8)
		if err != nil || l == nil {
			return err
		}
		if len(r.PerClass) <= namedClasses {
			others := tab[1:] // the first is the mean's
			l.Color, l.Width = others[i%len(others)], 1
			l.Dashes = [][]vg.Length{nil, {4, 2}, {1, 2}}[i/len(others)%3]
			entries.Add(shortened(label(c)), l)
		}
		p.Add(l)
	}
	l, err := line(unit(mean), tab[0], 3)
	if err != nil {
		return err
	}
	if l != nil {
		p.Add(l)
		entries.Add(all, l)
	}
	return saveBeside(path, p, &entries)
}

// saveBeside draws a plot with its legend to the right of it.
func saveBeside(path string, p *plot.Plot, entries *plot.Legend) error {
	return saveFunc(path, size{9 * vg.Inch, 6 * vg.Inch, 250}, func(c draw.Canvas) {
		p.Draw(draw.Crop(c, 8, -2.6*vg.Inch, 8, -8))
		entries.Draw(draw.Crop(c, 6.5*vg.Inch, 0, 8, -28))
	})
}

// shortened cuts a name to what the legend has room for.
func shortened(name string) string {
	const most = 28
	if letters := []rune(name); len(letters) > most {
		return string(letters[:most/2]) + "…" + string(letters[len(letters)-most/2+1:])
	}
	return name
}

// unit spreads values over x from 0 to 1.
func unit(values []float64) plotter.XYs {
	points := make(plotter.XYs, len(values))
	for i, v := range values {
		points[i] = plotter.XY{X: share(i, len(values)), Y: v}
	}
	return points
}

func share(i, n int) float64 { return float64(i) / float64(max(n-1, 1)) }

// meanOf averages a curve over classes.
func meanOf(r *metric.Result, of func(*metric.ClassResult) []float64) []float64 {
	var mean []float64
	for i := range r.PerClass {
		curve := of(&r.PerClass[i])
		if mean == nil {
			mean = make([]float64, len(curve))
		}
		for k, v := range curve {
			mean[k] += v / float64(len(r.PerClass))
		}
	}
	return mean
}

// boxSmooth averages over a share of the values, the ends repeated.
func boxSmooth(values []float64, part float64) []float64 {
	reach := int(float64(len(values))*part) / 2
	out := make([]float64, len(values))
	for i := range values {
		for k := i - reach; k <= i+reach; k++ {
			out[i] += values[min(max(k, 0), len(values)-1)] / float64(2*reach+1)
		}
	}
	return out
}

// nameOf is a class's name, its number where it has none.
func nameOf(names []string, class int) string {
	if class >= 0 && class < len(names) {
		return names[class]
	}
	return fmt.Sprint(class)
}

// Evaluation draws what a validation found, curves and, of up to 1000 classes, the confusion matrix, by the names
// of their files.
func Evaluation(r *metric.Result, names []string) map[string]func(path string) error {
	plots := map[string]func(string) error{
		"PR_curve.png": func(path string) error { return PrecisionRecall(path, r, names) },
	}
	if r.Confusion.Classes <= mostDrawn {
		plots["confusion_matrix.png"] = func(path string) error { return Confusion(path, &r.Confusion, names) }
	}
	for name, curve := range map[string]Curve{"F1": F1, "P": Precision, "R": Recall} {
		plots[name+"_curve.png"] = func(path string) error { return OverConfidence(path, r, names, curve) }
	}
	return plots
}
