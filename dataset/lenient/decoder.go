package lenient

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

// Decoder reads a text as a stream: memory grows with what is kept, not with how it is written.
type Decoder struct{ d *json.Decoder }

// NewDecoder reads r, whose byte order mark decides what its text is in; without one that is UTF-8.
func NewDecoder(r io.Reader) *Decoder {
	return &Decoder{json.NewDecoder(&nanReader{r: transform.NewReader(r, unicode.BOMOverride(transform.Nop))})}
}

// Read has a file parsed. Errors name it.
func Read(file string, parse func(*Decoder) error) error {
	f, _, err := disk.Open(file, math.MaxInt64)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := parse(NewDecoder(bufio.NewReaderSize(f, 1<<20))); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// Object has each value of an object visited, which visit decodes. A key that is there twice is an error.
func (d *Decoder) Object(visit func(key string) error) error {
	if err := d.expect('{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for d.d.More() {
		t, err := d.d.Token()
		if err != nil {
			return d.at(err)
		}
		key, _ := t.(string)
		if seen[key] {
			return fmt.Errorf("key %q is there twice", key)
		}
		seen[key] = true
		if err := visit(key); err != nil {
			return err
		}
	}
	return d.expect('}')
}

// Value decodes one value.
func (d *Decoder) Value(key string, v any) error {
	if err := d.d.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", key, d.at(err))
	}
	return nil
}

// List decodes the elements of a list one by one; errors call it key.
func List[T any](d *Decoder, key string, add func(*T)) error {
	if err := d.expect('['); err != nil {
		return named(key, err)
	}
	for n := 0; d.d.More(); n++ {
		var v T
		if err := d.d.Decode(&v); err != nil {
			return fmt.Errorf("%s[%d]: %w", key, n, d.at(err))
		}
		add(&v)
	}
	return named(key, d.expect(']'))
}

func named(key string, err error) error {
	if err == nil || key == "" {
		return err
	}
	return fmt.Errorf("%s: %w", key, err)
}

func (d *Decoder) expect(want json.Delim) error {
	t, err := d.d.Token()
	if err != nil {
		return d.at(err)
	}
	if t != want {
		return fmt.Errorf("byte %d: %v where %v must be", d.d.InputOffset(), t, want)
	}
	return nil
}

// Skip passes over one value without keeping it.
func (d *Decoder) Skip() error {
	for depth := 0; ; {
		t, err := d.d.Token()
		if err != nil {
			return d.at(err)
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
			return fmt.Errorf("byte %d: nested deeper than 1000", d.d.InputOffset())
		}
	}
}

func (d *Decoder) at(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("byte %d: the file ends too early", d.d.InputOffset())
	}
	return fmt.Errorf("byte %d: %s", d.d.InputOffset(), Plain(err))
}

// Shape is what a file's beginning shows of it: the keys of its object, or of the first object
// of its list, each with how its value begins: '{', '[', or 0 for neither.
type Shape struct {
	List bool
	Keys map[string]rune
}

// ShapeOf looks at a file's first MiB; what is no JSON has no keys.
func ShapeOf(file string) Shape {
	s := Shape{Keys: map[string]rune{}}
	f, _, err := disk.Open(file, math.MaxInt64)
	if err != nil {
		return s
	}
	defer f.Close()
	d := NewDecoder(io.LimitReader(f, 1<<20))
	t, err := d.d.Token()
	if s.List = err == nil && t == json.Delim('['); s.List {
		t, err = d.d.Token()
	}
	if err != nil || t != json.Delim('{') {
		return s
	}
	for d.d.More() {
		key, err := d.d.Token()
		name, ok := key.(string)
		if err != nil || !ok {
			return s
		}
		value, err := d.d.Token()
		if err != nil {
			return s
		}
		begin, nested := value.(json.Delim)
		s.Keys[name] = rune(begin)
		for depth := 1; nested && depth > 0; {
			t, err := d.d.Token()
			if err != nil {
				return s
			}
			switch t {
			case json.Delim('{'), json.Delim('['):
				depth++
			case json.Delim('}'), json.Delim(']'):
				depth--
			}
		}
	}
	return s
}
