package dataset

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

const (
	anchorRestarts   = 30   // of k-means, of which the best counts
	anchorIterations = 300  // of one k-means, at most
	anchorMutations  = 1000 // tried after it
	mutationChance   = .9   // for one side of an anchor to change
	mutationSigma    = .1
	mutationLeast    = .3 // factors of a mutation
	mutationMost     = 3
	leastAnchorSide  = 2     // pixels
	mostAnchorSizes  = 50000 // that anchors are fitted to; of more, so many are drawn
)

// BoxSizes returns width and height of every object, in pixels of its picture when that is
// scaled to fit into a size.
func BoxSizes(samples []Sample, size Size) [][2]float64 {
	var sizes [][2]float64
	for _, s := range samples {
		scale := min(float64(size.Width)/float64(max(s.Width, 1)), float64(size.Height)/float64(max(s.Height, 1)))
		for _, l := range s.Labels {
			sizes = append(sizes, [2]float64{l.W * float64(s.Width) * scale, l.H * float64(s.Height) * scale})
		}
	}
	return sizes
}

// likeness is the smallest of the four ratios between the sides of a box and
// those of an anchor: 1 for equal ones.
func likeness(size, anchor [2]float64) float64 {
	w, h := size[0]/anchor[0], size[1]/anchor[1]
	return min(w, 1/w, h, 1/h)
}

// AnchorFit says how well anchors suit boxes when training takes those pairs
// whose sides differ by less than the factor threshold: best possible recall,
// the share of boxes with any such anchor, and the mean number of them a box.
// Without boxes both are 0.
func AnchorFit(sizes, anchors [][2]float64, threshold float64) (recall, perBox float64) {
	for _, s := range sizes {
		near := 0
		for _, a := range anchors {
			if likeness(s, a) > 1/threshold {
				near++
			}
		}
		perBox += float64(near)
		if near > 0 {
			recall++
		}
	}
	n := float64(max(len(sizes), 1))
	return recall / n, perBox / n
}

// anchorFitness is the mean over boxes of the likeness of the best anchor,
// which counts only where training would take it.
func anchorFitness(sizes, anchors [][2]float64, threshold float64) float64 {
	sum := 0.
	for _, s := range sizes {
		best := 0.
		for _, a := range anchors {
			best = max(best, likeness(s, a))
		}
		if best > 1/threshold {
			sum += best
		}
	}
	return sum / float64(max(len(sizes), 1))
}

// FitAnchors finds n anchors for boxes, smallest first, as YOLOv5's AutoAnchor
// does: k-means over sides divided by their deviation, then random mutations,
// kept where they fit better. Boxes under two pixels in both sides do not
// count; where fewer than n are left there are no anchors. Equal seeds give
// equal anchors.
func FitAnchors(sizes [][2]float64, n int, threshold float64, seed uint64) [][2]float64 {
	random := rand.New(rand.NewPCG(seed, 0xa17c))
	kept := slices.Collect(func(yield func([2]float64) bool) {
		for _, s := range sizes {
			if min(s[0], s[1]) > 0 && max(s[0], s[1]) >= leastAnchorSide && !yield(s) {
				return
			}
		}
	})
	if n < 1 || len(kept) < n {
		return nil
	}
	if len(kept) > mostAnchorSizes {
		random.Shuffle(len(kept), func(i, k int) { kept[i], kept[k] = kept[k], kept[i] })
		kept = kept[:mostAnchorSizes]
	}
	anchors := kMeans(kept, n, random)
	best := anchorFitness(kept, anchors, threshold)
	for range anchorMutations {
		mutant := mutate(anchors, random)
		if f := anchorFitness(kept, mutant, threshold); f > best {
			anchors, best = mutant, f
		}
	}
	slices.SortFunc(anchors, func(a, b [2]float64) int { return cmp.Compare(a[0]*a[1], b[0]*b[1]) })
	return anchors
}

// mutate changes some sides by random factors, at least one.
func mutate(anchors [][2]float64, random *rand.Rand) [][2]float64 {
	out := make([][2]float64, len(anchors))
	for changed := false; !changed; {
		strength := random.Float64()
		for i, a := range anchors {
			for side := range a {
				factor := 1.
				if random.Float64() < mutationChance {
					factor = min(max(1+strength*mutationSigma*random.NormFloat64(), mutationLeast), mutationMost)
				}
				changed = changed || factor != 1
				out[i][side] = max(a[side]*factor, leastAnchorSide)
			}
		}
	}
	return out
}

// kMeans returns n centres of the sizes, by Lloyd's iterations from random
// sizes, the best of several starts. Sides count in units of their deviation.
func kMeans(sizes [][2]float64, n int, random *rand.Rand) [][2]float64 {
	unit := deviations(sizes)
	points := make([][2]float64, len(sizes))
	for i, s := range sizes {
		points[i] = [2]float64{s[0] / unit[0], s[1] / unit[1]}
	}
	var best [][2]float64
	least := math.Inf(1)
	for range anchorRestarts {
		centres := make([][2]float64, n)
		for i, at := range random.Perm(len(points))[:n] {
			centres[i] = points[at]
		}
		cost := math.Inf(1)
		for range anchorIterations {
			before := cost
			if cost = lloyd(points, centres, random); !(before-cost > 1e-5*cost) {
				break
			}
		}
		if cost < least {
			best, least = centres, cost
		}
	}
	for i := range best {
		best[i] = [2]float64{best[i][0] * unit[0], best[i][1] * unit[1]}
	}
	return best
}

// lloyd moves each centre to the mean of the points nearest to it, one without
// points to a random one, and returns the mean distance to the old centres.
func lloyd(points, centres [][2]float64, random *rand.Rand) float64 {
	sums, counts, cost := make([][2]float64, len(centres)), make([]int, len(centres)), 0.
	for _, p := range points {
		nearest, least := 0, math.Inf(1)
		for i, c := range centres {
			if d := (p[0]-c[0])*(p[0]-c[0]) + (p[1]-c[1])*(p[1]-c[1]); d < least {
				nearest, least = i, d
			}
		}
		sums[nearest][0] += p[0]
		sums[nearest][1] += p[1]
		counts[nearest]++
		cost += math.Sqrt(least)
	}
	for i, n := range counts {
		if n == 0 {
			centres[i] = points[random.IntN(len(points))]
			continue
		}
		centres[i] = [2]float64{sums[i][0] / float64(n), sums[i][1] / float64(n)}
	}
	return cost / float64(len(points))
}

// deviations are the standard deviations of both sides, 1 where all are equal.
func deviations(sizes [][2]float64) (unit [2]float64) {
	n := float64(len(sizes))
	for side := range unit {
		var sum, squares float64
		for _, s := range sizes {
			sum += s[side]
		}
		for _, s := range sizes {
			squares += (s[side] - sum/n) * (s[side] - sum/n)
		}
		if unit[side] = math.Sqrt(squares / n); unit[side] == 0 {
			unit[side] = 1
		}
	}
	return unit
}
