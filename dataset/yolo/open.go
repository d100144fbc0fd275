package yolo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/onnx/disk"
)

// Open reads the data set of a data.yaml, or of darknet's obj.data: all splits that it names, or those
// that the options ask for. Pictures without a label file are background.
func Open(file string, o dataset.ReadOptions) (*dataset.Set, error) {
	read := ReadConfig
	if strings.EqualFold(filepath.Ext(file), ".data") {
		read = ReadDarknet
	}
	c, err := read(file)
	if err != nil {
		return nil, err
	}
	return c.Open(o)
}

// OpenFolder reads a folder with pictures and labels but no data.yaml; the options, or a file of
// names in it or in its labels or train, list the classes. Its splits are images/train,
// images/val and images/test, possibly with a year, or train/images and so on; without
// any, all of images is train. Where labels lie beside the pictures, train, valid and test are
// splits, or else all is train.
func OpenFolder(dir string, o dataset.ReadOptions) (*dataset.Set, error) {
	c := &Config{File: dir, Root: dir, Names: o.Classes, Splits: map[string][]string{}}
	if file := namesIn(dir); file != "" && len(c.Names) == 0 {
		var err error
		if c.Names, err = dataset.ReadNames(file); err != nil {
			return nil, err
		}
	}
	if len(c.Names) == 0 {
		return nil, fmt.Errorf("%s: has no data.yaml and no classes.txt: its class names must be given (`classes`)", dir)
	}
	if c.findSplits(); len(c.Splits) == 0 {
		return nil, fmt.Errorf("%s: no folder images, images/train, images/val or images/test", dir)
	}
	return c.Open(o)
}

// namesIn finds a file of class names: labelImg puts it beside the labels, Roboflow into each split.
func namesIn(dir string) string {
	for _, folder := range []string{"", "labels", "images", "train", filepath.Join("train", "labels"), filepath.Join("labels", "train")} {
		for _, base := range []string{"classes.txt", "obj.names", "_darknet.labels"} {
			if file := filepath.Join(dir, folder, base); disk.IsFile(file) {
				return file
			}
		}
	}
	return ""
}

// splitFolders are the names that folders of splits have.
var splitFolders = []string{"train", "val", "valid", "validation", "test"}

// findSplits looks for the folders of splits below the root.
func (c *Config) findSplits() {
	for _, name := range splitFolders {
		for _, pattern := range []string{"images/" + name, "images/" + name + "[0-9]*", name + "/images"} {
			for _, f := range disk.Glob(c.Root, pattern) {
				c.add(name, f)
			}
		}
	}
	if len(c.Splits) == 0 && disk.IsFolder(filepath.Join(c.Root, "images")) {
		c.Splits["train"] = []string{"images"}
	}
	for _, name := range splitFolders {
		if folder := filepath.Join(c.Root, name); len(c.Splits[dataset.SplitOf(name)]) == 0 && isFlat(folder) {
			c.add(name, folder)
		}
	}
	if len(c.Splits) == 0 && isFlat(c.Root) {
		c.Splits["train"] = []string{"."}
	}
}

func (c *Config) add(name, folder string) {
	split := dataset.SplitOf(name)
	rel, _ := filepath.Rel(c.Root, folder)
	c.Splits[split] = append(c.Splits[split], rel)
}

// isFlat tells whether a folder has a picture with its label file beside it.
func isFlat(dir string) bool {
	entries, _ := os.ReadDir(dir)
	stems := map[string]bool{}
	for _, e := range entries {
		if dataset.IsPicture(e.Name()) {
			stems[strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))] = true
		}
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); strings.EqualFold(ext, ".txt") && stems[strings.TrimSuffix(e.Name(), ext)] {
			return true
		}
	}
	return false
}

// IsFolder says why OpenFolder can read a folder: it has images, or labels beside pictures. "" if it cannot.
func IsFolder(dir string) string {
	c := &Config{Root: dir, Splits: map[string][]string{}}
	c.findSplits()
	for _, split := range dataset.SplitNames {
		if list := c.Splits[split]; len(list) > 0 && list[0] == "." {
			return "it has .txt files beside its pictures"
		} else if len(list) > 0 && strings.Contains(filepath.ToSlash(list[0])+"/", "images/") {
			return "it has pictures in " + list[0]
		} else if len(list) > 0 {
			return "it has .txt files beside the pictures in " + list[0]
		}
	}
	return ""
}

// dealt is the way out for a data set without the split that is asked for.
const dealt = ": dataset split deals the pictures there are to train and val"

// Open reads the data set that the configuration describes.
func (c *Config) Open(o dataset.ReadOptions) (*dataset.Set, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	for _, split := range o.Splits {
		if len(c.Splits[split]) == 0 {
			return nil, fmt.Errorf("%s: key %q is missing%s", c.File, split, dealt)
		}
	}
	var items []dataset.Item
	labels := &labelFiles{folders: map[string]*labelFolder{}, beside: map[string]string{}}
	for _, split := range dataset.SplitNames {
		if !o.Wants(split) {
			continue
		}
		for _, entry := range c.Splits[split] {
			pictures, err := c.pictures(split, entry)
			if split == "test" && o.Splits == nil && err != nil && !disk.Exists(c.entryPath(entry)) {
				continue // many files name a test split that was never shipped
			}
			if err != nil {
				return nil, err
			}
			items = slices.Grow(items, len(pictures))
			for _, p := range pictures {
				items = append(items, dataset.Item{Split: split, Picture: p, Source: labels.find(split, p)})
			}
		}
	}
	orphans, notes := labels.orphans()
	var long longLines
	read := func(it dataset.Item, _, _ int, r *dataset.Recorder) { c.readLabels(it, r, &long) }
	set, err := dataset.Index(dataset.Source{Path: c.File, Names: c.Names, Items: items, Read: read, Notes: notes, Orphans: orphans}, o)
	if err == nil {
		err = long.check(c.File)
	}
	return set, err
}

func (c *Config) check() error {
	if here := filepath.Dir(c.File); filepath.IsAbs(c.Path) && !disk.Exists(c.Root) && c.holds(here) {
		c.Root = here // the data were moved
	}
	if !disk.Exists(c.Root) {
		also := ""
		if !filepath.IsAbs(c.Path) {
			also = ", nor does it in the working folder"
		}
		return fmt.Errorf("%s: key %q: %s does not exist%s", c.File, "path", c.Root, also)
	}
	if err := dataset.CheckNames(c.Names); err != nil {
		return fmt.Errorf("%s: key %q: %w", c.File, "names", err)
	}
	return nil
}

// holds tells whether a folder has all that the splits name.
func (c *Config) holds(dir string) bool {
	for _, entries := range c.Splits {
		for _, entry := range entries {
			if !disk.Exists(resolve(dir, entry)) {
				return false
			}
		}
	}
	return true
}

func (c *Config) readLabels(it dataset.Item, r *dataset.Recorder, long *longLines) {
	file := it.Source
	data, err := disk.Read(file, maxLabelBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.Missing()
	case err != nil:
		r.Unread(file, err)
	default:
		parseLabels(file, data, c.Keypoints, r, long)
	}
}
