package ref

import (
	"slices"
)

// multiply adds the m×k matrix a times the k×n matrix b to the m×n matrix c, all
// row-major. Four rows of b at a time, so that c is loaded a quarter as often.
func multiply(c, a, b []float64, m, k, n int64) {
	for i := range m {
		to, from := c[i*n:(i+1)*n], a[i*k:(i+1)*k]
		p := int64(0)
		for ; p+4 <= k; p += 4 {
			f0, f1, f2, f3 := from[p], from[p+1], from[p+2], from[p+3]
			b0, b1, b2, b3 := b[p*n:(p+1)*n], b[(p+1)*n:(p+2)*n], b[(p+2)*n:(p+3)*n], b[(p+3)*n:(p+4)*n]
			b0, b1, b2, b3 = b0[:len(to)], b1[:len(to)], b2[:len(to)], b3[:len(to)]
			for j := range to {
				to[j] += f0*b0[j] + f1*b1[j] + f2*b2[j] + f3*b3[j]
			}
		}
		for ; p < k; p++ {
			f := from[p]
			row := b[p*n : (p+1)*n]
			row = row[:len(to)]
			for j := range to {
				to[j] += f * row[j]
			}
		}
	}
}

// matMul is numpy.matmul: vectors become matrices for its duration, leading axes broadcast.
func matMul(c *call) *Array {
	x, y := c.in[0], c.in[1]
	need(x.rank() > 0 && y.rank() > 0, "a scalar operand")
	xs, ys := x.Shape, y.Shape
	if len(xs) == 1 {
		xs = []int64{1, xs[0]}
	}
	if len(ys) == 1 {
		ys = []int64{ys[0], 1}
	}
	bx, by := xs[:len(xs)-2], ys[:len(ys)-2]
	m, k, n := xs[len(xs)-2], xs[len(xs)-1], ys[len(ys)-1]
	need(ys[len(ys)-2] == k, "shapes %v and %v do not multiply", x.Shape, y.Shape)
	batch := broadcast(bx, by)
	out := newArray(slices.Concat(batch, []int64{m, n}))
	i := int64(0)
	for at := range walk(batch, spread(bx, batch), spread(by, batch)) {
		a, b := x.Data[at[0]*m*k:], y.Data[at[1]*k*n:]
		multiply(out.Data[i*m*n:(i+1)*m*n], a[:m*k], b[:k*n], m, k, n)
		i++
	}
	shape := slices.Clone(batch)
	if x.rank() > 1 {
		shape = append(shape, m)
	}
	if y.rank() > 1 {
		shape = append(shape, n)
	}
	return out.reshaped(shape)
}

// gemm is alpha·A·B + beta·C with A and B perhaps transposed and C broadcast.
func gemm(c *call) *Array {
	a, b := c.in[0], c.in[1]
	need(a.rank() == 2 && b.rank() == 2, "shapes %v and %v are not matrices", a.Shape, b.Shape)
	if c.Int("transA", 0) != 0 {
		a = a.transposed(1, 0)
	}
	if c.Int("transB", 0) != 0 {
		b = b.transposed(1, 0)
	}
	m, k, n := a.Shape[0], a.Shape[1], b.Shape[1]
	need(b.Shape[0] == k, "shapes %v and %v do not multiply", a.Shape, b.Shape)
	out := newArray([]int64{m, n})
	multiply(out.Data, a.Data, b.Data, m, k, n)
	if alpha := float64(c.Float("alpha", 1)); alpha != 1 {
		out = mapped(out, func(x float64) float64 { return alpha * x })
	}
	if c.arg(2) == nil {
		return out
	}
	beta := float64(c.Float("beta", 1))
	sum := combined(out, c.in[2], func(x, y float64) float64 { return x + beta*y })
	need(slices.Equal(sum.Shape, out.Shape), "shape %v does not broadcast to %v", c.in[2].Shape, out.Shape)
	return sum
}
