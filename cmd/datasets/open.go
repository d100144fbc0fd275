package datasets

import (
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/dataset"
	"yolofreeze/dataset/format"
)

func readOptions(c *cli.Context, splits ...string) dataset.ReadOptions {
	return dataset.ReadOptions{
		Splits: splits, Classes: c.StringSlice("classes"), CacheDir: dataset.DefaultCacheDir(),
		BadLabels: dataset.Policy(c.String("bad-labels")), BadImages: dataset.Policy(c.String("bad-images")),
	}
}

// CheckPolicies refuses misspelt policies before anything is read.
func CheckPolicies(c *cli.Context) error {
	if _, err := readOptions(c).Checked(); err != nil {
		return term.Usagef("%s: %v", flags.Path(c), err)
	}
	return nil
}

// Open reads the data set of --data and says what was found.
func Open(c *cli.Context, splits ...string) (*dataset.Set, error) {
	set, err := format.Open(c.String("data"), readOptions(c, splits...))
	if err != nil {
		return nil, term.BadInput(err)
	}
	if c.Bool("single-cls") {
		set.SingleClass()
	}
	Report(term.Of(c), set)
	return set, nil
}

// Report says what reading a data set found.
func Report(t *term.Terminal, set *dataset.Set) {
	for _, split := range dataset.SplitNames {
		if n, ok := set.Report.Splits[split]; ok {
			t.Logf("%s: %d pictures, %d objects, %d without labels, %d corrupt", split, n.Pictures, n.Objects, n.Missing+n.Empty, n.Corrupt)
		}
	}
	reportProblems(t, &set.Report)
}

// mostProblems is how many problems of a data set are listed.
const mostProblems = 10

func reportProblems(t *term.Terminal, r *dataset.Report) {
	for _, p := range r.Problems[:min(len(r.Problems), mostProblems)] {
		t.Warnf("%s", p)
	}
	if more := len(r.Problems) + r.More - mostProblems; more > 0 {
		t.Warnf("%d more problems; see yolofreeze dataset check", more)
	}
	for _, f := range r.Unfit {
		if _, read := r.Splits[f.Split]; read {
			t.Warnf("%v", f)
		}
	}
	for _, split := range []string{"train", "val"} {
		if names := r.NeverSeen[split]; len(names) > 0 {
			t.Warnf("classes without an object in %s: %s", split, dataset.ListNames(names))
		}
	}
	if len(r.Shared) > 0 {
		s := r.Shared[0]
		t.Warnf("%d pictures are in more than one split, the first %s in %s", len(r.Shared), filepath.Base(s.Paths[0]), strings.Join(s.Splits, " and "))
	}
}
