package coco

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"yolofreeze/onnx/disk"
)

// document is what one JSON file says.
type document struct {
	file        string
	images      []image
	annotations []annotation
	categories  []category

	ids   map[key]int    // how often annotations have an id
	names map[key]string // of the categories
}

type image struct {
	ID       key    `json:"id"`
	FileName name   `json:"file_name"`
	Width    number `json:"width"`
	Height   number `json:"height"`
}

type category struct {
	ID            key  `json:"id"`
	Name          name `json:"name"`
	Supercategory name `json:"supercategory"`
}

type annotation struct {
	ID         key      `json:"id"`
	ImageID    key      `json:"image_id"`
	CategoryID key      `json:"category_id"`
	Bbox       []number `json:"bbox"`
	Crowd      flag     `json:"iscrowd"`
	Outline    outline  `json:"segmentation"`
}

// readJSON reads a file as a stream: memory grows with what it holds, not with
// how it is written.
func readJSON(file string, outlines bool) (*document, error) {
	f, _, err := disk.Open(file, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	doc, err := parseJSON(unmarked(bufio.NewReaderSize(f, 1<<20)), outlines)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	doc.file = file
	return doc, nil
}

// unmarked is the stream's text in UTF-8, as disk.ReadText gives that of a file: a byte order
// mark decides what it is in.
func unmarked(r io.Reader) io.Reader {
	return transform.NewReader(r, unicode.BOMOverride(transform.Nop))
}

func parseJSON(r io.Reader, outlines bool) (*document, error) {
	doc := &document{}
	seen := map[string]bool{}
	d := json.NewDecoder(&nanReader{r: r})
	if err := expect(d, '{'); err != nil {
		return nil, err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, atOffset(d, err)
		}
		name, _ := key.(string)
		if seen[name] {
			return nil, fmt.Errorf("key %q is there twice", name)
		}
		seen[name] = true
		switch name {
		case "images":
			err = list(d, name, func(v *image) { doc.images = append(doc.images, *v) })
		case "categories":
			err = list(d, name, func(v *category) { doc.categories = append(doc.categories, *v) })
		case "annotations":
			err = list(d, name, func(v *annotation) {
				if !outlines {
					v.Outline = outline{}
				}
				doc.annotations = append(doc.annotations, *v)
			})
		default:
			err = skip(d)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := expect(d, '}'); err != nil {
		return nil, err
	}
	for _, key := range []string{"images", "annotations", "categories"} {
		if !seen[key] {
			return nil, fmt.Errorf("not a COCO file: key %q is missing", key)
		}
	}
	return doc, nil
}

// list decodes the elements of an array one by one.
func list[T any](d *json.Decoder, key string, add func(*T)) error {
	if err := expect(d, '['); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	for n := 0; d.More(); n++ {
		var v T
		if err := d.Decode(&v); err != nil {
			return fmt.Errorf("%s[%d]: %w", key, n, atOffset(d, err))
		}
		add(&v)
	}
	if err := expect(d, ']'); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

func expect(d *json.Decoder, want json.Delim) error {
	t, err := d.Token()
	if err != nil {
		return atOffset(d, err)
	}
	if t != want {
		return fmt.Errorf("byte %d: not a COCO file: %v where %v must be", d.InputOffset(), t, want)
	}
	return nil
}

// skip passes over one value without keeping it.
func skip(d *json.Decoder) error {
	for depth := 0; ; {
		t, err := d.Token()
		if err != nil {
			return atOffset(d, err)
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
		if depth > 1000 {
			return fmt.Errorf("byte %d: nested deeper than 1000", d.InputOffset())
		}
	}
}

func atOffset(d *json.Decoder, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("byte %d: the file ends too early", d.InputOffset())
	}
	return fmt.Errorf("byte %d: %s", d.InputOffset(), plain(err))
}
