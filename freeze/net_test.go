package freeze

import (
	"fmt"
	"testing"
)

// yolov5n is the v6 network at width 0.25, depth 0.33, for 80 classes, as its
// layer table lays it out.
func yolov5n() Network {
	var b builder
	conv := func(name string, in, out, k int64) {
		b.add(name+".conv.weight", false, out, in, k, k)
		b.bn(name+".bn", out)
	}
	c3 := func(i int, in, out int64, n int) {
		m, half := fmt.Sprintf("model.%d", i), out/2
		conv(m+".cv1", in, half, 1)
		conv(m+".cv2", in, half, 1)
		conv(m+".cv3", 2*half, out, 1)
		for j := range n {
			conv(fmt.Sprintf("%s.m.%d.cv1", m, j), half, half, 1)
			conv(fmt.Sprintf("%s.m.%d.cv2", m, j), half, half, 3)
		}
	}
	conv("model.0", 3, 16, 6)
	conv("model.1", 16, 32, 3)
	c3(2, 32, 32, 1)
	conv("model.3", 32, 64, 3)
	c3(4, 64, 64, 2)
	conv("model.5", 64, 128, 3)
	c3(6, 128, 128, 3)
	conv("model.7", 128, 256, 3)
	c3(8, 256, 256, 1)
	conv("model.9.cv1", 256, 128, 1)
	conv("model.9.cv2", 512, 256, 1)
	conv("model.10", 256, 128, 1)
	c3(13, 256, 128, 1)
	conv("model.14", 128, 64, 1)
	c3(17, 128, 64, 1)
	conv("model.18", 64, 64, 3)
	c3(20, 128, 128, 1)
	conv("model.21", 128, 128, 3)
	c3(23, 256, 256, 1)
	b.add("model.24.anchors", true, 3, 3, 2)
	for j, in := range []int64{64, 128, 256} {
		b.add(fmt.Sprintf("model.24.m.%d.weight", j), false, 255, in, 1, 1)
		b.add(fmt.Sprintf("model.24.m.%d.bias", j), false, 255)
	}
	return Network{Parameters: b, Layers: 25, Backbone: 10, Head: 24}
}

type builder []Parameter

func (b *builder) add(name string, buffer bool, shape ...int64) {
	*b = append(*b, Parameter{name, shape, buffer})
}

func (b *builder) bn(name string, c int64) {
	b.add(name+".weight", false, c)
	b.add(name+".bias", false, c)
	b.add(name+".running_mean", true, c)
	b.add(name+".running_var", true, c)
	b.add(name+".num_batches_tracked", true)
}

// p6 has the layers of a four-level model, one convolution each.
func p6() Network {
	var b builder
	for i := range 33 {
		b.add(fmt.Sprintf("model.%d.conv.weight", i), false, 8, 8, 1, 1)
		b.bn(fmt.Sprintf("model.%d.bn", i), 8)
	}
	b.add("model.33.m.0.weight", false, 24, 8, 1, 1)
	return Network{Parameters: b, Layers: 34, Backbone: 12, Head: 33}
}

func plan(t *testing.T, net Network, selectors, policies string) *Plan {
	t.Helper()
	p, err := try(net, selectors, policies)
	if err != nil {
		t.Fatalf("`freeze %s` `bn %s`: %v", selectors, policies, err)
	}
	return p
}

func try(net Network, selectors, policies string) (*Plan, error) {
	s, err := Parse([]string{selectors})
	if err != nil {
		return nil, err
	}
	q, err := ParseBN([]string{policies})
	if err != nil {
		return nil, err
	}
	return New(net, s, q...)
}

// frozenLayers lists the layers all of whose parameters are frozen, and "part"
// for those of which some are.
func frozenLayers(p *Plan) string {
	frozen, trains := map[int]bool{}, map[int]bool{}
	for _, e := range p.Entries {
		if e.Buffer {
			continue
		}
		if e.Frozen {
			frozen[Layer(e.Name)] = true
		} else {
			trains[Layer(e.Name)] = true
		}
	}
	var out []string
	for i := range p.Layers {
		switch {
		case frozen[i] && trains[i]:
			out = append(out, fmt.Sprintf("%d part", i))
		case frozen[i]:
			out = append(out, fmt.Sprint(i))
		}
	}
	return fmt.Sprint(out)
}
