package labelstudio

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/onnx/disk"
)

// localStorage is where Label Studio has pictures of its own machine.
const localStorage = "/data/local-files/?d=images/"

// Write writes a set as a file of tasks for each split, to import, with images, classes.txt and
// label_config.xml, the labelling interface. What is proposed goes to predictions, all else to
// annotations; Open returns those with the same boxes to the last bit, but for what leaves the
// picture, which is cut at its edge. There are no outlines and no crowds. dir must not exist or be empty.
func Write(dir string, set *dataset.Set, o dataset.WriteOptions) error {
	if o.Address == "" {
		o.Address = localStorage
	}
	return dataset.WriteFolder(dir, func(tmp string) error {
		if err := dataset.MakeFolders(tmp, "images"); err != nil {
			return err
		}
		tasks := map[string][]written{}
		for split := range set.Splits {
			tasks[split] = []written{}
		}
		for _, p := range set.Place() {
			if err := o.PutPicture(p.Path, filepath.Join(tmp, "images", p.Name)); err != nil {
				return err
			}
			tasks[p.Split] = append(tasks[p.Split], writtenTask(set.Names, p, o))
		}
		for split, list := range tasks {
			name := "tasks.json"
			if len(tasks) > 1 {
				name = "tasks-" + split + ".json"
			}
			if err := disk.Put(filepath.Join(tmp, name), func(w io.Writer) error {
				e := json.NewEncoder(w)
				e.SetEscapeHTML(false)
				e.SetIndent("", " ")
				return e.Encode(list)
			}); err != nil {
				return err
			}
		}
		if err := disk.Put(filepath.Join(tmp, "label_config.xml"), disk.Bytes(config(set.Names))); err != nil {
			return err
		}
		return disk.Put(filepath.Join(tmp, "classes.txt"), disk.Bytes([]byte(strings.Join(set.Names, "\n")+"\n")))
	})
}

// config is the labelling interface for boxes of the classes.
func config(names []string) []byte {
	var s strings.Builder
	s.WriteString("<View>\n  <Image name=\"image\" value=\"$image\"/>\n  <RectangleLabels name=\"label\" toName=\"image\">\n")
	for _, name := range names {
		s.WriteString("    <Label value=\"")
		_ = xml.EscapeText(&s, []byte(name)) // a Builder does not fail
		s.WriteString("\"/>\n")
	}
	s.WriteString("  </RectangleLabels>\n</View>\n")
	return []byte(s.String())
}

// written is a task on its way out.
type written struct {
	Data        map[string]string `json:"data"`
	Annotations []writtenSet      `json:"annotations,omitempty"`
	Predictions []writtenSet      `json:"predictions,omitempty"`
}

type writtenSet struct {
	Model   string          `json:"model_version,omitempty"`
	Score   float64         `json:"score,omitempty"` // the least of its objects: the tasks to look at first
	Results []writtenResult `json:"result"`
}

type writtenResult struct {
	ID       string  `json:"id"`
	From     string  `json:"from_name"`
	To       string  `json:"to_name"`
	Type     string  `json:"type"`
	Width    int     `json:"original_width"`
	Height   int     `json:"original_height"`
	Rotation int     `json:"image_rotation"`
	Score    float64 `json:"score,omitempty"`
	Value    struct {
		X        json.Number `json:"x"`
		Y        json.Number `json:"y"`
		Width    json.Number `json:"width"`
		Height   json.Number `json:"height"`
		Rotation int         `json:"rotation"`
		Labels   []string    `json:"rectanglelabels"`
	} `json:"value"`
}

func writtenTask(names []string, p dataset.Placed, o dataset.WriteOptions) written {
	name := p.Name
	if strings.Contains(o.Address, "://") || strings.Contains(o.Address, "?") {
		name = url.PathEscape(name)
	}
	t := written{Data: map[string]string{"image": o.Address + name}}
	s := writtenSet{Results: []writtenResult{}}
	for i, l := range p.CutLabels() {
		r := writtenResult{ID: fmt.Sprintf("r%d", i+1), From: "label", To: "image", Type: "rectanglelabels", Width: p.Width, Height: p.Height, Score: l.Conf}
		left, top, w, h := l.Pixels(p.Width, p.Height)
		px, py := float64(p.Width)/100, float64(p.Height)/100
		text := dataset.FormatBox(l, [4]float64{left / px, top / py, w / px, h / py}, func(v [4]float64) dataset.Label {
			d := dataset.Drawn{Box: [4]float64{v[0] * px, v[1] * py, v[2] * px, v[3] * py}} // as objects reads it
			return d.Label(l.Class, p.Width, p.Height)
		})
		r.Value.X, r.Value.Y, r.Value.Width, r.Value.Height = json.Number(text[0]), json.Number(text[1]), json.Number(text[2]), json.Number(text[3])
		r.Value.Labels = []string{names[l.Class]}
		s.Results = append(s.Results, r)
		if l.Conf > 0 && (s.Score == 0 || l.Conf < s.Score) {
			s.Score = l.Conf
		}
	}
	if o.Proposed {
		s.Model = "yolofreeze"
		t.Predictions = []writtenSet{s}
	} else {
		t.Annotations = []writtenSet{s}
	}
	return t
}
