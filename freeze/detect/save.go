package detect

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/disk"
)

// SaveOptions say what is saved of detections, and where.
type SaveOptions struct {
	Project, Name string // of the folder
	ExistOK       bool   // it may be there

	Pictures bool // with boxes, drawn by Pen
	Text     bool // YOLO labels
	Conf     bool // with their confidence
	Corners  bool // labels as left, top, right, bottom, not as YOLO's centre and size
	CSV      bool // predictions.csv
	JSON     bool // detections.json
	Crops    bool // each detection as a picture
	Pen      Pen
}

// Saver writes what is found into a run's folder.
type Saver struct {
	Dir string // "" when nothing is saved

	o     SaveOptions
	table *csv.Writer // of rows; nil: none
	rows  bytes.Buffer
	all   []*Picture
	taken map[string]bool // names given out
}

// NewSaver makes the run's folder if anything is to be saved. It is none of the inputs,
// which are the pictures among others.
func NewSaver(o SaveOptions, in disk.Inputs) (*Saver, error) {
	s := &Saver{o: o, taken: map[string]bool{}}
	if !o.Pictures && !o.Text && !o.Crops && !o.JSON && !o.CSV {
		return s, nil
	}
	var err error
	if s.Dir, err = runs.NewFolder(o.Project, o.Name, o.ExistOK, in); err != nil {
		return nil, err
	}
	if o.Text {
		_, err = disk.Folder(s.Dir, "labels")
	}
	if err == nil && o.CSV {
		s.table = csv.NewWriter(&s.rows)
		err = s.table.Write([]string{"Image Name", "Prediction", "Confidence"})
	}
	if err != nil {
		return nil, fmt.Errorf("saving detections: %w", err)
	}
	return s, nil
}

// Add saves one picture's detections.
func (s *Saver) Add(d *Picture) error {
	if s.Dir == "" {
		return nil
	}
	name := s.unique(filepath.Base(d.Path))
	stem := strings.TrimSuffix(name, filepath.Ext(name))
	err := errors.Join(s.addText(stem, d), s.addRows(stem+filepath.Ext(d.Path), d))
	var canvas *image.RGBA
	if s.o.Crops || s.o.Pictures {
		canvas = canvasOf(d.image)
	}
	if s.o.Crops { // of the picture as it is
		err = errors.Join(err, s.addCrops(stem, d, canvas))
	}
	if s.o.JSON {
		s.all = append(s.all, d)
	}
	if s.o.Pictures && err == nil {
		for i := range d.Objects { // the most confident last, on top
			s.o.Pen.draw(canvas, d.Objects[len(d.Objects)-1-i])
		}
		err = savePicture(filepath.Join(s.Dir, name), canvas)
	}
	d.image = nil // which nobody needs any more
	if err != nil {
		return fmt.Errorf("saving the detections of %s: %w", d.Path, err)
	}
	return nil
}

// unique gives pictures of one name in different folders different names.
func (s *Saver) unique(name string) string {
	ext := filepath.Ext(name)
	if !strings.EqualFold(ext, ".png") && !strings.EqualFold(ext, ".jpg") && !strings.EqualFold(ext, ".jpeg") {
		name, ext = strings.TrimSuffix(name, ext)+".jpg", ".jpg" // formats that are read, not written
	}
	stem := strings.TrimSuffix(name, ext)
	for i := 2; s.taken[strings.TrimSuffix(name, ext)]; i++ {
		name = stem + "_" + strconv.Itoa(i) + ext
	}
	s.taken[strings.TrimSuffix(name, ext)] = true
	return name
}

func (s *Saver) addText(stem string, d *Picture) error {
	if !s.o.Text {
		return nil
	}
	line := yoloLine
	if s.o.Corners {
		line = cornerLine
	}
	return putLabels(s.Dir, stem, d.raw, d.Width, d.Height, s.o.Conf, line)
}

func (s *Saver) addRows(name string, d *Picture) error {
	if s.table == nil {
		return nil
	}
	for _, o := range d.Objects {
		if err := s.table.Write([]string{runs.Cell(name), runs.Cell(o.Name), strconv.FormatFloat(o.Conf, 'f', 2, 64)}); err != nil {
			return err
		}
	}
	return nil
}

// addCrops saves each detection with a margin of 1 % and 5 pixels on each side.
func (s *Saver) addCrops(stem string, d *Picture, canvas *image.RGBA) error {
	for i, o := range d.Objects {
		x, y := .01*(o.XYXY[2]-o.XYXY[0])+5, .01*(o.XYXY[3]-o.XYXY[1])+5
		box := image.Rect(int(o.XYXY[0]-x), int(o.XYXY[1]-y), int(o.XYXY[2]+x), int(o.XYXY[3]+y)).Intersect(canvas.Bounds())
		folder, err := disk.Folder(s.Dir, "crops", folderName(o.Name))
		if err != nil {
			return err
		}
		name := stem + ".jpg"
		if i > 0 {
			name = fmt.Sprintf("%s_%d.jpg", stem, i+1)
		}
		if err := savePicture(filepath.Join(folder, name), canvas.SubImage(box)); err != nil {
			return err
		}
	}
	return nil
}

// folderName makes a class's name fit for a folder: a name comes from a file
// and must not lead elsewhere.
func folderName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, name)
	if strings.Trim(name, ". ") == "" {
		return "_"
	}
	return name
}

// Finish writes what was gathered.
func (s *Saver) Finish() error {
	var errs []error
	if s.table != nil {
		s.table.Flush()
		errs = append(errs, s.table.Error(), disk.Write(filepath.Join(s.Dir, "predictions.csv"), s.rows.Bytes()))
	}
	if s.o.JSON {
		data, err := json.MarshalIndent(append([]*Picture{}, s.all...), "", " ")
		errs = append(errs, err)
		if err == nil {
			errs = append(errs, disk.Write(filepath.Join(s.Dir, "detections.json"), append(data, '\n')))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("saving detections: %w", err)
	}
	return nil
}

// savePicture writes a .png, or anything else as JPEG.
func savePicture(path string, img image.Image) error {
	write := func(w io.Writer) error { return jpeg.Encode(w, img, &jpeg.Options{Quality: 95}) }
	if strings.EqualFold(filepath.Ext(path), ".png") {
		write = func(w io.Writer) error { return png.Encode(w, img) }
	}
	return disk.Put(path, write)
}
