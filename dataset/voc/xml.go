package voc

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/text/encoding/htmlindex"

	"yolofreeze/dataset"
)

const maxXML = 16 << 20

// annotation is one XML file. Values stay text, to be reported as written.
type annotation struct {
	Filename string   `xml:"filename"`
	Database string   `xml:"source>database"`
	Width    string   `xml:"size>width"`
	Height   string   `xml:"size>height"`
	Objects  []object `xml:"object"`
}

// object is one thing; the boxes of its parts (head, hand, foot) are not read.
type object struct {
	Name      string  `xml:"name"`
	Difficult string  `xml:"difficult"`
	Box       *corner `xml:"bndbox"`
}

type corner struct {
	Xmin string `xml:"xmin"`
	Ymin string `xml:"ymin"`
	Xmax string `xml:"xmax"`
	Ymax string `xml:"ymax"`
}

// parseXML reads one annotation. Entities that a document declares are never
// expanded: using one is an error.
func parseXML(text []byte) (*annotation, error) {
	d := xml.NewDecoder(bytes.NewReader(text))
	d.CharsetReader = charset
	var a struct {
		XMLName xml.Name
		annotation
	}
	err := d.Decode(&a)
	var syntax *xml.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("holds no XML element")
	case errors.As(err, &syntax):
		return nil, fmt.Errorf("line %d: not valid XML: %s", syntax.Line, syntax.Msg)
	case err != nil:
		return nil, fmt.Errorf("not a VOC annotation: %w", err)
	case a.XMLName.Local != "annotation":
		return nil, fmt.Errorf("not a VOC annotation: its element is <%s>", a.XMLName.Local)
	}
	for i := range a.Objects {
		a.Objects[i].Name = strings.TrimSpace(a.Objects[i].Name)
	}
	return &a.annotation, nil
}

// charset reads the encodings that annotation tools declare, by the names of the web's
// standard. What is declared to be UTF-16 has been read by its byte order mark.
func charset(label string, r io.Reader) (io.Reader, error) {
	if strings.HasPrefix(strings.ToLower(label), "utf-16") || strings.EqualFold(label, "utf8") {
		return r, nil
	}
	e, err := htmlindex.Get(label)
	if err != nil {
		return nil, fmt.Errorf("encoding %.60q: not known: save it as UTF-8", label)
	}
	return e.NewDecoder().Reader(r), nil
}

func (o *object) difficult() bool {
	s := strings.TrimSpace(o.Difficult)
	return s == "1" || strings.EqualFold(s, "true")
}

// edges are the values of a box in the order of its fields.
var edges = [4]string{"xmin", "ymin", "xmax", "ymax"}

// box reads the box of an object in a picture of w by h pixels. With a problem,
// the object is done with, unless the recorder clips.
func (o *object) box(class, w, h int, place dataset.Problem, r *dataset.Recorder) {
	if o.Box == nil {
		place.Want = "object without a <bndbox>"
		r.Bad(place)
		return
	}
	text := [4]string{o.Box.Xmin, o.Box.Ymin, o.Box.Xmax, o.Box.Ymax}
	var v [4]float64
	for i, s := range text {
		f, err := parseNumber(s)
		if err != nil {
			place.Field, place.Value, place.Want = edges[i], s, err.Error()
			r.Bad(place)
			return
		}
		v[i] = f
	}
	for i := range 2 {
		if v[i] >= v[i+2] {
			place.Field, place.Value = edges[i], strings.TrimSpace(text[i])
			place.Want = fmt.Sprintf("must be under %s, which is %s", edges[i+2], strings.TrimSpace(text[i+2]))
			r.NoArea(place)
			return
		}
	}
	l := toLabel(class, v, w, h)
	l.Difficult = o.difficult()
	leaves := place
	leaves.Field, leaves.Value = "bndbox", strings.Join(text[:], " ")
	leaves.Want = fmt.Sprintf("must lie in the picture, from 1 1 to %d %d", w, h)
	r.Boxed(l, w, h, place, leaves)
}

// toLabel converts corners counted from 1.
func toLabel(class int, v [4]float64, w, h int) dataset.Label {
	return dataset.FromPixels(class, v[0]-1, v[1]-1, v[2]-v[0], v[3]-v[1], w, h)
}

func parseNumber(s string) (float64, error) {
	s = strings.TrimSpace(s)
	if strings.Trim(s, "0123456789+-.eE") != "" || s == "" {
		return 0, errors.New("must be a decimal number")
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || v < -1e9 || v > 1e9 {
		return 0, errors.New("must be a decimal number of pixels")
	}
	return v, nil
}
