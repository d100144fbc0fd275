package metric

import (
	"slices"
	"testing"
)

// TestReplaces: a car gives way to a taxi that it overlaps, whichever is the more confident,
// and to no other class.
func TestReplaces(t *testing.T) {
	const car, taxi, bus = 0, 1, 2
	rows := []float32{ // centre, size, objectness, classes
		50, 50, 20, 20, .9, .9, 0, 0,
		51, 50, 20, 20, .8, 0, .5, 0,
		50, 51, 20, 20, .7, 0, 0, .9,
		150, 50, 20, 20, .9, .9, 0, 0, // alone
		250, 50, 20, 20, .9, .8, 0, 0,
		265, 50, 20, 20, .9, 0, .9, 0, // overlaps it by a seventh
	}
	o := NMSOptions{Conf: .1, IoU: .45, Replaces: map[int][]int{taxi: {car}}}
	for _, c := range []struct {
		about  string
		change func(o *NMSOptions)
		want   []int
	}{
		{"as it is", func(o *NMSOptions) { o.Replaces = nil }, []int{car, car, taxi, car, bus, taxi}},
		{"replaced", func(*NMSOptions) {}, []int{car, taxi, car, bus, taxi}},
		{"the replaced class alone", func(o *NMSOptions) { o.Classes = []int{car} }, []int{car, car}},
		{"no more than two", func(o *NMSOptions) { o.MaxDet = 2 }, []int{car, taxi}},
		{"two replaced", func(o *NMSOptions) { o.Replaces = map[int][]int{taxi: {car, bus}} }, []int{car, taxi, car, taxi}},
		{"any overlap", func(o *NMSOptions) { o.IoU = .1 }, []int{car, taxi, bus, taxi}},
	} {
		with := o
		c.change(&with)
		var got []int
		for _, d := range NMS(rows, 3, with) {
			got = append(got, d.Class)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: classes %v, want %v", c.about, got, c.want)
		}
	}
}
