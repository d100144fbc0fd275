package tensorboard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	_ "image/jpeg" // sizes of pictures
	_ "image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of TensorFlow's Event, Summary, Summary.Value, Summary.Image and
// SessionLog messages (event.proto, summary.proto).
const (
	eventWallTime    protowire.Number = 1
	eventStep        protowire.Number = 2
	eventFileVersion protowire.Number = 3
	eventSummary     protowire.Number = 5
	eventSessionLog  protowire.Number = 7
	summaryValue     protowire.Number = 1
	valueTag         protowire.Number = 1
	valueSimple      protowire.Number = 2
	valueImage       protowire.Number = 4
	imageHeight      protowire.Number = 1
	imageWidth       protowire.Number = 2
	imageColorspace  protowire.Number = 3
	imageEncoded     protowire.Number = 4
	sessionStatus    protowire.Number = 1

	sessionStart  = 1
	colorspaceRGB = 3
	fileVersion   = "brain.Event:2"
)

// Writer appends events to a file. It is not safe for concurrent use.
type Writer struct {
	file *os.File
	now  func() time.Time
}

// Scalar is one number under its tag, such as train/box_loss.
type Scalar struct {
	Tag   string
	Value float64 // written as float32
}

// Create makes a new event file in a folder; it is named after time, host and
// process, so several may lie there, and TensorBoard reads them one after the
// other. Events of earlier files from step on are taken back: a run that goes
// on writes them anew.
func Create(dir string, step int) (*Writer, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	w := &Writer{now: time.Now}
	stem := fmt.Sprintf("events.out.tfevents.%010d.%s.%d.", w.now().Unix(), host, os.Getpid())
	for i := 0; w.file == nil; i++ {
		w.file, err = os.OpenFile(filepath.Join(dir, fmt.Sprint(stem, i)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if err != nil && !errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("create a TensorBoard file: %w", err)
		}
	}
	if err := w.start(step); err != nil {
		w.file.Close()
		return nil, err
	}
	return w, nil
}

func (w *Writer) start(step int) error {
	version := protowire.AppendTag(nil, eventFileVersion, protowire.BytesType)
	if err := w.event(0, protowire.AppendString(version, fileVersion)); err != nil || step == 0 {
		return err
	}
	status := protowire.AppendTag(nil, sessionStatus, protowire.VarintType)
	return w.event(step, message(nil, eventSessionLog, protowire.AppendVarint(status, sessionStart)))
}

// Scalars writes the numbers of a step.
func (w *Writer) Scalars(step int, scalars ...Scalar) error {
	var summary []byte
	for _, s := range scalars {
		value := protowire.AppendString(protowire.AppendTag(nil, valueTag, protowire.BytesType), s.Tag)
		value = protowire.AppendFixed32(protowire.AppendTag(value, valueSimple, protowire.Fixed32Type), math.Float32bits(float32(s.Value)))
		summary = message(summary, summaryValue, value)
	}
	return w.event(step, message(nil, eventSummary, summary))
}

// Picture writes a PNG or JPEG file's bytes under a tag.
func (w *Writer) Picture(step int, tag string, encoded []byte) error {
	config, _, err := image.DecodeConfig(bytes.NewReader(encoded))
	if err != nil {
		return fmt.Errorf("write picture %s to %s: %w", tag, w.file.Name(), err)
	}
	var img []byte
	for _, f := range []struct {
		number protowire.Number
		value  int
	}{{imageHeight, config.Height}, {imageWidth, config.Width}, {imageColorspace, colorspaceRGB}} {
		img = protowire.AppendVarint(protowire.AppendTag(img, f.number, protowire.VarintType), uint64(f.value))
	}
	img = message(img, imageEncoded, encoded)
	value := protowire.AppendString(protowire.AppendTag(nil, valueTag, protowire.BytesType), tag)
	return w.event(step, message(nil, eventSummary, message(nil, summaryValue, message(value, valueImage, img))))
}

// Close closes the file.
func (w *Writer) Close() error {
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", w.file.Name(), err)
	}
	return nil
}

// message appends a field that is a message, or bytes.
func message(b []byte, field protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), content)
}

// event writes one Event with the given fields as a record.
func (w *Writer) event(step int, fields []byte) error {
	seconds := float64(w.now().UnixMicro()) / 1e6
	b := protowire.AppendFixed64(protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type), math.Float64bits(seconds))
	b = protowire.AppendVarint(protowire.AppendTag(b, eventStep, protowire.VarintType), uint64(step))
	if err := writeRecord(w.file, append(b, fields...)); err != nil {
		return fmt.Errorf("write to %s: %w", w.file.Name(), err)
	}
	return nil
}

// writeRecord frames data as a TFRecord: the length, its check sum, the data,
// its check sum, all little-endian. It is one write, so that no reader sees half.
func writeRecord(w io.Writer, data []byte) error {
	record := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	record = binary.LittleEndian.AppendUint32(record, masked(record))
	record = append(record, data...)
	_, err := w.Write(binary.LittleEndian.AppendUint32(record, masked(data)))
	return err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is the CRC-32C of data, rotated and shifted as TFRecord does to keep
// sums of data that hold sums apart.
func masked(data []byte) uint32 {
	sum := crc32.Checksum(data, castagnoli)
	return (sum>>15 | sum<<17) + 0xa282ead8
}
