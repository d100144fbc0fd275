package dataset

import (
	"fmt"
	"slices"
	"strings"
)

// Unfit is what would waste a training run: not one thing wrong, but a split that
// is not there or of which nothing, or little, is left.
type Unfit struct {
	Split string `json:"split"`
	Text  string `json:"text"`
}

func (f Unfit) String() string { return fmt.Sprintf("split %q %s", f.Split, f.Text) }

// first is what is told of a split's first picture of a kind.
type first struct {
	missing *Item    // without labels
	corrupt *Problem // that cannot be used
}

func (f first) corruption() string {
	if f.corrupt == nil {
		return ""
	}
	return ": " + f.corrupt.String()
}

// findUnfit looks at the splits as wholes. firsts are by split, where it has any.
func (s *Set) findUnfit(firsts map[string]first, orphans map[string]int) {
	for _, split := range SplitNames {
		c, read := s.Report.Splits[split]
		f, where := firsts[split], ""
		if f.missing != nil && f.missing.Source != "" {
			where = fmt.Sprintf("; labels of %s are looked for in %s", f.missing.Picture, f.missing.Source)
		}
		add := func(format string, args ...any) {
			s.Report.Unfit = append(s.Report.Unfit, Unfit{split, fmt.Sprintf(format, args...)})
		}
		switch {
		case !read && split != "test":
			add("is missing: dataset split deals the pictures there are to train and val")
		case !read:
		case c.Pictures == 0:
			add("has no readable picture: %d left out%s", c.Corrupt, f.corruption())
		case c.Objects == 0:
			add("has no object in its %d pictures (%d without labels, %d with empty ones, %d objects left out)%s",
				c.Pictures, c.Missing, c.Empty, c.Dropped+c.Ignored, where)
		case c.Corrupt > c.Pictures:
			add("loses %d of its %d pictures%s", c.Corrupt, c.Corrupt+c.Pictures, f.corruption())
		case orphans[split] > 0 && c.Missing > c.Found && 2*orphans[split] >= c.Missing:
			add("has no labels for %d of its %d pictures, while %d label files belong to no picture%s", c.Missing, c.Pictures, orphans[split], where)
		}
	}
}

// UnfitError is returned where a split was asked for that is not fit to be used.
type UnfitError struct {
	Path   string
	Splits []Unfit
}

func (e *UnfitError) Error() string {
	texts := make([]string, len(e.Splits))
	for i, f := range e.Splits {
		texts[i] = f.String()
	}
	return e.Path + ": " + strings.Join(texts, "; ")
}

// usable says why there is nothing to learn from the set, or from a split that
// the options ask for.
func (s *Set) usable(o ReadOptions) error {
	if o.AllowUnfit {
		return nil
	}
	var unfit []Unfit
	for _, f := range s.Report.Unfit {
		c, read := s.Report.Splits[f.Split]
		if slices.Contains(o.Splits, f.Split) || read && (c.Pictures == 0 || s.Report.Objects == 0) {
			unfit = append(unfit, f)
		}
	}
	if len(unfit) > 0 {
		return &UnfitError{s.Path, unfit}
	}
	return nil
}
