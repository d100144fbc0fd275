package synth

import (
	"math"
	"math/rand/v2"

	"yolofreeze/dataset"
	"yolofreeze/dataset/picture"
)

// Picture draws picture number i of a split: some shapes that hardly overlap on
// an uneven ground, with the boxes that they fill.
func (o Options) Picture(split string, i int) (*picture.Image, []dataset.Label) {
	stream := uint64(i)
	for _, c := range split {
		stream = stream*31 + uint64(c)<<32
	}
	rnd := rand.New(rand.NewPCG(o.Seed, stream))
	img, ground := background(rnd, o.Size)
	var labels []dataset.Label
	for range 1 + rnd.IntN(o.MaxObjects) {
		class := rnd.IntN(len(o.Shapes))
		for range 20 { // places to try
			f := placeFigure(rnd, o.Size)
			if f.crowds(labels, o.Size) {
				continue
			}
			if box, ok := f.draw(img, shapes[o.Shapes[class]], contrast(rnd, ground)); ok {
				l := dataset.FromPixels(class, box[0], box[1], box[2]-box[0], box[3]-box[1], o.Size, o.Size)
				labels = append(labels, l.Snapped())
			}
			break
		}
	}
	return img, labels
}

// background is a slope between two colours with waves and grain.
func background(rnd *rand.Rand, size int) (*picture.Image, [3]float64) {
	img := picture.NewImage(size, size)
	var base, slope [3]float64
	for c := range base {
		base[c], slope[c] = 40+170*rnd.Float64(), 60*(rnd.Float64()-0.5)
	}
	turn, wave, phase := 2*math.Pi*rnd.Float64(), 2+8*rnd.Float64(), 2*math.Pi*rnd.Float64()
	cos, sin := math.Cos(turn), math.Sin(turn)
	for y := range size {
		for x := range size {
			u := (float64(x)*cos + float64(y)*sin) / float64(size)
			v := 6*math.Sin(wave*2*math.Pi*u+phase) + 10*(rnd.Float64()-0.5)
			for c := range 3 {
				img.Pix[3*(size*y+x)+c] = toByte(base[c] + slope[c]*u + v)
			}
		}
	}
	return img, base
}

// contrast draws a colour that is not that of the ground.
func contrast(rnd *rand.Rand, ground [3]float64) [3]float64 {
	var colour [3]float64
	for range 50 {
		far := 0.0
		for c := range colour {
			colour[c] = 255 * rnd.Float64()
			far = max(far, math.Abs(colour[c]-ground[c]))
		}
		if far > 90 {
			break
		}
	}
	return colour
}

// figure is a place for a shape, in pixels.
type figure struct{ x, y, radius, stretch, turn float64 }

func placeFigure(rnd *rand.Rand, size int) figure {
	s := float64(size)
	f := figure{radius: s * (0.06 + 0.16*rnd.Float64()), stretch: 0.8 + 0.4*rnd.Float64(), turn: 0.7 * (rnd.Float64() - 0.5)}
	f.x, f.y = s*rnd.Float64(), s*rnd.Float64()
	margin := 0.6 * f.radius // a shape may leave the picture by a little
	f.x, f.y = min(max(f.x, margin), s-margin), min(max(f.y, margin), s-margin)
	return f
}

// crowds tells whether the figure would cover what is drawn already.
func (f figure) crowds(labels []dataset.Label, size int) bool {
	for _, l := range labels {
		left, top, w, h := l.Pixels(size, size)
		dx := max(left-f.x, f.x-left-w, 0)
		dy := max(top-f.y, f.y-top-h, 0)
		if math.Hypot(dx, dy) < 0.9*f.radius {
			return true
		}
	}
	return false
}

// draw blends the shape in, with nine looks a pixel, and returns the edges of
// the pixels that it fills by half or more.
func (f figure) draw(img *picture.Image, inside shape, colour [3]float64) (box [4]float64, ok bool) {
	reach := 1.5 * f.radius // the corner of a stretched square
	x0, x1 := max(int(f.x-reach), 0), min(int(f.x+reach)+1, img.Width)
	y0, y1 := max(int(f.y-reach), 0), min(int(f.y+reach)+1, img.Height)
	cos, sin := math.Cos(f.turn)/f.radius, math.Sin(f.turn)/f.radius
	box = [4]float64{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}
	for y := y0; y < y1; y++ {
		for x := x0; x < x1; x++ {
			hits := 0
			for k := range 9 {
				dx, dy := float64(x)+float64(2*(k%3)+1)/6-f.x, float64(y)+float64(2*(k/3)+1)/6-f.y
				if inside((dx*cos+dy*sin)*f.stretch, (dy*cos-dx*sin)/f.stretch) {
					hits++
				}
			}
			if hits == 0 {
				continue
			}
			p := img.Pix[3*(img.Width*y+x):]
			for c := range 3 {
				p[c] = toByte(float64(p[c]) + (colour[c]-float64(p[c]))*float64(hits)/9)
			}
			if hits >= 5 {
				fx, fy := float64(x), float64(y)
				box = [4]float64{min(box[0], fx), min(box[1], fy), max(box[2], fx+1), max(box[3], fy+1)}
			}
		}
	}
	return box, box[2]-box[0] >= 3 && box[3]-box[1] >= 3
}

func toByte(v float64) uint8 { return uint8(min(max(math.Round(v), 0), 255)) }
