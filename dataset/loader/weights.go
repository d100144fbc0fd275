package loader

import (
	"math/rand/v2"
	"sort"

	"yolofreeze/dataset"
)

// ClassWeights returns each class's share of the inverse frequencies: rare
// classes weigh more, a class without objects as much as one with a single
// object. They sum to 1.
func ClassWeights(samples []dataset.Sample, classes int) []float64 {
	counts := make([]float64, classes)
	for _, s := range samples {
		for _, l := range s.Labels {
			counts[l.Class]++
		}
	}
	var sum float64
	for c, n := range counts {
		counts[c] = 1 / max(n, 1)
		sum += counts[c]
	}
	for c := range counts {
		counts[c] /= sum
	}
	return counts
}

// ImageWeights returns each sample's weight for drawing: over its objects, the
// class's weight times (1 - mAP of the class) squared, so that pictures of
// rare and of badly found classes come more often. maps has one entry a class.
func ImageWeights(samples []dataset.Sample, classWeights, maps []float64) []float64 {
	hard := make([]float64, len(classWeights))
	for c, w := range classWeights {
		hard[c] = w * (1 - maps[c]) * (1 - maps[c])
	}
	weights := make([]float64, len(samples))
	for i, s := range samples {
		for _, l := range s.Labels {
			weights[i] += hard[l.Class]
		}
	}
	return weights
}

// weightedDraws draws n samples with replacement; weights that sum to 0 count
// as equal.
func weightedDraws(weights []float64, n int, r *rand.Rand) []int {
	upTo := make([]float64, len(weights))
	var sum float64
	for i, w := range weights {
		sum += max(w, 0)
		upTo[i] = sum
	}
	draws := make([]int, n)
	for i := range draws {
		if !(sum > 0) {
			draws[i] = r.IntN(len(weights))
			continue
		}
		at := r.Float64() * sum
		draws[i] = min(sort.Search(len(upTo), func(k int) bool { return upTo[k] > at }), len(upTo)-1)
	}
	return draws
}
