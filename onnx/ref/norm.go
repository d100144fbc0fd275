package ref

import (
	"iter"
	"math"

	"yolofreeze/onnx"
)

// batchNorm normalises each channel of [N, C, ...] by the given statistics, or with
// training_mode by those of the batch, and then also returns the running ones. Both
// variances are the population's, as ONNX has it.
func batchNorm(c *call) []*Array {
	x := c.in[0]
	need(x.rank() >= 2, "shape %v has no channels", x.Shape)
	n, channels, plane := x.Shape[0], x.Shape[1], onnx.NumElements(x.Shape[2:])
	for i := 1; i < 5; i++ {
		need(c.in[i].rank() == 1 && c.in[i].Shape[0] == channels, "input %d has shape %v for %d channels", i, c.in[i].Shape, channels)
	}
	scale, shift, mean, variance := c.in[1], c.in[2], c.in[3], c.in[4]
	training := c.Int("training_mode", 0) != 0
	if training {
		mean, variance = moments(x, n, channels, plane)
	}
	epsilon := float64(c.Float("epsilon", 1e-5))
	out := newArray(x.Shape)
	for i := range n * channels {
		ch := i % channels
		a := scale.Data[ch] / math.Sqrt(variance.Data[ch]+epsilon)
		m, b := mean.Data[ch], shift.Data[ch]
		to, from := out.Data[i*plane:(i+1)*plane], x.Data[i*plane:(i+1)*plane]
		for k, v := range from {
			to[k] = (v-m)*a + b
		}
	}
	if !training {
		return []*Array{out}
	}
	keep := float64(c.Float("momentum", 0.9))
	mix := func(old, batch float64) float64 { return keep*old + (1-keep)*batch }
	return []*Array{out, combined(c.in[3], mean, mix), combined(c.in[4], variance, mix)}
}

// moments returns mean and population variance of each channel, in two passes.
func moments(x *Array, n, channels, plane int64) (mean, variance *Array) {
	mean, variance = newArray([]int64{channels}), newArray([]int64{channels})
	count := float64(n * plane)
	for i := range n * channels {
		for _, v := range x.Data[i*plane : (i+1)*plane] {
			mean.Data[i%channels] += v / count
		}
	}
	for i := range n * channels {
		m := mean.Data[i%channels]
		for _, v := range x.Data[i*plane : (i+1)*plane] {
			variance.Data[i%channels] += (v - m) * (v - m) / count
		}
	}
	return mean, variance
}

// softmax runs along one axis from opset 13 on, before over all axes from that one.
func softmax(c *call) *Array {
	out, n, inner := c.exponents()
	for at := range lines(out, n, inner) {
		sum := 0.0
		for k := range n {
			e := math.Exp(out.Data[at+k*inner])
			out.Data[at+k*inner] = e
			sum += e
		}
		for k := range n {
			out.Data[at+k*inner] /= sum
		}
	}
	return out
}

func logSoftmax(c *call) *Array {
	out, n, inner := c.exponents()
	for at := range lines(out, n, inner) {
		sum := 0.0
		for k := range n {
			sum += math.Exp(out.Data[at+k*inner])
		}
		for k := range n {
			out.Data[at+k*inner] -= math.Log(sum)
		}
	}
	return out
}

// exponents returns the input less the maximum of each line that a softmax runs along.
func (c *call) exponents() (out *Array, n, inner int64) {
	x := c.in[0]
	if c.opset >= 13 {
		_, n, inner = around(x.Shape, c.axis(-1, x.rank()))
	} else {
		n, inner = onnx.NumElements(x.Shape[c.axis(1, x.rank()):]), 1
	}
	out = mapped(x, func(v float64) float64 { return v })
	for at := range lines(out, n, inner) {
		top := math.Inf(-1)
		for k := range n {
			top = max(top, out.Data[at+k*inner])
		}
		for k := range n {
			out.Data[at+k*inner] -= top
		}
	}
	return out, n, inner
}

// lines yields where each run of n elements begins that lie inner apart.
func lines(a *Array, n, inner int64) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for block := int64(0); block < int64(len(a.Data)); block += n * inner {
			for i := range inner {
				if !yield(block + i) {
					return
				}
			}
		}
	}
}
