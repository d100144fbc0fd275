package dataset

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"yolofreeze/dataset/picture"
	"yolofreeze/onnx/disk"
)

// WriteOptions says how a data set is written in another format.
type WriteOptions struct {
	Link     bool // link to the pictures instead of copying them
	Outlines bool // YOLO: write outlines where there are; their box may differ
	Conf     bool // YOLO: write confidences as a sixth column, which training does not take

	// Address is what Label Studio's tasks put before the names of pictures; "" is where its
	// local storage has them.
	Address string
	// Proposed says that nobody has looked at the labels yet: Label Studio has predictions then.
	Proposed bool

	Stop func() error // asked before each picture: its error ends the writing, and nothing stays; nil: nobody is asked
}

// Placed is a sample on its way into a written data set.
type Placed struct {
	*Sample
	Split string
	Name  string // file name of the picture, one for each Path, that every system can hold
}

// Stem is the name without its ending.
func (p Placed) Stem() string { return stem(p.Name) }

// CutLabels returns the labels with boxes that leave the picture cut at its edge:
// formats that count pixels have no place for the rest.
func (p Placed) CutLabels() []Label {
	out := slices.Clone(p.Labels)
	for i, l := range out {
		if l.Leaves(p.Width, p.Height) {
			l.Polygon = slices.Clone(l.Polygon)
			out[i] = l.Clipped().Snapped()
		}
	}
	return out
}

// Place lists all samples, split by split, with file names whose stems differ
// for different pictures, on file systems that do not tell cases apart, too.
func (s *Set) Place() []Placed {
	var out []Placed
	names, taken := map[string]string{}, map[string]bool{}
	for _, split := range SplitNames {
		for i := range s.Splits[split] {
			sample := &s.Splits[split][i]
			name, ok := names[sample.Path]
			if !ok {
				name = freeName(portable(filepath.Base(sample.Path)), taken)
				names[sample.Path] = name
			}
			out = append(out, Placed{sample, split, name})
		}
	}
	return out
}

func freeName(base string, taken map[string]bool) string {
	name := stem(base)
	for n := 2; taken[FoldName(name)]; n++ {
		name = fmt.Sprintf("%s_%d", stem(base), n)
	}
	taken[FoldName(name)] = true
	return name + filepath.Ext(base)
}

// SplitNames are the splits of a set in their usual order.
var SplitNames = []string{"train", "val", "test"}

// WriteFolder calls write with a folder beside dir that becomes dir when write
// is done, so that there is never half a data set. dir must not exist or be
// empty.
func WriteFolder(dir string, write func(tmp string) error) error {
	dir = filepath.Clean(dir) // with a slash behind it, what is beside it would be inside
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s: the folder is not empty", dir)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, done, err := disk.Stage(filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".tmp"), 0o755)
	if err != nil {
		return err
	}
	defer done()
	if err := write(tmp); err != nil {
		return fmt.Errorf("writing %s: %w", dir, err)
	}
	return os.Rename(tmp, dir)
}

// PutPicture copies the picture at src to dst, or links to it. A picture that
// is there already was put there for another split.
func (o WriteOptions) PutPicture(src, dst string) error {
	if o.Stop != nil {
		if err := o.Stop(); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(dst); err == nil {
		return nil
	}
	in, _, err := picture.Open(src, math.MaxInt64)
	if err != nil {
		return err
	}
	defer in.Close()
	if o.Link {
		abs, err := filepath.Abs(in.Name())
		if err != nil {
			return err
		}
		return os.Symlink(abs, dst)
	}
	return disk.Put(dst, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
}

// MakeFolders creates folders below root.
func MakeFolders(root string, names ...string) error {
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			return err
		}
	}
	return nil
}
