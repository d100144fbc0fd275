package metric

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

const (
	curvePoints   = 1000 // confidences of the P, R and F1 curves, recalls of the PR curve
	f1SmoothShare = .1
)

// Evaluator gathers the detections and labels of a split, picture by picture.
// Thresholds and Method may be changed before the first Add.
type Evaluator struct {
	Thresholds []float32 // IoU thresholds, .50 … .95 unless changed; 64 at most
	Method     Method

	classes   int
	pictures  int
	instances []int // labels per class
	images    []int // pictures per class
	found     []scored
	confusion Confusion
}

// scored is one detection, reduced to what average precision needs.
type scored struct {
	conf  float32
	class int32
	hits  Hits
}

// NewEvaluator returns an evaluator for the given number of classes.
func NewEvaluator(classes int) *Evaluator {
	return &Evaluator{
		Thresholds: COCOThresholds(), classes: classes,
		instances: make([]int, classes), images: make([]int, classes), confusion: newConfusion(classes),
	}
}

// Add takes one picture's detections, sorted by falling confidence, and its
// labels, both in pixels of the original picture. A class outside the
// evaluator's range is an error.
func (e *Evaluator) Add(dets []Detection, labels []LabelBox) error {
	if len(e.Thresholds) == 0 || len(e.Thresholds) > maxThresholds {
		return fmt.Errorf("evaluate: %d iou thresholds, want 1 to %d", len(e.Thresholds), maxThresholds)
	}
	for _, d := range dets {
		if d.Class < 0 || d.Class >= e.classes {
			return fmt.Errorf("evaluate: detection of class %d, want 0 to %d", d.Class, e.classes-1)
		}
	}
	for _, l := range labels {
		if l.Class < 0 || l.Class >= e.classes {
			return fmt.Errorf("evaluate: label of class %d, want 0 to %d", l.Class, e.classes-1)
		}
	}
	e.pictures++
	for i, l := range labels {
		e.instances[l.Class]++
		if !slices.ContainsFunc(labels[:i], func(o LabelBox) bool { return o.Class == l.Class }) {
			e.images[l.Class]++
		}
	}
	for i, h := range Match(dets, labels, e.Thresholds) {
		e.found = append(e.found, scored{dets[i].Conf, int32(dets[i].Class), h})
	}
	e.confusion.add(dets, labels)
	return nil
}

// Result is what validation reports. Precision, recall and F1 belong to the
// confidence at which the mean F1 over classes, smoothed, is highest; all means
// go over the classes that occur in the labels.
type Result struct {
	Images, Instances int
	Precision, Recall float64
	F1                float64
	MAP50             float64 // at the first threshold
	MAP               float64 // mean over all thresholds
	Confidence        float64 // where precision, recall and F1 were read
	PerClass          []ClassResult
	Confusion         Confusion
}

// ClassResult is one class that occurs in the labels. The curves have 1000
// points: P, R and F1 over confidence, PR (precision) over recall, from 0 to 1.
type ClassResult struct {
	Class             int
	Images, Instances int
	P, R, F1          float64
	AP50, AP          float64
	APs               []float64 // per threshold
	TP, FP            int       // at Result.Confidence

	PCurve, RCurve, F1Curve, PRCurve []float64
}

// Result computes the figures of what was added so far.
func (e *Evaluator) Result() Result {
	res := Result{Images: e.pictures, Confusion: e.confusion}
	res.Confusion.Counts = maps.Clone(e.confusion.Counts)
	byClass := e.sorted()
	meanF1 := make([]float64, curvePoints)
	for c, n := range e.instances {
		if n == 0 {
			continue
		}
		res.Instances += n
		cr := e.class(c, byClass[c])
		for i, v := range cr.F1Curve {
			meanF1[i] += v
		}
		res.PerClass = append(res.PerClass, cr)
	}
	if len(res.PerClass) == 0 {
		return res
	}
	at := argmax(smooth(meanF1, f1SmoothShare))
	res.Confidence = float64(at) / (curvePoints - 1)
	for i := range res.PerClass {
		c := &res.PerClass[i]
		c.P, c.R, c.F1 = c.PCurve[at], c.RCurve[at], c.F1Curve[at]
		tp := math.RoundToEven(c.R * float64(c.Instances))
		c.TP, c.FP = int(tp), int(math.RoundToEven(tp/(c.P+tiny)-tp))
		res.Precision += c.P
		res.Recall += c.R
		res.F1 += c.F1
		res.MAP50 += c.AP50
		res.MAP += c.AP
	}
	for _, mean := range []*float64{&res.Precision, &res.Recall, &res.F1, &res.MAP50, &res.MAP} {
		*mean /= float64(len(res.PerClass))
	}
	return res
}

const tiny = 1e-16 // keeps quotients of zeros at 0

// sorted returns each class's detections by falling confidence.
func (e *Evaluator) sorted() [][]scored {
	byClass := make([][]scored, e.classes)
	for _, s := range e.found {
		byClass[s.class] = append(byClass[s.class], s)
	}
	for _, list := range byClass {
		slices.SortStableFunc(list, func(a, b scored) int {
			switch {
			case a.conf > b.conf:
				return -1
			case a.conf < b.conf:
				return 1
			}
			return 0
		})
	}
	return byClass
}

// class computes the curves and average precisions of one class.
func (e *Evaluator) class(c int, found []scored) ClassResult {
	curve := func() []float64 { return make([]float64, curvePoints) }
	cr := ClassResult{
		Class: c, Images: e.images[c], Instances: e.instances[c], APs: make([]float64, len(e.Thresholds)),
		PCurve: curve(), RCurve: curve(), F1Curve: curve(), PRCurve: curve(),
	}
	if len(found) == 0 {
		return cr
	}
	falling := make([]float64, len(found)) // negated, so that it rises
	for i, s := range found {
		falling[i] = -float64(s.conf)
	}
	recall, precision := make([]float64, len(found)), make([]float64, len(found))
	for t := range e.Thresholds {
		var right int
		for i, s := range found {
			if s.hits.At(t) {
				right++
			}
			recall[i] = float64(right) / float64(cr.Instances)
			precision[i] = float64(right) / float64(i+1)
		}
		cr.APs[t] = AveragePrecision(e.Method, recall, precision)
		cr.AP += cr.APs[t] / float64(len(e.Thresholds))
		if t > 0 {
			continue
		}
		r, p := envelope(recall, precision)
		for i := range curvePoints {
			x := float64(i) / (curvePoints - 1)
			cr.RCurve[i] = interpolate(-x, falling, recall, 0)
			cr.PCurve[i] = interpolate(-x, falling, precision, 1)
			cr.F1Curve[i] = 2 * cr.PCurve[i] * cr.RCurve[i] / (cr.PCurve[i] + cr.RCurve[i] + tiny)
			cr.PRCurve[i] = interpolate(x, r, p, p[0])
		}
	}
	cr.AP50 = cr.APs[0]
	return cr
}

func argmax(v []float64) int {
	best := 0
	for i := range v {
		if v[i] > v[best] {
			best = i
		}
	}
	return best
}
