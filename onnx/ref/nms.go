package ref

import (
	"cmp"
	"slices"
)

// nonMaxSuppression lists (picture, class, box) of what stays: of each picture and class
// the boxes by falling score, without those that overlap a better one by more than the
// limit. Of equal scores the lower index comes first.
func nonMaxSuppression(c *call) *Array {
	boxes, scores := c.in[0], c.in[1]
	need(boxes.rank() == 3 && scores.rank() == 3 && boxes.Shape[2] == 4 && boxes.Shape[0] == scores.Shape[0] && boxes.Shape[1] == scores.Shape[2],
		"boxes %v, scores %v", boxes.Shape, scores.Shape)
	number := func(i int, otherwise float64) float64 {
		if c.has(i) {
			return c.single(i)
		}
		return otherwise
	}
	most, overlap := toInt(number(2, 0)), number(3, 0)
	n, corners := boxes.Shape[1], c.corners(boxes)
	var kept []float64
	for plane := range scores.Shape[0] * scores.Shape[1] {
		picture, class := plane/scores.Shape[1], plane%scores.Shape[1]
		score, box := scores.Data[plane*n:(plane+1)*n], corners[picture*n:(picture+1)*n]
		var order, chosen []int64
		for i, s := range score {
			if !c.has(4) || s > c.single(4) {
				order = append(order, int64(i))
			}
		}
		slices.SortStableFunc(order, func(i, j int64) int { return cmp.Compare(score[j], score[i]) })
		for _, i := range order {
			if int64(len(chosen)) < most && !slices.ContainsFunc(chosen, func(j int64) bool { return iou(box[i], box[j]) > overlap }) {
				chosen = append(chosen, i)
				kept = append(kept, float64(picture), float64(class), float64(i))
			}
		}
	}
	return &Array{[]int64{int64(len(kept)) / 3, 3}, kept}
}

// corners returns each box as its lower and its upper corner, whichever way it is given.
func (c *call) corners(boxes *Array) [][4]float64 {
	centred := c.Int("center_point_box", 0) != 0
	var out [][4]float64
	for b := range slices.Chunk(boxes.Data, 4) {
		if centred {
			out = append(out, [4]float64{b[0] - b[2]/2, b[1] - b[3]/2, b[0] + b[2]/2, b[1] + b[3]/2})
		} else {
			out = append(out, [4]float64{min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])})
		}
	}
	return out
}

// iou is the share of the union of two boxes that they have in common, 0 where that is empty.
func iou(a, b [4]float64) float64 {
	area := func(x [4]float64) float64 { return (x[2] - x[0]) * (x[3] - x[1]) }
	common := max(0, min(a[2], b[2])-max(a[0], b[0])) * max(0, min(a[3], b[3])-max(a[1], b[1]))
	if common <= 0 {
		return 0
	}
	return common / (area(a) + area(b) - common)
}
