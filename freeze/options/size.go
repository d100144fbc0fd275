package options

import (
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/onnx/yaml"
)

// Size is the size of pictures that is asked for.
func (o *Options) Size() dataset.Size { return dataset.SizeOf(o.ImageSize, o.ImageHeight) }

// Sides is where options have the size of pictures: a width, and a height, 0 for the same.
type Sides struct{ Width, Height *int }

// Size is what stands there.
func (s Sides) Size() dataset.Size { return dataset.SizeOf(*s.Width, *s.Height) }

// Set puts a size there.
func (s Sides) Set(size dataset.Size) { *s.Width, *s.Height = size.Width, size.Other() }

// read takes a side or a list of height and width.
func (s Sides) read(v *yaml.Node) error {
	text := v.Text
	for _, item := range v.Items {
		text = strings.TrimPrefix(text+","+item.Text, ",")
	}
	size, err := dataset.ParseSize(text)
	if err == nil {
		s.Set(size)
	}
	return err
}
