package coco

import (
	"bytes"
	"encoding/json"
)

// outline holds the parts of a polygon, x and y in turn, in pixels. Masks as
// run lengths, which mark crowds, are passed over; what is no list of numbers is left
// out, and noted.
type outline struct {
	parts [][]float32
	bad   bool
}

func (o *outline) UnmarshalJSON(b []byte) error {
	if b[0] != '[' || bytes.Equal(b, []byte("[]")) {
		return nil
	}
	if json.Unmarshal(b, &o.parts) == nil {
		return nil
	}
	var flat []float32 // some tools leave out the list of parts
	if json.Unmarshal(b, &flat) == nil {
		o.parts = [][]float32{flat}
		return nil
	}
	var masks []struct{ Counts any } // or list masks
	o.parts, o.bad = nil, json.Unmarshal(b, &masks) != nil
	return nil
}
