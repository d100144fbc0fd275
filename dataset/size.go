package dataset

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is that of pictures as a network takes them.
type Size struct{ Height, Width int }

// ParseSize reads a side, or height and width: 640, or 384,640 or 384x640.
func ParseSize(text string) (s Size, err error) {
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == 'x' })
	sides := make([]int, len(fields))
	for i, f := range fields {
		if sides[i], err = strconv.Atoi(f); err != nil {
			break
		}
	}
	switch {
	case err == nil && len(sides) == 1:
		return Size{sides[0], sides[0]}, nil
	case err == nil && len(sides) == 2:
		return Size{sides[0], sides[1]}, nil
	}
	return s, fmt.Errorf("%q: must be a side, or height and width", text)
}

// IsSquare tells whether both sides are the same.
func (s Size) IsSquare() bool { return s.Height == s.Width }

// Longer is the longer side.
func (s Size) Longer() int { return max(s.Height, s.Width) }

// Other is the height where it is not the width, and 0 otherwise: options that have a side
// take it for a further one.
func (s Size) Other() int {
	if s.IsSquare() {
		return 0
	}
	return s.Height
}

// SizeOf is the inverse: a width, and a height unless it is 0.
func SizeOf(width, height int) Size {
	if height == 0 {
		height = width
	}
	return Size{height, width}
}

// Rounded rounds both sides up to a multiple of stride, at least least strides.
func (s Size) Rounded(stride, least int) Size {
	up := func(side int) int { return max((side+stride-1)/stride, least) * stride }
	return Size{up(s.Height), up(s.Width)}
}

// String is the size as option imgsz takes it: the side, or height and width.
func (s Size) String() string {
	if s.IsSquare() {
		return strconv.Itoa(s.Width)
	}
	return fmt.Sprintf("%d %d", s.Height, s.Width)
}
