package loader

import (
	"math/rand/v2"

	"yolofreeze/dataset"
	"yolofreeze/dataset/picture"
)

// pictureParams is everything that chance decides about one training picture.
// Drawing and applying are apart, so that a draw can be replayed.
type pictureParams struct {
	mosaic *mosaicParams // nil: the picture alone, seen through view
	mix    *mosaicParams // blended into mosaic; nil: none
	share  float64       // of mosaic in that blend

	view           Perspective
	hsv            picture.HSVGains
	flipUD, flipLR bool
}

// drawer draws from one generator with the chances of h.
type drawer struct {
	r    *rand.Rand
	h    *dataset.Hyp
	nine float64      // chance that a mosaic has nine pictures
	size dataset.Size // of the training picture
	pool []int        // the samples of this epoch, from which partners come
}

// generator returns the generator of one thing, told by its parts: the same
// one whatever was drawn before or elsewhere.
func generator(seed uint64, parts ...uint64) *rand.Rand {
	mix := func(x uint64) uint64 { // splitmix64's finaliser
		x += 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		return x ^ x>>31
	}
	state := mix(seed)
	for _, p := range parts {
		state = mix(state ^ mix(p))
	}
	return rand.New(rand.NewPCG(state, mix(state)))
}

func (d *drawer) uniform(from, to float64) float64 { return from + d.r.Float64()*(to-from) }

// around draws within reach of centre.
func (d *drawer) around(centre, reach float64) float64 {
	return d.uniform(centre-reach, centre+reach)
}

func (d *drawer) chance(p float64) bool { return d.r.Float64() < p }

// picture draws the parameters of one training picture; mosaic says whether it
// may be one.
func (d *drawer) picture(sample int, mosaic bool) pictureParams {
	var p pictureParams
	if mosaic && d.chance(d.h.Mosaic) {
		p.mosaic = d.mosaic(sample)
		if d.chance(d.h.MixUp) {
			p.mix = d.mosaic(d.partner())
			p.share = mixShare(d.r)
		}
	} else {
		p.view = d.perspective()
	}
	p.hsv = picture.HSVGains{H: d.around(1, d.h.HSVH), S: d.around(1, d.h.HSVS), V: d.around(1, d.h.HSVV)}
	p.flipUD, p.flipLR = d.chance(d.h.FlipUD), d.chance(d.h.FlipLR)
	return p
}

func (d *drawer) perspective() Perspective {
	return Perspective{
		PerspectiveX: d.around(0, d.h.Perspective), PerspectiveY: d.around(0, d.h.Perspective),
		Angle: d.around(0, d.h.Degrees), Scale: d.around(1, d.h.Scale),
		ShearX: d.around(0, d.h.Shear), ShearY: d.around(0, d.h.Shear),
		TranslateX: d.around(.5, d.h.Translate), TranslateY: d.around(.5, d.h.Translate),
	}
}

func (d *drawer) partner() int { return d.pool[d.r.IntN(len(d.pool))] }

func (d *drawer) mosaic(sample int) *mosaicParams {
	m := &mosaicParams{samples: []int{sample}}
	n, from, to := 4, .5, 1.5
	if d.chance(d.nine) {
		n, from, to = 9, 0, 1
	}
	along := func(side int) int { return int(d.uniform(from*float64(side), to*float64(side))) }
	m.centreX, m.centreY = along(d.size.Width), along(d.size.Height)
	for len(m.samples) < n {
		m.samples = append(m.samples, d.partner())
	}
	d.r.Shuffle(n, func(i, j int) { m.samples[i], m.samples[j] = m.samples[j], m.samples[i] })
	m.paste = d.r.Uint64()
	m.view = d.perspective()
	return m
}
