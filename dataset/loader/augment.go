package loader

import (
	"math/rand/v2"

	"yolofreeze/dataset"
	"yolofreeze/dataset/picture"
)

// studio makes training and validation pictures in memory of its own, one at a
// time. open gives a sample's picture, resized so that its longer side is the
// longer one of what is made, which must not be changed, and its labels.
type studio struct {
	hyp  *dataset.Hyp
	open func(sample int) (*picture.Image, []dataset.Label, error)

	canvas, first, second, quad picture.Image // reused
}

// augmented applies a draw to a sample and returns a picture of w×h pixels,
// valid until the next call, with its objects.
func (s *studio) augmented(sample int, p pictureParams, w, h int) (*picture.Image, []object, error) {
	img, objs, err := s.unmixed(sample, p, w, h)
	if err != nil {
		return nil, nil, err
	}
	if p.mix != nil {
		other, more, err := s.mosaic(&s.second, p.mix, w, h)
		if err != nil {
			return nil, nil, err
		}
		blend(img, other, p.share)
		objs = append(objs, more...)
	}
	p.hsv.Apply(img)
	if p.flipUD {
		img.FlipUD()
		for i := range objs {
			objs[i].y1, objs[i].y2 = float64(h)-objs[i].y2, float64(h)-objs[i].y1
		}
	}
	if p.flipLR {
		img.FlipLR()
		for i := range objs {
			objs[i].x1, objs[i].x2 = float64(w)-objs[i].x2, float64(w)-objs[i].x1
		}
	}
	return img, objs, nil
}

func (s *studio) unmixed(sample int, p pictureParams, w, h int) (*picture.Image, []object, error) {
	if p.mosaic != nil {
		return s.mosaic(&s.first, p.mosaic, w, h)
	}
	boxed, objs, _, err := s.plain(sample, w, h, true)
	if err != nil {
		return nil, nil, err
	}
	out := s.first.Sized(w, h)
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
func (s *studio) plain(sample, w, h int, enlarge bool) (*picture.Image, []object, picture.Fit, error) {
	img, labels, err := s.open(sample)
	if err != nil {
		return nil, nil, picture.Fit{}, err
	}
	boxed, place := picture.Letterbox(img, w, h, picture.LetterboxOptions{Enlarge: enlarge})
	objs := placed(nil, labels, place.RatioX*float64(img.Width), place.RatioY*float64(img.Height), place.PadX, place.PadY)
	return boxed, objs, place, nil
}

// mosaic makes a picture of w×h pixels in out, each part as large as it would be alone.
func (s *studio) mosaic(out *picture.Image, p *mosaicParams, w, h int) (*picture.Image, []object, error) {
	imgs := make([]*picture.Image, len(p.samples))
	labels := make([][]dataset.Label, len(p.samples))
	sizes := make([][2]int, len(p.samples))
	for i, sample := range p.samples {
		var err error
		if imgs[i], labels[i], err = s.open(sample); err != nil {
			return nil, nil, err
		}
		imgs[i] = within(imgs[i], w, h)
		sizes[i] = [2]int{imgs[i].Width, imgs[i].Height}
	}
	parts := mosaicFour(p.centreX, p.centreY, sizes)
	if len(sizes) == 9 {
		parts = mosaicNine(w, h, p.centreX, p.centreY, sizes)
	}
	wide, high := 2*w, 2*h
	canvas := s.canvas.Sized(wide, high)
	fill(canvas.Pix, picture.PadColour)
	var objs []object
	for i, part := range parts {
		part.paste(canvas, imgs[i])
		objs = placed(objs, labels[i], float64(part.width), float64(part.height), float64(part.left), float64(part.top))
	}
	cut(objs, float64(wide), float64(high))
	if s.hyp.CopyPaste > 0 {
		objs = copyPaste(canvas, objs, s.hyp.CopyPaste, rand.New(rand.NewPCG(p.paste, 0)))
	}
	m := p.view.Matrix(wide, high, w, h)
	m.Warp(out.Sized(w, h), canvas)
	return out, m.move(objs, p.view.Scale, w, h), nil
}

// within shrinks a picture that is wider or higher than w×h pixels, whose sides differ.
func within(img *picture.Image, w, h int) *picture.Image {
	if img.Width <= w && img.Height <= h || w == h { // of those at most a rounded-up line is cut
		return img
	}
	r := min(float64(w)/float64(img.Width), float64(h)/float64(img.Height))
	return picture.Resize(img, max(int(float64(img.Width)*r+.5), 1), max(int(float64(img.Height)*r+.5), 1), false)
}
