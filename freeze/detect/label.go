package detect

import (
	"context"

	"yolofreeze/dataset"
)

// Label finds objects in pictures and returns them as samples with labels, and the names that
// the labels count by: those of the classes that are kept, in the order they were asked for in. Each
// sees every picture, those too that cannot be read and are left out.
func (f *Finder) Label(ctx context.Context, paths []string, each func(*Picture) error) (samples []dataset.Sample, names []string, err error) {
	class := map[int]int{}
	err = f.Run(ctx, paths, func(p *Picture) error {
		all := f.names()
		if names == nil {
			for i, c := range f.kept(len(all)) {
				class[c], names = i, append(names, all[c])
			}
		}
		if p.Err == nil {
			samples = append(samples, p.sample(class))
		}
		return each(p)
	})
	return samples, names, err
}

// kept are the classes that are asked for, all unless some are.
func (f *Finder) kept(all int) []int {
	if len(f.nms.Classes) > 0 {
		return f.nms.Classes
	}
	list := make([]int, all)
	for i := range list {
		list[i] = i
	}
	return list
}

func (p *Picture) sample(class map[int]int) dataset.Sample {
	s := dataset.Sample{Path: p.Path, Width: p.Width, Height: p.Height}
	for _, o := range p.Objects {
		b := o.XYXY
		l := dataset.FromPixels(class[o.Class], b[0], b[1], b[2]-b[0], b[3]-b[1], p.Width, p.Height)
		if l.W > 0 && l.H > 0 {
			l = l.Clipped().Snapped()
			l.Conf = o.Conf
			s.Labels = append(s.Labels, l)
		}
	}
	return s
}
