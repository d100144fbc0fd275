package step

import (
	"fmt"
	"maps"
	"runtime"

	"yolofreeze/onnx/yolov5"
)

// leastCapacity spares small batches the growing.
const leastCapacity = 64

// CapacityFor is the capacity that graphs are built with which must take a
// number of matches a level: the next power of two, so that it rarely grows.
func CapacityFor(matches int) int {
	capacity := leastCapacity
	for capacity < matches {
		capacity *= 2
	}
	return capacity
}

// MostMatches is what a label usually matches at most on one level: three
// anchors in three cells. Most labels fit fewer anchors and only some levels.
const MostMatches = 9

// Fullest is the number of matches of the level that has the most.
func Fullest(matches []yolov5.Matches) (most int) {
	for _, m := range matches {
		most = max(most, len(m.Row))
	}
	return most
}

// allocateMatches makes room for padded matches, the same for graphs of all sizes.
func (e *Engine) allocateMatches() {
	if !e.padded() {
		return
	}
	for level, none := range e.spec.Net.Assign(nil, e.spec.Height, e.spec.Width, e.spec.Loss.AnchorT) {
		maps.Copy(e.runner.host, none.Pad(e.Capacity()).Tensors(level))
	}
}

// Capacity is the number of matches that a level is padded to, 0 where it varies.
func (e *Engine) Capacity() int { return e.spec.Loss.Capacity }

func (e *Engine) padded() bool { return e.Capacity() > 0 }

// makeRoom opens the graphs anew where a batch has more matches than they take.
// The state goes through the host, so no two sets of graphs need memory at once.
func (e *Engine) makeRoom(matches []yolov5.Matches) error {
	most := Fullest(matches)
	if !e.padded() || most <= e.Capacity() {
		return nil
	}
	if err := e.Sync(); err != nil {
		return err
	}
	e.Close()
	e.spec.Loss.Capacity = CapacityFor(most)
	e.allocateMatches()
	graphs, err := Build(e.spec)
	if err != nil {
		return err
	}
	e.Graphs, e.training, e.gather, e.optimizer, e.norm, e.sizes = graphs, nil, nil, nil, nil, nil
	runtime.GC() // a device's memory is given back by finalizers
	if err := e.open(); err != nil {
		return fmt.Errorf("make room for %d matches: %w", most, err)
	}
	return nil
}

// fillMatches gives a graph its matches: in the memory that is bound to it where
// they are padded, bound anew where their number varies.
func (e *Engine) fillMatches(b *Bound, matches []yolov5.Matches) error {
	for level, m := range matches {
		if e.padded() {
			m = m.Pad(e.Capacity())
		}
		for name, t := range m.Tensors(level) {
			if e.padded() {
				copy(e.runner.host[name].Raw, t.Raw)
			} else if err := b.input(name, t); err != nil {
				return err
			}
		}
	}
	return nil
}
