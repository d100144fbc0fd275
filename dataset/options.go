package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"

	"yolofreeze/dataset/picture"
)

// Policy says what happens to bad data.
type Policy string

// Bad labels are rejected, clipped or dropped; bad pictures rejected or
// skipped. Clip mends boxes that leave the picture and rejects what cannot be
// mended so; a box of which nothing is left is dropped.
const (
	Reject Policy = "reject"
	Clip   Policy = "clip"
	Drop   Policy = "drop"
	Skip   Policy = "skip"
)

// ReadOptions says how a data set is read. The zero value rejects bad labels,
// skips bad pictures and reads every split there is.
type ReadOptions struct {
	BadLabels Policy // Reject (default), Clip or Drop
	BadImages Policy // Skip (default) or Reject
	Limits    picture.Limits

	// Splits names the splits that must exist and are read; nil reads what
	// there is.
	Splits []string
	// Classes lists the class names in order. YOLO needs it only without a
	// data.yaml; VOC and COCO then leave out objects of other names.
	Classes []string
	// KeepDifficult keeps VOC's difficult objects, which YOLOv5 leaves out.
	KeepDifficult bool
	// KeepCrowd keeps COCO's crowd boxes, which YOLOv5 leaves out.
	KeepCrowd bool
	// BoxesOnly leaves out the outlines of objects, which take memory.
	BoxesOnly bool
	// ImageSets names, per split, the VOC image sets that make it up, such as
	// {train: [trainval], val: [VOC2007/test]}; nil takes each split's own.
	ImageSets map[string][]string

	// CacheDir is a folder for picture sizes from earlier runs; "" keeps none.
	CacheDir string
	// Workers is the number of files read at a time; 0 chooses.
	Workers int
	// AllowUnfit hands over a set with Unfit splits that are an error otherwise:
	// those of the Splits asked for, and those that leave nothing of a split or no object at all.
	AllowUnfit bool
}

// Checked returns the options with defaults filled in, or which one is wrong.
func (o ReadOptions) Checked() (ReadOptions, error) {
	if o.BadLabels == "" {
		o.BadLabels = Reject
	}
	if o.BadImages == "" {
		o.BadImages = Skip
	}
	switch o.BadLabels {
	case Reject, Clip, Drop:
	default:
		return o, fmt.Errorf("bad-labels %q: must be reject, clip or drop", o.BadLabels)
	}
	switch o.BadImages {
	case Reject, Skip:
	default:
		return o, fmt.Errorf("bad-images %q: must be skip or reject", o.BadImages)
	}
	if o.Workers <= 0 {
		o.Workers = 2 * runtime.GOMAXPROCS(0) // reading waits for the disk too
	}
	o.Limits = o.Limits.Filled()
	if err := CheckNames(o.Classes); err != nil {
		return o, fmt.Errorf("classes: %w", err)
	}
	return o, nil
}

// maxName is how many bytes a class's name has at most: it goes into tables, plots and models.
const maxName = 1000

// CheckNames refuses class names that are empty, not printable, very long or there twice.
func CheckNames(names []string) error {
	seen := map[string]int{}
	for i, name := range names {
		if at, twice := seen[name]; twice {
			return fmt.Errorf("%.60q is both class %d and %d", name, at, i)
		}
		if strings.TrimSpace(name) == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
			return fmt.Errorf("class %d: %.60q is not a name", i, name)
		}
		seen[name] = i
	}
	return nil
}

// Wants tells whether a split is to be read.
func (o ReadOptions) Wants(split string) bool {
	for _, s := range o.Splits {
		if s == split {
			return true
		}
	}
	return o.Splits == nil
}

// DefaultCacheDir is the user's folder for ReadOptions.CacheDir; "" where the
// system knows none.
func DefaultCacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "yolofreeze", "pictures")
}
