package ref

import "math"

// layer is a composite operator's convolution over channels-last pictures.
type layer struct {
	*call
	x, w          *Array
	stride, pads  []int64
	groups        int64
	height, width int64 // of the output
}

func (c *call) layer(x, w *Array) *layer {
	need(x.rank() == 4 && w.rank() == 4, "pictures %v and kernel %v", x.Shape, w.Shape)
	l := &layer{call: c, x: x, w: w, groups: c.Int("group", 1),
		stride: c.spatial("strides", false, 1, 1), pads: c.spatial("pads", false, 0, 2)}
	need(l.stride[0] > 0 && l.stride[1] > 0, "strides %v", l.stride)
	need(l.groups > 0 && w.Shape[0]%l.groups == 0 && w.Shape[1]*l.groups == x.Shape[3], "pictures %v, kernel %v, %d groups", x.Shape, w.Shape, l.groups)
	high, wide := x.Shape[1]+l.pads[0]+l.pads[2]-w.Shape[2], x.Shape[2]+l.pads[1]+l.pads[3]-w.Shape[3]
	need(high >= 0 && wide >= 0, "kernel %v does not fit in %v", w.Shape, x.Shape)
	l.height, l.width = high/l.stride[0]+1, wide/l.stride[1]+1
	return l
}

// each calls f for every product of the convolution: where it is in x, in w and in y.
func (l *layer) each(f func(x, w, y int64)) {
	xs, ws := l.x.Shape, l.w.Shape
	features := ws[0]
	for n := range xs[0] {
		for i := range l.height {
			for j := range l.width {
				for a := range ws[2] {
					for b := range ws[3] {
						row, column := i*l.stride[0]+a-l.pads[0], j*l.stride[1]+b-l.pads[1]
						if row < 0 || row >= xs[1] || column < 0 || column >= xs[2] {
							continue
						}
						x, y := ((n*xs[1]+row)*xs[2]+column)*xs[3], ((n*l.height+i)*l.width+j)*features
						for k := range features {
							first := k / (features / l.groups) * ws[1]
							for c := range ws[1] {
								f(x+first+c, ((k*ws[1]+c)*ws[2]+a)*ws[3]+b, y+k)
							}
						}
					}
				}
			}
		}
	}
}

// convolve computes the sums of the convolution, beginning with a bias that may be nil.
func (l *layer) convolve(bias *Array) *Array {
	z := newArray([]int64{l.x.Shape[0], l.height, l.width, l.w.Shape[0]})
	if bias != nil {
		need(bias.rank() == 1 && bias.Shape[0] == l.w.Shape[0], "bias %v for %d channels", bias.Shape, l.w.Shape[0])
		for i := range z.Data {
			z.Data[i] = bias.Data[int64(i)%l.w.Shape[0]]
		}
	}
	l.each(func(x, w, y int64) { z.Data[y] += l.x.Data[x] * l.w.Data[w] })
	return z
}

// gradients are those of the input and the kernel for that of the sums.
func (l *layer) gradients(dz *Array) (dx, dw *Array) {
	dx, dw = newArray(l.x.Shape), newArray(l.w.Shape)
	l.each(func(x, w, y int64) {
		dx.Data[x] += dz.Data[y] * l.w.Data[w]
		dw.Data[w] += dz.Data[y] * l.x.Data[x]
	})
	return dx, dw
}

// activation returns the layer's activation and its derivative.
func (c *call) activation() (f, slope func(float64) float64) {
	alpha := float64(c.Float("alpha", 0.01))
	step := func(x, below float64) float64 {
		if x > 0 {
			return 1
		}
		return below
	}
	switch name := c.Str("activation", ""); name {
	case "":
		return func(x float64) float64 { return x }, func(float64) float64 { return 1 }
	case "SiLU":
		return func(x float64) float64 { return x * sigmoid(x) },
			func(x float64) float64 { s := sigmoid(x); return s + x*s*(1-s) }
	case "Relu":
		return relu, func(x float64) float64 { return step(x, 0) }
	case "LeakyRelu":
		return func(x float64) float64 { return x * step(x, alpha) }, func(x float64) float64 { return step(x, alpha) }
	case "HardSwish":
		return hardSwish, func(x float64) float64 {
			if math.Abs(x) > 3 {
				return step(x, 0)
			}
			return x/3 + 0.5
		}
	default:
		refuse("activation %q", name)
		return nil, nil
	}
}

// channelMoments are mean and population variance of each channel, the last axis, in two passes.
func channelMoments(z *Array, channels int64) (mean, variance *Array) {
	mean, variance = newArray([]int64{channels}), newArray([]int64{channels})
	count := float64(len(z.Data)) / float64(channels)
	for i, v := range z.Data {
		mean.Data[int64(i)%channels] += v / count
	}
	for i, v := range z.Data {
		d := v - mean.Data[int64(i)%channels]
		variance.Data[int64(i)%channels] += d * d / count
	}
	return mean, variance
}

func convBatchNorm(c *call) []*Array {
	z := c.layer(c.in[0], c.in[1]).convolve(nil)
	k := z.Shape[3]
	c.perChannel(k, 2, 3)
	act, _ := c.activation()
	mean, variance := channelMoments(z, k)
	y, epsilon := newArray(z.Shape), float64(c.Float("epsilon", 1e-5))
	for i, v := range z.Data {
		ch := int64(i) % k
		y.Data[i] = act((v-mean.Data[ch])/math.Sqrt(variance.Data[ch]+epsilon)*c.in[2].Data[ch] + c.in[3].Data[ch])
	}
	return []*Array{y, z, mean, variance}
}

func (c *call) perChannel(channels int64, inputs ...int) {
	for _, i := range inputs {
		need(c.in[i].rank() == 1 && c.in[i].Shape[0] == channels, "input %d has shape %v for %d channels", i, c.in[i].Shape, channels)
	}
}

// convBatchNormGrad: with g the gradient before the activation and x̂ what is normalised,
// dz = scale/√(variance+ε)·(g - mean(g) - x̂·mean(g·x̂)).
func convBatchNormGrad(c *call) []*Array {
	l := c.layer(c.in[1], c.in[2])
	dy, scale, shift, z, mean, variance := c.in[0], c.in[3], c.in[4], c.in[5], c.in[6], c.in[7]
	k := l.w.Shape[0]
	c.perChannel(k, 3, 4, 6, 7)
	need(len(dy.Data) == len(z.Data) && int64(len(z.Data)) == l.x.Shape[0]*l.height*l.width*k, "gradient %v, result %v", dy.Shape, z.Shape)
	_, slope := c.activation()
	dScale, dShift := newArray(scale.Shape), newArray(shift.Shape)
	g, normal := newArray(z.Shape), newArray(z.Shape)
	epsilon, count := float64(c.Float("epsilon", 1e-5)), float64(len(z.Data))/float64(k)
	for i, v := range z.Data {
		ch := int64(i) % k
		normal.Data[i] = (v - mean.Data[ch]) / math.Sqrt(variance.Data[ch]+epsilon)
		g.Data[i] = dy.Data[i] * slope(normal.Data[i]*scale.Data[ch]+shift.Data[ch])
		dShift.Data[ch] += g.Data[i]
		dScale.Data[ch] += g.Data[i] * normal.Data[i]
	}
	dz := newArray(z.Shape)
	for i := range dz.Data {
		ch := int64(i) % k
		dz.Data[i] = scale.Data[ch] / math.Sqrt(variance.Data[ch]+epsilon) * (g.Data[i] - dShift.Data[ch]/count - normal.Data[i]*dScale.Data[ch]/count)
	}
	dx, dw := l.gradients(dz)
	return []*Array{dx, dw, dScale, dShift}
}

func convAct(c *call) []*Array {
	z := c.layer(c.in[0], c.in[1]).convolve(c.arg(2))
	act, _ := c.activation()
	return []*Array{mapped(z, act), z}
}

func convActGrad(c *call) []*Array {
	l := c.layer(c.in[1], c.in[2])
	dz, dBias := c.in[0], newArray(l.w.Shape[:1])
	need(int64(len(dz.Data)) == l.x.Shape[0]*l.height*l.width*l.w.Shape[0], "gradient %v", dz.Shape)
	if z := c.arg(3); z != nil {
		need(len(z.Data) == len(dz.Data), "gradient %v, sum %v", dz.Shape, z.Shape)
		_, slope := c.activation()
		dz = newArray(z.Shape)
		for i, v := range z.Data {
			dz.Data[i] = c.in[0].Data[i] * slope(v)
		}
	}
	for i, v := range dz.Data {
		dBias.Data[int64(i)%l.w.Shape[0]] += v
	}
	dx, dw := l.gradients(dz)
	return []*Array{dx, dw, dBias}
}

// channelsFirst calls f on a picture's planes, [N,C,H,W], and returns what it makes of them channels-last again.
func channelsFirst(x *Array, f func(x *Array) *Array) *Array {
	need(x.rank() == 4, "pictures %v", x.Shape)
	return f(x.transposed(0, 3, 1, 2)).transposed(0, 2, 3, 1)
}

// largest is MaxPool's answer over planes.
func largest(c *call, planes *Array) (y, indices *Array) {
	again := *c
	again.in = []*Array{planes}
	both := maxPool(&again)
	return both[0], both[1]
}

func largestOf(c *call) *Array {
	return channelsFirst(c.in[0], func(x *Array) *Array { y, _ := largest(c, x); return y })
}

func largestOfGrad(c *call) *Array {
	return channelsFirst(c.in[1], func(x *Array) (dx *Array) {
		y, indices := largest(c, x)
		dx = newArray(x.Shape)
		channelsFirst(c.in[0], func(dy *Array) *Array {
			need(len(dy.Data) == len(y.Data), "gradient %v of %v", dy.Shape, y.Shape)
			for i, g := range dy.Data {
				dx.Data[int64(indices.Data[i])] += g
			}
			return dy
		})
		return dx
	})
}

func doubled(c *call) *Array {
	x := c.in[0]
	need(x.rank() == 4, "pictures %v", x.Shape)
	y := newArray([]int64{x.Shape[0], 2 * x.Shape[1], 2 * x.Shape[2], x.Shape[3]})
	squares(y, func(from, to int64) { y.Data[to] = x.Data[from] })
	return y
}

func doubledGrad(c *call) *Array {
	dy := c.in[0]
	need(dy.rank() == 4 && dy.Shape[1]%2 == 0 && dy.Shape[2]%2 == 0, "pictures %v", dy.Shape)
	dx := newArray([]int64{dy.Shape[0], dy.Shape[1] / 2, dy.Shape[2] / 2, dy.Shape[3]})
	squares(dy, func(from, to int64) { dx.Data[from] += dy.Data[to] })
	return dx
}

// squares calls f for each number of pictures of doubled sides, with the place of the one that it repeats.
func squares(y *Array, f func(from, to int64)) {
	width, channels := y.Shape[2], y.Shape[3]
	for to := range int64(len(y.Data)) {
		row, column := to/channels/width, to/channels%width
		f((row/2*(width/2)+column/2)*channels+to%channels, to)
	}
}
