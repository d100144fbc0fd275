package tensorboard

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/png"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// event is what the tests' reader finds.
type event struct {
	wall    float64
	step    uint64
	version string
	scalars []Scalar
	picture []byte
	size    [2]uint64 // width, height
	start   bool
}

// readFile takes an event file apart, checking lengths and sums.
func readFile(t *testing.T, path string) (events []event) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for len(data) > 0 {
		if len(data) < 16 {
			t.Fatalf("%d bytes left", len(data))
		}
		n := binary.LittleEndian.Uint64(data)
		if got := binary.LittleEndian.Uint32(data[8:]); got != masked(data[:8]) {
			t.Fatalf("the length's sum is %x", got)
		}
		body := data[12 : 12+n]
		if got := binary.LittleEndian.Uint32(data[12+n:]); got != masked(body) {
			t.Fatalf("the record's sum is %x", got)
		}
		var e event
		e.read(t, body, "event")
		events, data = append(events, e), data[16+n:]
	}
	return events
}

// read walks through a message and its inner ones, which are told by place.
func (e *event) read(t *testing.T, b []byte, place string) {
	t.Helper()
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		n = protowire.ConsumeFieldValue(field, kind, b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		value := b[:n]
		b = b[n:]
		number, _ := protowire.ConsumeVarint(value)
		text, _ := protowire.ConsumeBytes(value)
		switch {
		case place == "event" && field == 1:
			bits, _ := protowire.ConsumeFixed64(value)
			e.wall = math.Float64frombits(bits)
		case place == "event" && field == 2:
			e.step = number
		case place == "event" && field == 3:
			e.version = string(text)
		case place == "event" && field == 5:
			e.read(t, text, "summary")
		case place == "event" && field == 7:
			e.read(t, text, "session")
		case place == "session" && field == 1:
			e.start = number == 1
		case place == "summary" && field == 1:
			e.scalars = append(e.scalars, Scalar{})
			e.read(t, text, "value")
		case place == "value" && field == 1:
			e.scalars[len(e.scalars)-1].Tag = string(text)
		case place == "value" && field == 2:
			bits, _ := protowire.ConsumeFixed32(value)
			e.scalars[len(e.scalars)-1].Value = float64(math.Float32frombits(bits))
		case place == "value" && field == 4:
			e.read(t, text, "image")
		case place == "image" && field <= 2:
			e.size[2-field] = number
		case place == "image" && field == 4:
			e.picture = text
		case place == "image" && field == 3 && number == 3:
		default:
			t.Errorf("%s has a field %d", place, field)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.now = func() time.Time { return time.UnixMicro(1700000000250000) }
	want := []Scalar{{"train/box_loss", .125}, {"metrics/mAP_0.5:0.95", 0}, {"x/lr0", -3}}
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 7, 5))); err != nil {
		t.Fatal(err)
	}
	if err := w.Scalars(300, want...); err != nil {
		t.Fatal(err)
	}
	if err := w.Picture(301, "results", picture.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := w.Picture(301, "broken", []byte("no picture")); err == nil {
		t.Error("no error of what is no picture")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Scalars(2, want...); err == nil {
		t.Error("no error of a closed file")
	}
	events := readFile(t, w.file.Name())
	if len(events) != 3 {
		t.Fatalf("%d events", len(events))
	}
	if e := events[0]; e.version != "brain.Event:2" || e.start {
		t.Errorf("first event %+v", e)
	}
	if e := events[1]; e.step != 300 || e.wall != 1700000000.25 || !slices.Equal(e.scalars, want) {
		t.Errorf("scalars %+v", e)
	}
	if e := events[2]; e.step != 301 || e.size != [2]uint64{7, 5} || !bytes.Equal(e.picture, picture.Bytes()) || e.scalars[0].Tag != "results" {
		t.Errorf("picture %+v", e)
	}
}

// TestGoOn: a second file beside the first takes back what follows its step.
func TestGoOn(t *testing.T) {
	dir := t.TempDir()
	for _, step := range []int{0, 4} {
		w, err := Create(dir, step)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		events := readFile(t, w.file.Name())
		last := events[len(events)-1]
		if last.start != (step > 0) || last.step != uint64(step) {
			t.Errorf("from step %d: %+v", step, events)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*")); len(files) != 2 {
		t.Errorf("files %q", files)
	}
	if _, err := Create(filepath.Join(dir, "absent"), 0); err == nil {
		t.Error("no error of a folder that is not there")
	}
}

// TestMasked has the check value of CRC-32C (e3069283 of "123456789", RFC 3720),
// masked by hand.
func TestMasked(t *testing.T) {
	want := bits.RotateLeft32(0xe3069283, 17) + 0xa282ead8
	if got := masked([]byte("123456789")); got != want {
		t.Errorf("%x, want %x", got, want)
	}
}
