package synth

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// shape tells which points of the square from −1 to 1 belong to it; y grows
// downwards.
type shape func(x, y float64) bool

var shapes = map[string]shape{
	"circle":   func(x, y float64) bool { return x*x+y*y <= 1 },
	"square":   func(x, y float64) bool { return max(math.Abs(x), math.Abs(y)) <= 0.85 },
	"triangle": regular(3),
	"pentagon": regular(5),
	"ring":     func(x, y float64) bool { r := math.Hypot(x, y); return r <= 1 && r >= 0.55 },
	"crescent": func(x, y float64) bool { return x*x+y*y <= 1 && math.Hypot(x-0.5, y) >= 0.75 },
	"heart": func(x, y float64) bool {
		x, y = 1.2*x, 0.15-1.2*y
		a := x*x + y*y - 1
		return a*a*a <= x*x*y*y*y
	},
	"star":  star,
	"cross": func(x, y float64) bool { x, y = math.Abs(x), math.Abs(y); return max(x, y) <= 1 && min(x, y) <= 0.3 },
	"arrow": func(x, y float64) bool {
		if y < 0 {
			return y >= -1 && math.Abs(x) <= 0.9*(y+1)
		}
		return y <= 1 && math.Abs(x) <= 0.3
	},
}

// Families are sets of shapes, so that one may be learnt before another.
var Families = map[string][]string{
	"plain":   {"circle", "square", "triangle"},
	"curved":  {"ring", "crescent", "heart"},
	"pointed": {"star", "cross", "arrow", "pentagon"},
}

// Names lists all shapes.
func Names() []string {
	names := make([]string, 0, len(shapes))
	for name := range shapes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Parse reads a list of shapes and families, such as "plain,star".
func Parse(list string) ([]string, error) {
	var out []string
	for _, word := range strings.Split(list, ",") {
		word = strings.TrimSpace(word)
		names := Families[word]
		if shapes[word] != nil {
			names = []string{word}
		}
		if names == nil {
			return nil, fmt.Errorf("shape %q: must be one of %s or a family: plain, curved, pointed", word, strings.Join(Names(), ", "))
		}
		for _, name := range names {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out, nil
}

// regular is the polygon with n corners on the unit circle, one at the top.
func regular(n int) shape {
	half := math.Pi / float64(n)
	inner := math.Cos(half)
	return func(x, y float64) bool {
		turn := math.Mod(math.Atan2(x, -y)+2*math.Pi, 2*half) - half
		return math.Hypot(x, y)*math.Cos(turn) <= inner
	}
}

// star has five points; between two of them the edge is straight.
func star(x, y float64) bool {
	const half, inner = math.Pi / 5, 0.42
	turn := math.Abs(math.Mod(math.Atan2(x, -y)+2*math.Pi+half, 2*half) - half) // 0 at a point
	r := math.Hypot(x, y)
	px, py := r*math.Cos(turn), r*math.Sin(turn)
	vx, vy := inner*math.Cos(half), inner*math.Sin(half) // where two points meet
	return (px-1)*vy-py*(vx-1) <= 0
}
