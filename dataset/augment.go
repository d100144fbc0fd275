package dataset

import "math/rand/v2"

// studio makes training and validation pictures in memory of its own, one at a
// time. open gives a sample's picture, resized so that its longer side is
// size, which must not be changed, and its labels.
type studio struct {
	size int
	hyp  *Hyp
	open func(sample int) (*Image, []Label, error)

	canvas, first, second, quad Image // reused
}

// sized makes the image w×h pixels, keeping its memory where that is enough.
func (img *Image) sized(w, h int) *Image {
	img.Width, img.Height = w, h
	if n := 3 * w * h; cap(img.Pix) < n {
		img.Pix = make([]uint8, n)
	} else {
		img.Pix = img.Pix[:n]
	}
	return img
}

// augmented applies a draw to a sample and returns a picture of w×h pixels,
// valid until the next call, with its objects.
func (s *studio) augmented(sample int, p pictureParams, w, h int) (*Image, []object, error) {
	img, objs, err := s.unmixed(sample, p, w, h)
	if err != nil {
		return nil, nil, err
	}
	if p.mix != nil {
		other, more, err := s.mosaic(&s.second, p.mix)
		if err != nil {
			return nil, nil, err
		}
		blend(img, other, p.share)
		objs = append(objs, more...)
	}
	p.hsv.Apply(img)
	if p.flipUD {
		img.flipUD()
		for i := range objs {
			objs[i].y1, objs[i].y2 = float64(h)-objs[i].y2, float64(h)-objs[i].y1
		}
	}
	if p.flipLR {
		img.flipLR()
		for i := range objs {
			objs[i].x1, objs[i].x2 = float64(w)-objs[i].x2, float64(w)-objs[i].x1
		}
	}
	return img, objs, nil
}

func (s *studio) unmixed(sample int, p pictureParams, w, h int) (*Image, []object, error) {
	if p.mosaic != nil {
		return s.mosaic(&s.first, p.mosaic)
	}
	boxed, objs, _, err := s.plain(sample, w, h, true)
	if err != nil {
		return nil, nil, err
	}
	out := s.first.sized(w, h)
	m := p.view.Matrix(w, h, w, h)
	if m == identity {
		copy(out.Pix, boxed.Pix)
	} else {
		m.Warp(out, boxed)
	}
	return out, m.move(objs, p.view.Scale, w, h), nil
}

// plain letterboxes a sample into w×h pixels. The picture may be the opened
// one itself.
func (s *studio) plain(sample, w, h int, enlarge bool) (*Image, []object, Placement, error) {
	img, labels, err := s.open(sample)
	if err != nil {
		return nil, nil, Placement{}, err
	}
	boxed, place := Letterbox(img, w, h, LetterboxOptions{Enlarge: enlarge})
	objs := placed(nil, labels, place.RatioX*float64(img.Width), place.RatioY*float64(img.Height), place.PadX, place.PadY)
	return boxed, objs, place, nil
}

// mosaic makes a picture of size×size pixels in out.
func (s *studio) mosaic(out *Image, p *mosaicParams) (*Image, []object, error) {
	imgs := make([]*Image, len(p.samples))
	labels := make([][]Label, len(p.samples))
	sizes := make([][2]int, len(p.samples))
	for i, sample := range p.samples {
		var err error
		if imgs[i], labels[i], err = s.open(sample); err != nil {
			return nil, nil, err
		}
		sizes[i] = [2]int{imgs[i].Width, imgs[i].Height}
	}
	parts := mosaicFour(p.centreX, p.centreY, sizes)
	if len(sizes) == 9 {
		parts = mosaicNine(s.size, p.centreX, p.centreY, sizes)
	}
	side := 2 * s.size
	canvas := s.canvas.sized(side, side)
	fill(canvas.Pix, PadColour)
	var objs []object
	for i, part := range parts {
		part.paste(canvas, imgs[i])
		objs = placed(objs, labels[i], float64(part.width), float64(part.height), float64(part.left), float64(part.top))
	}
	cut(objs, float64(side), float64(side))
	if s.hyp.CopyPaste > 0 {
		objs = copyPaste(canvas, objs, s.hyp.CopyPaste, rand.New(rand.NewPCG(p.paste, 0)))
	}
	m := p.view.Matrix(side, side, s.size, s.size)
	m.Warp(out.sized(s.size, s.size), canvas)
	return out, m.move(objs, p.view.Scale, s.size, s.size), nil
}

// flipUD turns the picture upside down.
func (img *Image) flipUD() {
	n := 3 * img.Width
	spare := make([]uint8, n)
	for y := range img.Height / 2 {
		upper, lower := img.Pix[n*y:n*(y+1)], img.Pix[n*(img.Height-1-y):][:n]
		copy(spare, upper)
		copy(upper, lower)
		copy(lower, spare)
	}
}

// flipLR mirrors the picture.
func (img *Image) flipLR() {
	n := 3 * img.Width
	for y := range img.Height {
		row := img.Pix[n*y : n*(y+1)]
		for i, k := 0, n-3; i < k; i, k = i+3, k-3 {
			p, q := row[i:i+3:i+3], row[k:k+3:k+3]
			p[0], p[1], p[2], q[0], q[1], q[2] = q[0], q[1], q[2], p[0], p[1], p[2]
		}
	}
}

// planes writes the picture as red, green and blue planes.
func (img *Image) planes(dst []uint8) {
	n := img.Width * img.Height
	r, g, b := dst[:n], dst[n:][:n], dst[2*n:][:n]
	src := img.Pix[:3*n]
	for i := range r {
		p := src[3*i : 3*i+3 : 3*i+3]
		r[i], g[i], b[i] = p[0], p[1], p[2]
	}
}
