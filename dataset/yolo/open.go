package yolo

import (
	"errors"
	"fmt"
	"io/fs"
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

// OpenFolder reads a folder with images and labels but no data.yaml; the
// options or a classes.txt or obj.names in it list the classes. Its splits are images/train,
// images/val and images/test, possibly with a year, or train/images and so on; without
// any, all of images is train.
func OpenFolder(dir string, o dataset.ReadOptions) (*dataset.Set, error) {
	c := &Config{File: dir, Root: dir, Names: o.Classes, Splits: map[string][]string{}}
	for _, base := range []string{"classes.txt", "obj.names"} {
		if len(c.Names) > 0 {
			break
		}
		var err error
		if c.Names, err = dataset.ReadNames(filepath.Join(dir, base)); err != nil {
			return nil, err
		}
	}
	if len(c.Names) == 0 {
		return nil, fmt.Errorf("%s: has no data.yaml and no classes.txt: its class names must be given (`classes`)", dir)
	}
	for _, split := range dataset.SplitNames {
		for _, pattern := range []string{"images/" + split, "images/" + split + "[0-9]*", split + "/images"} {
			for _, f := range disk.Glob(dir, pattern) {
				rel, _ := filepath.Rel(dir, f)
				c.Splits[split] = append(c.Splits[split], rel)
			}
		}
	}
	if len(c.Splits) == 0 && disk.IsFolder(filepath.Join(dir, "images")) {
		c.Splits["train"] = []string{"images"}
	}
	if len(c.Splits) == 0 {
		return nil, fmt.Errorf("%s: no folder images, images/train, images/val or images/test", dir)
	}
	return c.Open(o)
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
	labels := &labelFiles{folders: map[string]*labelFolder{}}
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
