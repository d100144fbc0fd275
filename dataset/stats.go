package dataset

import "sort"

// Stats describes the objects of a split, or of a whole set.
type Stats struct {
	Pictures   int          `json:"pictures"`
	Background int          `json:"background"` // pictures without an object
	Objects    int          `json:"objects"`
	Classes    []ClassStats `json:"classes"`

	// Objects by size as COCO counts it, in the picture's own pixels: area under
	// 32², under 96², and above.
	Small  int `json:"small"`
	Medium int `json:"medium"`
	Large  int `json:"large"`

	Width      Range `json:"width"` // of pictures, in pixels
	Height     Range `json:"height"`
	PerPicture Range `json:"objects_per_picture"`
	BoxWidth   Range `json:"box_width"` // shares of the picture
	BoxHeight  Range `json:"box_height"`

	// Centres and Sizes count, by [y][x] and [h][w] in steps of 1/HeatSize, where
	// the centres of boxes lie and how large boxes are.
	Centres [HeatSize][HeatSize]int `json:"-"`
	Sizes   [HeatSize][HeatSize]int `json:"-"`
}

// HeatSize is the number of bins along an axis of Stats' maps.
const HeatSize = 50

// ClassStats describes one class.
type ClassStats struct {
	Name     string `json:"name"`
	Objects  int    `json:"objects"`
	Pictures int    `json:"pictures"` // that hold the class
}

// Range sums up numbers. All is zero where there are none.
type Range struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Mean   float64 `json:"mean"`
	Max    float64 `json:"max"`
}

// Stats counts what a split holds; "" means all splits, in which a picture of
// several splits counts in each.
func (s *Set) Stats(split string) *Stats {
	st := &Stats{Classes: make([]ClassStats, len(s.Names))}
	for i, name := range s.Names {
		st.Classes[i].Name = name
	}
	var widths, heights, counts, boxW, boxH []float64
	seen := make([]int, len(s.Names)) // number of the last picture with the class
	for _, name := range SplitNames {
		if split != "" && split != name {
			continue
		}
		for _, sample := range s.Splits[name] {
			st.Pictures++
			if len(sample.Labels) == 0 {
				st.Background++
			}
			widths, heights = append(widths, float64(sample.Width)), append(heights, float64(sample.Height))
			counts = append(counts, float64(len(sample.Labels)))
			for _, l := range sample.Labels {
				st.object(l, sample.Width, sample.Height)
				if seen[l.Class] != st.Pictures {
					seen[l.Class] = st.Pictures
					st.Classes[l.Class].Pictures++
				}
				boxW, boxH = append(boxW, l.W), append(boxH, l.H)
			}
		}
	}
	st.Width, st.Height, st.PerPicture = rangeOf(widths), rangeOf(heights), rangeOf(counts)
	st.BoxWidth, st.BoxHeight = rangeOf(boxW), rangeOf(boxH)
	return st
}

func (st *Stats) object(l Label, w, h int) {
	st.Objects++
	st.Classes[l.Class].Objects++
	switch area := l.W * float64(w) * l.H * float64(h); {
	case area < 32*32:
		st.Small++
	case area < 96*96:
		st.Medium++
	default:
		st.Large++
	}
	st.Centres[bin(l.Y)][bin(l.X)]++
	st.Sizes[bin(l.H)][bin(l.W)]++
}

func bin(v float64) int { return min(max(int(v*HeatSize), 0), HeatSize-1) }

func rangeOf(v []float64) Range {
	if len(v) == 0 {
		return Range{}
	}
	sort.Float64s(v)
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	n := len(v)
	return Range{v[0], (v[(n-1)/2] + v[n/2]) / 2, sum / float64(n), v[n-1]}
}
