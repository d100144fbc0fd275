package picture

import (
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/opentype"
)

var (
	faces     sync.Map // font.Face by height
	parseFont = sync.OnceValues(func() (*opentype.Font, error) { return opentype.Parse(gobold.TTF) })
)

// Face is the font that is written in pictures, at a height in pixels. Two goroutines must not use one at a time.
func Face(pixels int) font.Face {
	if face, ok := faces.Load(pixels); ok {
		return face.(font.Face)
	}
	parsed, err := parseFont()
	if err != nil {
		panic("the font that is part of the program cannot be read: " + err.Error())
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: float64(pixels), DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		panic("the font that is part of the program cannot be read: " + err.Error())
	}
	faces.Store(pixels, face)
	return face
}
