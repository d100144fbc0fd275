package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/dataset/picture"
	"yolofreeze/freeze/runs"
)

// pictureSaver writes what detect finds into the run's folder.
type pictureSaver struct {
	dir                              string // "" when nothing is saved
	pictures, text, conf, crop, list bool
	table                            *csv.Writer // nil: none
	tableFile                        *os.File
	pen                              pen
	all                              []*detected
	taken                            map[string]bool // names given out
}

// newPictureSaver makes the run's folder if anything is to be saved.
func newPictureSaver(c *cli.Context, pictures []string) (*pictureSaver, error) {
	s := &pictureSaver{pictures: !c.Bool("nosave"), text: c.Bool("save-txt"), conf: c.Bool("save-conf"), crop: c.Bool("save-crop"),
		list: c.Bool("save-json"), taken: map[string]bool{}}
	s.pen = pen{thickness: c.Int("line-thickness"), labels: !c.Bool("hide-labels"), conf: !c.Bool("hide-conf")}
	if !s.pictures && !s.text && !s.crop && !s.list && !c.Bool("save-csv") {
		return s, nil
	}
	var err error
	in := inputsOf(c)
	in.Files = append(in.Files, pictures...)
	if s.dir, err = runs.NewFolder(c.String("project"), c.String("name"), c.Bool("exist-ok"), in); err != nil {
		return nil, err
	}
	if s.text {
		err = os.MkdirAll(filepath.Join(s.dir, "labels"), 0o777)
	}
	if err == nil && c.Bool("save-csv") {
		if s.tableFile, err = os.Create(filepath.Join(s.dir, "predictions.csv")); err == nil {
			s.table = csv.NewWriter(s.tableFile)
			err = s.table.Write([]string{"Image Name", "Prediction", "Confidence"})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("saving detections: %w", err)
	}
	return s, nil
}

// add saves one picture's detections.
func (s *pictureSaver) add(d *detected, img *picture.Image) error {
	if s.dir == "" {
		return nil
	}
	name := s.unique(filepath.Base(d.Path))
	stem := strings.TrimSuffix(name, filepath.Ext(name))
	err := errors.Join(s.addText(stem, d), s.addRows(stem+filepath.Ext(d.Path), d), s.addCrops(stem, d, img))
	if s.list {
		s.all = append(s.all, d)
	}
	if s.pictures && err == nil {
		canvas := canvasOf(img)
		for i := range d.Detections { // the most confident last, on top
			s.pen.draw(canvas, d.Detections[len(d.Detections)-1-i])
		}
		err = savePicture(filepath.Join(s.dir, name), canvas)
	}
	if err != nil {
		return fmt.Errorf("saving the detections of %s: %w", d.Path, err)
	}
	return nil
}

// unique gives pictures of one name in different folders different names.
func (s *pictureSaver) unique(name string) string {
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

func (s *pictureSaver) addText(stem string, d *detected) error {
	if !s.text || len(d.raw) == 0 {
		return nil
	}
	var text strings.Builder
	for _, o := range d.raw {
		text.WriteString(yoloLine(o, d.Width, d.Height, s.conf))
	}
	return os.WriteFile(filepath.Join(s.dir, "labels", stem+".txt"), []byte(text.String()), 0o666)
}

func (s *pictureSaver) addRows(name string, d *detected) error {
	if s.table == nil {
		return nil
	}
	for _, o := range d.Detections {
		if err := s.table.Write([]string{runs.Cell(name), runs.Cell(o.Name), strconv.FormatFloat(o.Conf, 'f', 2, 64)}); err != nil {
			return err
		}
	}
	return nil
}

// addCrops saves each detection with a margin of 1 % and 5 pixels on each side.
func (s *pictureSaver) addCrops(stem string, d *detected, img *picture.Image) error {
	if !s.crop {
		return nil
	}
	canvas := canvasOf(img)
	for i, o := range d.Detections {
		x, y := .01*(o.XYXY[2]-o.XYXY[0])+5, .01*(o.XYXY[3]-o.XYXY[1])+5
		box := image.Rect(int(o.XYXY[0]-x), int(o.XYXY[1]-y), int(o.XYXY[2]+x), int(o.XYXY[3]+y)).Intersect(canvas.Bounds())
		folder := filepath.Join(s.dir, "crops", folderName(o.Name))
		if err := os.MkdirAll(folder, 0o777); err != nil {
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

// finish writes what was gathered.
func (s *pictureSaver) finish() error {
	var errs []error
	if s.table != nil {
		s.table.Flush()
		errs = append(errs, s.table.Error(), s.tableFile.Close())
	}
	if s.list {
		data, err := json.MarshalIndent(append([]*detected{}, s.all...), "", " ")
		errs = append(errs, err)
		if err == nil {
			errs = append(errs, os.WriteFile(filepath.Join(s.dir, "detections.json"), append(data, '\n'), 0o666))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("saving detections: %w", err)
	}
	return nil
}

// savePicture writes a .png, or anything else as JPEG.
func savePicture(path string, img image.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	write := func(w io.Writer) error { return jpeg.Encode(w, img, &jpeg.Options{Quality: 95}) }
	if strings.EqualFold(filepath.Ext(path), ".png") {
		write = func(w io.Writer) error { return png.Encode(w, img) }
	}
	return errors.Join(write(f), f.Close())
}
