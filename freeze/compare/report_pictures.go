package compare

import (
	"bytes"
	"encoding/base64"
	"html/template"
	"image"
	"image/jpeg"
	_ "image/png"
	"net/url"
	"path/filepath"

	"golang.org/x/image/draw"

	"yolofreeze/onnx/disk"
)

// gallery is a row of pictures, one a group, of the group's first run that has it.
type gallery struct {
	Title string
	Shots []shot
}

// shot is a picture as a part of the page.
type shot struct {
	Legend reportCell
	Alt    string
	Image  template.URL
}

// shown are the files of runs that the page shows, as YOLOv5 names them.
var shown = []struct{ title, file string }{
	{"Labels of validation pictures", "val_batch0_labels.jpg"},
	{"Objects found in them", "val_batch0_pred.jpg"},
	{"Confusion matrix", "confusion_matrix.png"},
	{"Precision over recall", "PR_curve.png"},
}

const (
	shotWidth  = 900
	mostPixels = 50e6     // of a picture; a run's own have 7 million at most
	mostShot   = 64 << 20 // bytes of its file
)

// galleries are the pictures that at least one group has. Labels are the same for all: one is enough.
func (c *Comparison) galleries() (list []gallery) {
	for i, kind := range shown {
		g := gallery{Title: kind.title}
		for k, group := range c.Groups {
			for _, r := range group.members {
				if image, ok := shrunk(filepath.Join(r.Dir, kind.file)); ok {
					g.Shots = append(g.Shots, shot{groupCell(k, group), kind.title + ", " + r.Name, image})
					break
				}
			}
			if i == 0 && len(g.Shots) > 0 {
				g.Shots[0].Legend = reportCell{Text: "as they are"}
				break
			}
		}
		if len(g.Shots) > 0 {
			list = append(list, g)
		}
	}
	return list
}

// shrunk reads a picture and makes it a part of the page, no wider than shotWidth. What cannot be
// read is left out: it is no figure.
func shrunk(path string) (template.URL, bool) {
	data, err := disk.Read(path, mostShot)
	if err != nil {
		return "", false
	}
	config, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil || config.Width < 1 || config.Height < 1 || float64(config.Width)*float64(config.Height) > mostPixels {
		return "", false
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return "", false
	}
	width := min(config.Width, shotWidth)
	small := image.NewRGBA(image.Rect(0, 0, width, max(config.Height*width/config.Width, 1)))
	draw.CatmullRom.Scale(small, small.Rect, img, img.Bounds(), draw.Src, nil)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, small, &jpeg.Options{Quality: 82}); err != nil {
		return "", false
	}
	return template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(b.Bytes())), true
}

// linkTo is the address of a run's folder as seen from the report's, "" where there is no way.
func (c *Comparison) linkTo(r *Run) string {
	if c.folder == "" {
		return ""
	}
	from, err1 := filepath.Abs(c.folder)
	to, err2 := filepath.Abs(r.Dir)
	if err1 != nil || err2 != nil {
		return ""
	}
	way, err := filepath.Rel(from, to)
	if err != nil {
		return ""
	}
	return (&url.URL{Path: filepath.ToSlash(way) + "/"}).String()
}
