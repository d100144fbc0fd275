package yolo

import (
	"strings"
	"testing"

	"yolofreeze/dataset"
)

func TestLabels(t *testing.T) {
	for _, c := range []struct {
		name, text string
		policy     dataset.Policy
		objects    int    // in train
		want       string // part of the error; "" for none
		counts     dataset.Counts
	}{
		{"box", "0 .5 .5 .25 .5\n", "", 1, "", dataset.Counts{Found: 1}},
		{"blank lines, mark, CRLF, tabs", "\xef\xbb\xbf\r\n 0\t.5 .5  .2 .2 \r\n\r\n1 .1 .1 .1 .1", "", 2, "", dataset.Counts{Found: 1}},
		{"empty", "", "", 0, "", dataset.Counts{Found: 1, Empty: 1}},
		{"whole class as float", "1.0 .5 .5 .2 .2", "", 1, "", dataset.Counts{Found: 1}},
		{"triangle", "1 .1 .1 .5 .1 .3 .9", "", 1, "", dataset.Counts{Found: 1}},
		{"outline beside box", "1 .1 .1 .5 .1 .5 .9 .1 .9\n0 .5 .5 .2 .2", "", 2, "", dataset.Counts{Found: 1}},
		{"repeated row", "0 .5 .5 .2 .2\n0 .5 .5 .2 .2\n1 .5 .5 .2 .2", "", 2, "", dataset.Counts{Found: 1, Duplicates: 1}},

		{"class -1", "0 .5 .5 .2 .2\n-1 .5 .5 .2 .2", "", 0, `a.txt:2: class "-1": must be a whole number from 0 to 1`, dataset.Counts{}},
		{"class 1.5", "1.5 .5 .5 .2 .2", "", 0, `a.txt:1: class "1.5": must be a whole number`, dataset.Counts{}},
		{"class 2 of 2", "2 .5 .5 .2 .2", "", 0, `class "2": must be a whole number from 0 to 1`, dataset.Counts{}},
		{"huge class", "10000000000 .5 .5 .2 .2", "", 0, `class "10000000000": must be a whole number from 0 to 1`, dataset.Counts{}},
		{"name as class", "person .5 .5 .2 .2", "", 0, `a.txt:1: class "person": must be a whole number`, dataset.Counts{}},
		{"bad class dropped", "5 .5 .5 .2 .2\n1 .5 .5 .2 .2", dataset.Drop, 1, "", dataset.Counts{Found: 1, Dropped: 1}},
		{"bad class cannot be clipped", "5 .5 .5 .2 .2", dataset.Clip, 0, `class "5"`, dataset.Counts{}},

		{"over one", "0 1.0001 .5 .2 .2", "", 0, `a.txt:1: x "1.0001": must be from 0 to 1`, dataset.Counts{}},
		{"over one clipped", "0 1.0001 .5 .2 .2", dataset.Clip, 1, "", dataset.Counts{Found: 1, Clipped: 1}},
		{"over one dropped", "0 1.0001 .5 .2 .2\n0 .5 .5 .1 .1", dataset.Drop, 1, "", dataset.Counts{Found: 1, Dropped: 1}},
		{"negative", "0 .5 -0.04 .2 .2", "", 0, `y "-0.04"`, dataset.Counts{}},
		{"too large", "0 .5 1e309 .2 .2", "", 0, `a.txt:1: y "1e309": must be a decimal number within`, dataset.Counts{}},
		{"nan", "0 .5 .5 nan .2", "", 0, `w "nan": must be a decimal number`, dataset.Counts{}},
		{"inf", "0 .5 .5 .2 inf", "", 0, `h "inf"`, dataset.Counts{}},
		{"decimal comma", "0 0,5 .5 .2 .2", "", 0, `x "0,5": must be a decimal number with a point`, dataset.Counts{}},
		{"hex", "0 0x1p-2 .5 .2 .2", "", 0, `x "0x1p-2"`, dataset.Counts{}},
		{"commas", "0,.5,.5,.2,.2", "", 0, `separated by blanks`, dataset.Counts{}},
		{"polygon outside", "0 .1 .1 1.2 .1 .5 .5", "", 0, `polygon x "1.2"`, dataset.Counts{}},
		{"polygon clipped", "0 .1 .1 1.2 .1 .5 .5", dataset.Clip, 1, "", dataset.Counts{Found: 1, Clipped: 1}},

		{"no width", "0 .5 .5 0 .2", "", 0, `w "0": must be at least 1e-06`, dataset.Counts{}},
		{"no width dropped", "0 .5 .5 0 .2\n0 .5 .5 .1 .1", dataset.Drop, 1, "", dataset.Counts{Found: 1, Dropped: 1}},
		{"thin", "0 .5 .5 .2 1e-9", "", 0, `h "1e-09"`, dataset.Counts{}},
		{"clipped away", "0 1.5 .5 .2 .2\n0 .5 .5 .1 .1", dataset.Clip, 1, "", dataset.Counts{Found: 1, Clipped: 1, Dropped: 1}},

		{"4 columns", "0 .5 .5 .2", "", 0, `a.txt:1: "0 .5 .5 .2": 4 columns`, dataset.Counts{}},
		{"6 columns", "0 .5 .5 .2 .2 .9", "", 0, `6 columns`, dataset.Counts{}},
		{"half a point", "0 .1 .1 .5 .1 .5 .9 .1", "", 0, `8 columns`, dataset.Counts{}},

		{"UTF-16", "\xff\xfe0\x00 \x00.\x005\x00 \x00.\x005\x00 \x00.\x002\x00 \x00.\x002\x00\r\x00\n\x00", "", 1, "", dataset.Counts{Found: 1}},
		{"UTF-16 cut short", "\xff\xfe0\x00 \x00.", "", 0, `a.txt:1: "0`, dataset.Counts{}},
		{"zero byte", "0 .5 .5 .2 .2\x00", "", 0, `zero bytes`, dataset.Counts{}},
		{"cp950", "0 .5 .5 .2 .2\n\xa4\xa4 .5 .5 .2 .2", "", 0, `a.txt:2: class`, dataset.Counts{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, err := Open(oneLabel(t, c.text), dataset.ReadOptions{BadLabels: c.policy})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
					t.Fatalf("error %v, want one line with %s", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if n := len(set.Splits["train"][0].Labels); n != c.objects {
				t.Errorf("%d objects, want %d", n, c.objects)
			}
			c.counts.Pictures, c.counts.Objects = 1, c.objects
			if got := set.Report.Splits["train"]; got != c.counts {
				t.Errorf("counts %+v, want %+v", got, c.counts)
			}
		})
	}
}

func TestOutlineBox(t *testing.T) {
	set, err := Open(oneLabel(t, "1 .25 .25 .5 .25 .375 .75"), dataset.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l := set.Splits["train"][0].Labels[0]
	if l.X != .375 || l.Y != .5 || l.W != .25 || l.H != .5 || len(l.Polygon) != 3 {
		t.Errorf("got %+v", l)
	}
}
