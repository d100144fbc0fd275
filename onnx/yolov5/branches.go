package yolov5

import (
	"errors"
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// Detects are the network's branches, each as a network that ends in its own
// Detect layer: the network itself where it has but one.
func (n *Network) Detects() []*Network {
	if len(n.Branches) == 0 {
		return []*Network{n}
	}
	return n.Branches
}

// Levels is the number of raw outputs of all branches.
func (n *Network) Levels() (levels int) {
	for _, d := range n.Detects() {
		levels += len(d.Anchors)
	}
	return levels
}

// detect reads the arguments of a Detect layer. The first one has the classes and
// anchors of the table, any other its own: [nc, anchors].
func (t *tableParser) detect(l *Layer, args []any) error {
	d := &Network{NC: t.net.NC, Anchors: t.net.Anchors}
	if len(t.detects) > 0 {
		nc, ok := toInt(first(args))
		if !ok || nc < 1 || nc > maxChannels {
			return fmt.Errorf("behind another one has args %v, want its own classes, 1 to %d, and anchors", args, maxChannels)
		}
		d.NC = int(nc)
		var err error
		if d.Anchors, err = readAnchors(at(args, 1)); err != nil {
			return err
		}
	}
	if len(l.In) != len(d.Anchors) {
		return fmt.Errorf("%d inputs, anchors for %d levels", len(l.In), len(d.Anchors))
	}
	for _, f := range l.From {
		if f < 0 {
			return fmt.Errorf("takes the picture itself")
		}
		d.Strides = append(d.Strides, t.stride[f])
	}
	t.detects = append(t.detects, d)
	return nil
}

// finish makes branches of the layers. A number of classes that was given counts those of all.
func (t *tableParser) finish(given bool) error {
	net := t.net
	if len(net.Layers) == 0 || net.Layers[len(net.Layers)-1].Kind != "Detect" {
		return errors.New("the last layer is not Detect")
	}
	net.Strides = t.detects[0].Strides
	if len(t.detects) == 1 {
		return nil
	}
	others := 0
	for _, d := range t.detects[1:] {
		others += d.NC
	}
	if given {
		t.detects[0].NC -= others
	}
	if t.detects[0].NC < 1 {
		return fmt.Errorf("%d classes, the branches behind the first one have %d", net.NC, others)
	}
	net.Table["nc"] = int64(t.detects[0].NC)
	if net.NC = t.detects[0].NC + others; net.NC > maxChannels {
		return fmt.Errorf("%d classes in all branches, want 1 to %d", net.NC, maxChannels)
	}
	at := 0
	for _, l := range net.Layers {
		if l.Kind == "Detect" {
			d := t.detects[at]
			d.Layers, d.Backbone, d.Act, d.Acts, d.Folded = net.Layers[:l.Index+1], net.Backbone, net.Act, net.Acts, net.Folded
			at++
		}
	}
	net.Branches = t.detects
	for i := range net.Branches[1:] {
		if err := net.leave(i + 1); err != nil {
			return err
		}
	}
	return nil
}

// leave finds where a branch leaves the first one.
func (n *Network) leave(branch int) error {
	d := n.Branches[branch]
	start := n.Branches[branch-1].Head() + 1
	for _, l := range d.Layers[start:] {
		for _, f := range l.From {
			switch {
			case f >= start:
			case f >= n.Branches[0].Head():
				return fmt.Errorf("layer %d reads layer %d: a branch takes layers of the first one alone", l.Index, f)
			default:
				d.Shared = max(d.Shared, f+1)
			}
		}
	}
	return nil
}

// join puts the rows of branches under each other, and their classes side by side:
// 0 where a branch does not know a class.
func (n *Network) join(b *op.Builder, rows []*onnx.Value) *onnx.Value {
	before := 0
	for i, d := range n.Branches {
		after := n.NC - before - d.NC
		if i == 0 {
			rows[i] = b.Pad(rows[i], 0, 0, 0, 0, 0, int64(after))
		} else {
			p := b.Split(rows[i], 2, 5, int64(d.NC))
			rows[i] = b.Concat(2, p[0], b.Pad(p[1], 0, 0, int64(before), 0, 0, int64(after)))
		}
		before += d.NC
	}
	return b.Concat(1, rows...)
}
