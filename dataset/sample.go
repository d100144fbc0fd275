package dataset

import (
	"maps"
	"path/filepath"
	"slices"
)

// Label is one object: class index, box centre and size as shares of the
// picture's width and height (after EXIF rotation), and its outline where the
// source has one.
type Label struct {
	Class      int
	X, Y, W, H float64
	Polygon    []Point
	Difficult  bool    // VOC: hard to recognise
	Crowd      bool    // COCO: one box around a group
	Conf       float64 // of what a model has found; 0: a person has labelled it
}

// Point is a place in a picture, as shares of its width and height.
type Point struct{ X, Y float64 }

// Sample is one picture with its objects. Nothing is decoded yet.
type Sample struct {
	Path          string
	Width, Height int
	Labels        []Label
}

// Set is a data set: class names and, per split ("train", "val", "test"), its
// samples.
type Set struct {
	Path   string
	Names  []string
	Splits map[string][]Sample
	Report Report
}

// Folders are those that the pictures lie in.
func (s *Set) Folders() []string {
	seen := map[string]bool{}
	for _, samples := range s.Splits {
		for _, sample := range samples {
			seen[filepath.Dir(sample.Path)] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// SingleClass makes every object one class, as option single-cls asks; where there were
// several, it is called item. Objects that then repeat another stay.
func (s *Set) SingleClass() {
	if len(s.Names) != 1 {
		s.Names = []string{"item"}
	}
	for _, samples := range s.Splits {
		for i := range samples {
			for k := range samples[i].Labels {
				samples[i].Labels[k].Class = 0
			}
		}
	}
	s.findUnseen()
}
