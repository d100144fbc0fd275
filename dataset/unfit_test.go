package dataset_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/dataset/yolo"
)

// TestUnfit: a split that cannot be learnt from is an error to whom asks for it,
// told to whom wants to know.
func TestUnfit(t *testing.T) {
	for name, c := range map[string]struct {
		labels map[string]string
		broken []string // pictures that are text
		want   string   // "" where nothing stands against training
	}{
		"sound":           {map[string]string{"train/a": "0 .5 .5 .2 .2", "train/b": "", "val/c": "0 .5 .5 .2 .2"}, nil, ""},
		"nothing in val":  {map[string]string{"train/a": "0 .5 .5 .2 .2", "val/c": "", "val/d": ""}, nil, `split "val" has no object in its 2 pictures (0 without labels, 2 with empty ones, 0 objects left out)`},
		"nothing in both": {map[string]string{"train/a": "", "val/c": ""}, nil, `split "val" has no object`},
		"most are lost": {map[string]string{"train/a": "0 .5 .5 .2 .2", "train/b": "0 .5 .5 .2 .2", "train/d": "0 .5 .5 .2 .2", "val/c": "0 .5 .5 .2 .2"}, []string{"train/b", "train/d"},
			`split "train" loses 2 of its 3 pictures: `},
	} {
		t.Run(name, func(t *testing.T) {
			file := smallSet(t, c.labels)
			for _, p := range c.broken {
				if err := os.WriteFile(filepath.Join(filepath.Dir(file), "images", p+".png"), []byte("text"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			_, err := yolo.Open(file, dataset.ReadOptions{Splits: []string{"train", "val"}})
			var unfit *dataset.UnfitError
			if c.want == "" && err != nil || c.want != "" && (!errors.As(err, &unfit) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("asked for: %v, want %s", err, c.want)
			}
			set, err := yolo.Open(file, dataset.ReadOptions{AllowUnfit: true})
			if err != nil || (len(set.Report.Unfit) > 0) != (c.want != "") {
				t.Errorf("to look at: %v, %+v", err, set)
			}
		})
	}
	file := smallSet(t, map[string]string{"train/a": "0 .5 .5 .2 .2", "val/c": ""})
	if _, err := yolo.Open(file, dataset.ReadOptions{}); err != nil {
		t.Errorf("a set whose pictures can be dealt anew: %v", err)
	}
}
